//! The format and the spelling of names that a scraper asks for.

use http::{HeaderMap, header};

use super::escape::Escaping;
use super::exposed::Family;
use super::{protobuf, text};

/// A format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Prometheus' text 0.0.4.
    Text,
    /// OpenMetrics 1.0; only for those that take nothing else.
    OpenMetrics,
    /// Families in protobuf, each after its length.
    Protobuf,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub form: Form,
    pub escaping: Escaping,
}

/// An entry of an `Accept` header.
struct Accepted<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl<'a> Accepted<'a> {
    fn parse(entry: &'a str) -> Self {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next().unwrap_or("");
        let parameters: Vec<_> =
            parts.filter_map(|p| p.split_once('=')).map(|(n, v)| (n.trim(), v.trim().trim_matches('"'))).collect();
        let weight = parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
        Self { media, parameters, weight }
    }

    fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    fn form(&self) -> Option<Form> {
        match (self.media, self.parameter("version")) {
            ("application/vnd.google.protobuf", _)
                if self.parameter("proto") == "io.prometheus.client.MetricFamily"
                    && self.parameter("encoding") == "delimited" =>
            {
                Some(Form::Protobuf)
            }
            ("text/plain", "" | "0.0.4") => Some(Form::Text),
            ("application/openmetrics-text", _) => Some(Form::OpenMetrics),
            _ => None,
        }
    }
}

/// Chooses as Prometheus does: protobuf or its own text, whichever is wanted more, text if neither is; OpenMetrics, which
/// it does not give at all, to those that take nothing else.
pub(super) fn negotiate(headers: &HeaderMap) -> Chosen {
    let lists = headers.get_all(header::ACCEPT).into_iter().filter_map(|v| v.to_str().ok());
    let mut accepted: Vec<_> = lists.flat_map(|list| list.split(',')).map(|e| Accepted::parse(e.trim())).collect();
    accepted.sort_by(|a, b| b.weight.partial_cmp(&a.weight).unwrap_or(std::cmp::Ordering::Equal));
    let any = accepted.iter().any(|a| matches!(a.media, "*/*" | "text/*"));
    let mut chosen = Chosen { form: Form::Text, escaping: Escaping::Underscores };
    let mut openmetrics = None;
    for entry in &accepted {
        if let Some(escaping) = Escaping::parse(entry.parameter("escaping")) {
            chosen.escaping = escaping;
        }
        match entry.form() {
            Some(Form::OpenMetrics) => {
                openmetrics.get_or_insert(Chosen { form: Form::OpenMetrics, ..chosen });
            }
            Some(form) => return Chosen { form, ..chosen },
            None => {}
        }
    }
    openmetrics.filter(|_| !any).unwrap_or(chosen)
}

impl Chosen {
    /// The content type of an answer.
    pub fn content_type(self) -> String {
        let kind = match self.form {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        format!("{kind}; escaping={}", self.escaping.as_str())
    }

    /// Writes a part of a family.
    pub fn write(self, family: &Family, out: &mut Vec<u8>) {
        match self.form {
            Form::Text => text::write(family, self.escaping, text::Dialect::Prometheus, out),
            Form::OpenMetrics => text::write(family, self.escaping, text::Dialect::OpenMetrics, out),
            Form::Protobuf => protobuf::write(family, self.escaping, out),
        }
    }

    /// Writes what ends an answer.
    pub fn end(self, out: &mut Vec<u8>) {
        if self.form == Form::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let scraper = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                       text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, form, escaping) in [
            ("", Form::Text, Escaping::Underscores),
            ("*/*", Form::Text, Escaping::Underscores),
            ("text/plain", Form::Text, Escaping::Underscores),
            ("text/plain;version=0.0.4;escaping=values", Form::Text, Escaping::Values),
            (scraper, Form::Text, Escaping::AllowUtf8),
            (&format!("{proto};q=0.7,{scraper}"), Form::Protobuf, Escaping::Underscores),
            (&format!("{proto};q=0.1,text/plain;q=0.5"), Form::Text, Escaping::Underscores),
            ("application/vnd.google.protobuf;proto=x.Y;encoding=delimited", Form::Text, Escaping::Underscores),
            ("application/openmetrics-text; version=1.0.0; escaping=dots", Form::OpenMetrics, Escaping::Dots),
            ("application/openmetrics-text, */*;q=0.1", Form::Text, Escaping::Underscores),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(negotiate(&headers), Chosen { form, escaping }, "{accept}");
        }
    }
}
