//! Which message a request says it holds.

use http::{HeaderMap, header};

/// A message of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

impl MessageType {
    /// Both, the newer one first.
    pub const ALL: [Self; 2] = [Self::V2, Self::V1];

    /// The name of the message, as flags and content types write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The message of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|message| message.as_str() == name)
    }
}

const MEDIA_TYPE: &str = "application/x-protobuf";

/// The message of a request. Without a content type, or a `proto` parameter, it is 1.0.
///
/// # Errors
/// Why this request cannot be read (HTTP 415).
pub(super) fn message(headers: &HeaderMap, accepted: &[MessageType]) -> Result<MessageType, String> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or("", |v| v.to_str().unwrap_or("?"));
    if !encoding.is_empty() && encoding != "snappy" {
        return Err(format!("content encoding {encoding} is not accepted by this server; only snappy is acceptable"));
    }
    let message = match headers.get(header::CONTENT_TYPE) {
        None => MessageType::V1,
        Some(value) => parse(value.to_str().unwrap_or("?"))?,
    };
    if accepted.contains(&message) {
        return Ok(message);
    }
    let names: Vec<_> = accepted.iter().map(|m| m.as_str()).collect();
    Err(format!(
        "{} protobuf message is not accepted by this server; only accepts {} \
         (--web.remote-write-receiver.accepted-protobuf-messages)",
        message.as_str(),
        names.join(", ")
    ))
}

fn parse(content_type: &str) -> Result<MessageType, String> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(format!("expected {MEDIA_TYPE} as the media type, got content type {content_type:?}"));
    }
    for part in parts.filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!("parameter {part:?} of content type {content_type:?} is no pair of name and value"));
        };
        if name.eq_ignore_ascii_case("proto") {
            let value = value.trim_matches('"');
            return MessageType::parse(value)
                .ok_or_else(|| format!("unknown protobuf message {value:?} in content type {content_type:?}"));
        }
    }
    Ok(MessageType::V1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_and_encodings() {
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        for (kind, encoding, accepted, wanted) in [
            (Some("application/x-protobuf"), Some("snappy"), &MessageType::ALL[..], Ok(MessageType::V1)),
            (None, None, &MessageType::ALL, Ok(MessageType::V1)),
            (Some(v2), Some("snappy"), &MessageType::ALL, Ok(MessageType::V2)),
            (
                Some("application/x-protobuf; proto=prometheus.WriteRequest"),
                None,
                &MessageType::ALL,
                Ok(MessageType::V1),
            ),
            (Some("application/x-protobuf; charset=utf-8"), None, &MessageType::ALL, Ok(MessageType::V1)),
            (Some(v2), None, &[MessageType::V1], Err("only accepts prometheus.WriteRequest")),
            (Some("application/x-protobuf"), None, &[MessageType::V2], Err("is not accepted by this server")),
            (Some("application/json"), None, &MessageType::ALL, Err("expected application/x-protobuf")),
            (Some("application/x-protobuf;proto"), None, &MessageType::ALL, Err("no pair")),
            (Some("application/x-protobuf;proto=x.Y"), None, &MessageType::ALL, Err("unknown protobuf message")),
            (Some(v2), Some("gzip"), &MessageType::ALL, Err("only snappy is acceptable")),
        ] {
            let mut headers = HeaderMap::new();
            kind.map(|kind| headers.insert(header::CONTENT_TYPE, kind.parse().unwrap()));
            encoding.map(|encoding| headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap()));
            match (message(&headers, accepted), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
                other => panic!("{kind:?} {encoding:?}: {other:?}"),
            }
        }
    }
}
