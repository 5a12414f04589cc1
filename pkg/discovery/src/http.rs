//! Lists of targets that an HTTP server gives: `http_sd_configs`.

use std::collections::BTreeMap;

use bytes::BytesMut;
use futures::future::BoxFuture;
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde::Deserialize;
use telemetry::Counter;
use transport::http::HttpClient;

use crate::Update;
use crate::config::HttpConfig;
use crate::refresh::Lookup;

/// The label that holds the URL a group was found at, as in Prometheus; a password in it is not shown.
const URL_LABEL: &str = "__meta_url";

/// A URL with a JSON list of groups.
#[derive(Debug)]
pub struct HttpLookup {
    client: HttpClient,
    url: String,
    /// Without a password.
    shown: String,
    interval_s: String,
    body_bytes_max: usize,
    failures: Counter,
}

impl HttpLookup {
    /// Answers of more than `body_bytes_max` bytes are failures, which `failures` counts.
    ///
    /// # Errors
    /// A client that cannot be built: TLS files that are not there, for instance.
    pub fn new(config: &HttpConfig, body_bytes_max: usize, failures: Counter) -> Result<Self, String> {
        Ok(Self {
            client: config.http.clone().build().map_err(|e| e.to_string())?,
            url: config.url.clone(),
            shown: model::redact_urls(&config.url).into_owned(),
            interval_s: config.refresh_interval.std().as_secs_f64().to_string(),
            body_bytes_max,
            failures,
        })
    }

    async fn fetch(&self) -> Result<Vec<TargetGroup>, String> {
        let request = self.client.request(Method::GET, &self.url).await.map_err(|e| e.to_string())?;
        let request = request
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("aion/", env!("CARGO_PKG_VERSION")))
            .header("X-Prometheus-Refresh-Interval-Seconds", &self.interval_s);
        let mut answer = request.send().await.map_err(|e| describe(&e.without_url()))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("the server answers {}", answer.status()));
        }
        let kind =
            answer.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if !kind.as_deref().is_some_and(is_json) {
            let kind = kind.unwrap_or_default();
            return Err(format!("the answer is of type {kind:?}, not application/json"));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| describe(&e.without_url()))? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(format!("the answer is longer than {} bytes", self.body_bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        parse_groups(&self.shown, &body)
    }
}

/// An error with its causes.
pub(crate) fn describe(e: &dyn std::error::Error) -> String {
    std::iter::successors(Some(e), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn is_json(content_type: &str) -> bool {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let parameters = parameters.trim();
    let charset = parameters.strip_prefix("charset=").map(|charset| charset.trim_matches('"'));
    let utf8 = parameters.is_empty() || charset.is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8"));
    kind.trim().eq_ignore_ascii_case("application/json") && utf8
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// The groups of an answer; their sources are `url` and their places in the list.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn parse_groups(url: &str, body: &[u8]) -> Result<Vec<TargetGroup>, String> {
    let groups: Option<Vec<Group>> =
        serde_json::from_slice(body).map_err(|e| format!("the answer is no list of target groups: {e}"))?;
    let one = |(i, group): (usize, Group)| {
        let own = group.labels.unwrap_or_default();
        let given = own.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let given = given.filter(|(name, value)| *name != URL_LABEL && !name.is_empty() && !value.is_empty());
        TargetGroup {
            source: format!("{url}:{i}"),
            targets: group.targets.iter().flatten().map(|t| Labels::from_pairs([(ADDRESS_LABEL, t)])).collect(),
            labels: Labels::from_pairs(given.chain([(URL_LABEL, url)])),
        }
    };
    Ok(groups.unwrap_or_default().into_iter().enumerate().map(one).collect())
}

impl Lookup for HttpLookup {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Update>, String>> {
        Box::pin(async move {
            let found = self.fetch().await.map_err(|why| {
                self.failures.inc();
                format!("{}: {why}", self.shown)
            })?;
            Ok(found.into_iter().map(Update::found).collect())
        })
    }

    fn name(&self) -> &str {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let read = |text: &str| parse_groups("http://a/", text.as_bytes());
        let groups =
            read(r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y", "z": "", "n": null}}, {"targets": []}]"#)
                .unwrap();
        assert_eq!(groups.iter().map(|g| g.source.as_str()).collect::<Vec<_>>(), ["http://a/:0", "http://a/:1"]);
        assert_eq!(groups[0].addresses().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(groups[0].labels, Labels::from_pairs([("x", "y"), (URL_LABEL, "http://a/")]));
        assert!(read("[]").unwrap().is_empty() && read("null").unwrap().is_empty());
        for (text, why) in [
            ("", "EOF"),
            ("{}", "no list"),
            ("[null]", "no list"),
            ("[{\"targets\": [1]}]", "column 15"),
            ("[\n{\"target\": []}]", "line 2"),
            ("[] x", "trailing"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn types() {
        for (kind, good) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(kind), good, "{kind}");
        }
    }
}
