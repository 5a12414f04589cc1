//! From a `Content-Type` to the parser.

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format, 0.0.4 or 1.0.0 (which one is no difference to the parser).
    Text,
    /// OpenMetrics text, 0.0.1 or 1.0.0.
    OpenMetrics,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// The media type without parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
            Self::Protobuf => "application/vnd.google.protobuf",
        }
    }
}

/// The format of an answer, and what is to be told about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What the body is to be read as.
    pub format: Format,
    /// Why the fallback was taken, if it was.
    pub note: Option<String>,
}

/// A `Content-Type` that tells no known format, and no fallback to take instead. Set `fallback_scrape_protocol` or mend the
/// target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownFormat(String);

/// The format that an answer's `Content-Type` names (`""` = none was sent), else `fallback`.
///
/// # Errors
/// [`UnknownFormat`] where there is no fallback; the scrape has failed then.
pub fn choose_format(content_type: &str, fallback: Option<Format>) -> Result<Chosen, UnknownFormat> {
    let why = if content_type.is_empty() {
        "non-compliant scrape target sending blank Content-Type".to_owned()
    } else {
        match media_type(content_type).as_deref() {
            Some("text/plain") => return Ok(Chosen { format: Format::Text, note: None }),
            Some("application/openmetrics-text") => return Ok(Chosen { format: Format::OpenMetrics, note: None }),
            Some("application/vnd.google.protobuf") => return Ok(Chosen { format: Format::Protobuf, note: None }),
            Some(_) => format!("received unsupported Content-Type {content_type:?}"),
            None => format!("cannot parse Content-Type {content_type:?}"),
        }
    };
    match fallback {
        Some(format) => {
            let note = format!("{why}, using fallback_scrape_protocol {:?}", format.media_type());
            Ok(Chosen { format, note: Some(note) })
        }
        None => Err(UnknownFormat(format!("{why} and no fallback_scrape_protocol specified for target"))),
    }
}

/// The media type in lower case; `None` if the header is malformed (RFC 2045).
fn media_type(content_type: &str) -> Option<String> {
    let (media, mut parameters) = split(content_type);
    let (kind, subtype) = media.trim().split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut names = Vec::new();
    while let Some(rest) = parameters {
        let (parameter, next) = split(rest);
        parameters = next;
        // An empty one at the end is taken, as in `text/plain;`.
        if parameter.trim().is_empty() && next.is_none() {
            break;
        }
        let (name, value) = parameter.trim().split_once('=')?;
        let name = name.trim_end().to_ascii_lowercase();
        let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
        if !is_token(&name) || !(quoted || is_token(value)) || names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(media.trim().to_ascii_lowercase())
}

/// What stands before the next `;` outside of quotes, and what behind.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut in_quotes = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b';' if !in_quotes => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        for (header, want) in [
            ("text/plain", Some(Format::Text)),
            ("text/plain; version=0.0.4", Some(Format::Text)),
            ("Text/Plain;version=1.0.0;escaping=allow-utf-8; charset=\"utf-8\"", Some(Format::Text)),
            ("text/plain;", Some(Format::Text)),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Some(Format::OpenMetrics)),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                Some(Format::Protobuf),
            ),
            ("", None),
            ("text/html", None),
            ("text", None),
            ("text/plain; version", None),
            ("text/plain; a=1; a=2", None),
            ("text/plain; a=\"1", None),
            ("invalid\n\r/x", None),
        ] {
            let plain = choose_format(header, None);
            assert_eq!(plain.clone().ok(), want.map(|format| Chosen { format, note: None }), "{header:?}: {plain:?}");
            let chosen = choose_format(header, Some(Format::OpenMetrics)).unwrap();
            assert_eq!(chosen.format, want.unwrap_or(Format::OpenMetrics), "{header:?}");
            assert_eq!(chosen.note.is_some(), want.is_none(), "{header:?}");
        }
        let blank = choose_format("", None).unwrap_err().to_string();
        assert!(blank.contains("blank Content-Type and no fallback_scrape_protocol"), "{blank}");
        let unsupported = choose_format("text/html", None).unwrap_err().to_string();
        assert!(unsupported.contains("received unsupported Content-Type \"text/html\""), "{unsupported}");
    }
}
