//! One label or annotation of an alerting rule.

use labels::Labels;

use super::functions::{AlertFunctions, Answers, Context};
use crate::{Error, Limits, RenderError, Template, Value};

/// What the templates of an alert may show.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertData {
    /// The labels of the series that the alert is about: `$labels`.
    pub labels: Labels,
    /// Labels of the whole server: `$externalLabels`.
    pub external_labels: Labels,
    /// Where the server is reached: `$externalURL`.
    pub external_url: String,
    /// The value of the series: `$value`. A native histogram is a [`Value::Opaque`].
    pub value: Value,
}

const VARIABLES: [&str; 4] = ["$labels", "$externalLabels", "$externalURL", "$value"];

/// A parsed label or annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertTemplate(Template);

/// How far an expansion came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expansion {
    /// The text.
    Done(String),
    /// The template queries: put the answer to this into the [`Answers`], and expand again.
    Query(String),
}

impl AlertTemplate {
    /// Reads a template; `name` shows in errors.
    ///
    /// # Errors
    /// The text is no template, or uses what is not there.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let (context, answers) = (Context::default(), Answers::default());
        let functions = AlertFunctions { context: &context, answers: &answers };
        Template::parse(name, text, &functions, &VARIABLES).map(|template| Self(template.missing_is_zero()))
    }

    /// The text, where there is nothing to expand.
    pub fn plain_text(&self) -> Option<&str> {
        self.0.plain_text()
    }

    /// Expands the template for one alert.
    ///
    /// # Errors
    /// A wrong argument of a function, a query that failed, a limit.
    pub fn expand(
        &self,
        data: &AlertData,
        context: &Context,
        answers: &Answers,
        limits: Limits,
    ) -> Result<Expansion, Error> {
        if let Some(text) = self.plain_text() {
            return Ok(Expansion::Done(text.to_owned()));
        }
        let labels = Value::Labels(data.labels.clone());
        let external = Value::Labels(data.external_labels.clone());
        let url = Value::from(data.external_url.as_str());
        let dot = Value::Struct(std::sync::Arc::new(crate::Struct {
            type_name: "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
            fields: vec![
                ("Labels".to_owned(), labels.clone()),
                ("ExternalLabels".to_owned(), external.clone()),
                ("ExternalURL".to_owned(), url.clone()),
                ("Value".to_owned(), data.value.clone()),
            ],
            embedded: "",
        }));
        let values = [labels, external, url, data.value.clone()];
        let variables: Vec<(&str, Value)> = VARIABLES.into_iter().zip(values).collect();
        let functions = AlertFunctions { context, answers };
        match self.0.render(&dot, &variables, &functions, limits) {
            Ok(text) => Ok(Expansion::Done(text)),
            Err(RenderError::Wants(query)) => Ok(Expansion::Query(query)),
            Err(RenderError::Failed(e)) => Err(e),
        }
    }
}
