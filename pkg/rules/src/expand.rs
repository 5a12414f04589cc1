//! Templates of alerts, whose queries are answered on the way.

use gotemplate::prometheus::{AlertData, AlertTemplate, Answers, Context, Expansion};
use gotemplate::{Limits, Sample};

use crate::query::Asker;

/// Different queries that the templates of a rule may make in one evaluation.
const QUERIES_MAX: usize = 1000;

/// Expands the templates of one rule in one evaluation: a query is asked once, whichever templates make it.
pub(crate) struct Expander<'a> {
    asker: &'a Asker,
    context: Context,
    answers: Answers,
    limits: Limits,
}

impl<'a> Expander<'a> {
    pub fn new(asker: &'a Asker, context: Context, limits: Limits) -> Self {
        Self { asker, context, answers: Answers::default(), limits }
    }

    /// The text, or why there is none.
    pub async fn expand(&mut self, template: &AlertTemplate, data: &AlertData) -> Result<String, String> {
        loop {
            let expansion = template.expand(data, &self.context, &self.answers, self.limits);
            match expansion.map_err(|e| e.to_string())? {
                Expansion::Done(text) => return Ok(text),
                Expansion::Query(query) => {
                    if self.answers.len() >= QUERIES_MAX {
                        return Err(format!("more than {QUERIES_MAX} different queries"));
                    }
                    let asked = self.asker.vector(&query, None, self.context.now_ms).await;
                    let answer = asked.map_err(|e| e.to_string()).map(|asked| {
                        asked.samples.into_iter().map(|s| Sample { labels: s.labels, value: s.value }).collect()
                    });
                    self.answers.add(query, answer);
                }
            }
        }
    }
}
