//! Requests as they come, and what is asked by them.

use labels::{Labels, MatchType, Matcher};
use model::TimeRange;
use prost::Message;
use proto::prometheus as wire;
use proto::prometheus_copy::Label;
use storage::{PartialResponse, Select};

/// What a reader asks.
#[derive(Debug)]
pub(super) struct Request {
    pub queries: Vec<Query>,
    /// In frames; else as samples in one message.
    pub in_frames: bool,
}

/// One query of a request.
#[derive(Debug)]
pub(super) struct Query {
    /// That of the hints where there are some: it is the selector's own, the query's that of the whole request.
    pub range: TimeRange,
    matchers: Vec<Matcher>,
    step_ms: i64,
    function: String,
}

/// Reads a request of at most `decoded_bytes_max` bytes after decompression.
///
/// # Errors
/// Why it is none.
pub(super) fn request(body: &[u8], decoded_bytes_max: usize) -> Result<Request, String> {
    let len = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    if len > decoded_bytes_max {
        return Err(format!("snappy: decoded length {len} exceeds limit {decoded_bytes_max}"));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| e.to_string())?;
    let message = wire::ReadRequest::decode(&*plain).map_err(|e| e.to_string())?;
    let in_frames = in_frames(&message.accepted_response_types)?;
    let queries = message.queries.into_iter().map(query).collect::<Result<_, _>>()?;
    Ok(Request { queries, in_frames })
}

/// The first form that is known; samples when the reader names none.
fn in_frames(accepted: &[i32]) -> Result<bool, String> {
    use wire::read_request::ResponseType as Form;
    if accepted.is_empty() {
        return Ok(false);
    }
    let known = accepted.iter().find_map(|form| Form::try_from(*form).ok());
    known.map(|form| form == Form::StreamedXorChunks).ok_or_else(|| {
        format!(
            "server does not support any of the requested response types: {accepted:?}; supported: SAMPLES, \
                 STREAMED_XOR_CHUNKS"
        )
    })
}

fn query(query: wire::Query) -> Result<Query, String> {
    let matchers = query.matchers.into_iter().map(matcher).collect::<Result<_, _>>()?;
    let range = match &query.hints {
        Some(hints) => TimeRange::new(hints.start_ms, hints.end_ms),
        None => TimeRange::new(query.start_timestamp_ms, query.end_timestamp_ms),
    };
    let hints = query.hints.unwrap_or_default();
    Ok(Query { range, matchers, step_ms: hints.step_ms, function: hints.func })
}

fn matcher(m: wire::LabelMatcher) -> Result<Matcher, String> {
    use wire::label_matcher::Type;
    let kind = match Type::try_from(m.r#type) {
        Ok(Type::Eq) => MatchType::Equal,
        Ok(Type::Neq) => MatchType::NotEqual,
        Ok(Type::Re) => MatchType::Regex,
        Ok(Type::Nre) => MatchType::NotRegex,
        Err(_) => return Err("invalid matcher type".to_owned()),
    };
    Matcher::new(kind, m.name, m.value).map_err(|e| e.to_string())
}

impl Query {
    /// What to select of a source whose series do not have the external labels: a matcher for the value that one of them
    /// has asks for series that have no such label, as it is put on them afterwards. Without matchers nothing is selected.
    pub fn select(self, external: &Labels) -> Option<Select> {
        if self.matchers.is_empty() {
            return None;
        }
        let rewritten = self.matchers.into_iter().map(|m| match external.get(m.name()) {
            Some(value) if m.kind() == MatchType::Equal && m.value() == value => Matcher::equal(m.name(), ""),
            _ => m,
        });
        Some(Select {
            step_ms: self.step_ms,
            function: Some(self.function).filter(|f| !f.is_empty()).map(Into::into),
            partial_response: PartialResponse::Abort,
            ..Select::new(self.range, rewritten.collect::<Vec<_>>())
        })
    }
}

/// Labels with external ones added; a series' own label stays.
pub(super) fn labels(own: &Labels, external: &Labels) -> Vec<Label> {
    let all = external.overlay(own);
    all.iter().map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

/// Reads a request as the server does. For the fuzz targets.
#[doc(hidden)]
pub fn untrusted(body: &[u8]) -> usize {
    request(body, 1 << 20).map_or(0, |request| {
        let external = Labels::from_pairs([("replica", "a")]);
        request.queries.into_iter().filter_map(|q| q.select(&external)).map(|s| s.matchers.len()).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(in_frames(&[]), Ok(false));
        assert_eq!(in_frames(&[7, 1, 0]), Ok(true));
        assert_eq!(in_frames(&[0, 1]), Ok(false));
        assert!(in_frames(&[7]).unwrap_err().contains("does not support"));
    }

    #[test]
    fn matchers_on_external_labels() {
        let external = Labels::from_pairs([("replica", "a")]);
        let kinds = [
            (0, "a", "replica=\"\""),
            (0, "b", "replica=\"b\""),
            (1, "a", "replica!=\"a\""),
            (2, "a|b", "replica=~\"a|b\""),
        ];
        for (kind, value, wanted) in kinds {
            let m = wire::LabelMatcher { r#type: kind, name: "replica".to_owned(), value: value.to_owned() };
            let query = query(wire::Query { matchers: vec![m], ..Default::default() }).unwrap();
            assert_eq!(query.select(&external).unwrap().matchers[0].to_string(), wanted);
        }
        let own = Labels::from_pairs([("job", "x"), ("replica", "own")]);
        let merged: Vec<_> = labels(&own, &external).into_iter().map(|l| l.value).collect();
        assert_eq!(merged, ["x", "own"]);
    }
}
