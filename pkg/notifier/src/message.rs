//! Alerts as Alertmanager's API v2 takes them.

use std::sync::Arc;

use labels::Labels;
use model::format_rfc3339_ms;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::alert::Alert;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    annotations: Pairs<'a>,
    ends_at: String,
    starts_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: Pairs<'a>,
}

struct Pairs<'a>(&'a Labels);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The body of a request.
pub(crate) fn body(alerts: &[Arc<Alert>]) -> Vec<u8> {
    let messages: Vec<_> = alerts.iter().map(|alert| message(alert)).collect();
    // Texts in maps with texts as keys always make JSON.
    serde_json::to_vec(&messages).unwrap_or_default()
}

fn message(alert: &Alert) -> Message<'_> {
    Message {
        annotations: Pairs(&alert.annotations),
        ends_at: format_rfc3339_ms(alert.ends_at_ms),
        starts_at: format_rfc3339_ms(alert.starts_at_ms),
        generator_url: &alert.generator_url,
        labels: Pairs(&alert.labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_json() {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "Down"), ("x", "\"")]),
            annotations: Labels::from_pairs([("summary", "it is down")]),
            starts_at_ms: 1_000_500,
            ends_at_ms: 2_000_000,
            generator_url: "http://x/graph".to_owned(),
        };
        let text = String::from_utf8(body(&[Arc::new(alert)])).unwrap();
        let want = r#"[{"annotations":{"summary":"it is down"},"endsAt":"1970-01-01T00:33:20Z","startsAt":"1970-01-01T00:16:40.5Z","generatorURL":"http://x/graph","labels":{"alertname":"Down","x":"\""}}]"#;
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let (got, want) = (parse(&text), parse(want));
        assert_eq!(got[0]["labels"], want[0]["labels"]);
        assert_eq!(got[0]["generatorURL"], want[0]["generatorURL"]);
        assert!(got[0]["startsAt"].as_str().unwrap().starts_with("1970-01-01T00:16:40.5"), "{text}");
        assert!(got[0]["endsAt"].as_str().unwrap().starts_with("1970-01-01T00:33:20"), "{text}");
    }
}
