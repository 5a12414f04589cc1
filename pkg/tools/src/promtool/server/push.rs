//! `aion tools push metrics`: the samples of a text file to a receiver of remote write.

use std::collections::BTreeMap;
use std::time::Duration;

use flags::{Flag, Parsed};
use labels::{Labels, METRIC_NAME};
use remote::receive::MessageType;
use remote::{PushedFamily, PushedSample, push_headers, push_message};
use service::tool::Deps;
use textparse::{Entry, Format, Options, Parser};

use super::super::common::{Outcome, standard_input};
use super::{HTTP_CONFIG, client_config, pair};
use crate::Error;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::text("label", "job=promtool", "Label to attach to metrics. Can be specified multiple times.")
        .placeholder("<name=value>")
        .repeated(),
    Flag::duration("timeout", "30s", "The time to wait for pushing metrics."),
    Flag::text("header", "", "Prometheus remote write header.").placeholder("<name=value>").repeated(),
    Flag::word(
        "protobuf_message",
        &["prometheus.WriteRequest", "io.prometheus.write.v2.Request"],
        "prometheus.WriteRequest",
        "Protobuf message to use when writing.",
    ),
    Flag::text(
        "remote-write.path",
        "/api/v1/write",
        "Path of the receiver below the URL. It is added unless the URL ends with it. With / the URL is taken as it is.",
    ),
    HTTP_CONFIG,
];

/// Of a refusal, so much is shown.
const REASON_BYTES_MAX: usize = 1024;

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let Some((url, files)) = parsed.args().split_first() else {
        return Err(Error::Usage("the URL of a remote write receiver is needed".to_owned()));
    };
    let url = write_url(url, parsed.text("remote-write.path"));
    let extra = parsed.list("label");
    let extra: Vec<(&str, &str)> = extra.iter().map(|text| pair("label", text)).collect::<Result<_, _>>()?;
    let now_ms = deps.clock.now_ms();
    let mut texts = Vec::new();
    if files.is_empty() {
        texts.push((None, standard_input()?));
    }
    let mut failed = false;
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => texts.push((Some(file), text)),
            Err(e) => {
                failed = true;
                deps.print_error(&format!("  FAILED: {file}: {e}\n"))?;
            }
        }
    }
    for (file, text) in texts {
        deps.print(&match file {
            Some(file) => format!("Parsing metrics file {file}\n"),
            None => "Parsing standard input\n".to_owned(),
        })?;
        let pushed = match read(text.as_bytes(), &extra, now_ms) {
            Ok(read) => push(parsed, &url, read).await,
            Err(why) => Err(Error::Failed(why)),
        };
        match (pushed, file) {
            (Ok(()), Some(file)) => {
                deps.print(&format!("  SUCCESS: metrics file {file} pushed to remote write.\n"))?;
            }
            (Ok(()), None) => deps.print("  SUCCESS: metrics pushed to remote write.\n")?,
            (Err(why), _) => {
                failed = true;
                deps.print_error(&format!("  FAILED: {why}\n"))?;
            }
        }
    }
    Ok(u8::from(failed))
}

/// The receiver of a server: `path` is added to its URL, which may end with it already.
fn write_url(url: &str, path: &str) -> String {
    let (url, path) = (url.trim_end_matches('/'), path.trim_matches('/'));
    match path.is_empty() || url.ends_with(&format!("/{path}")) {
        true => url.to_owned(),
        false => format!("{url}/{path}"),
    }
}

async fn push(parsed: &Parsed, url: &str, (samples, families): Read) -> Result<(), Error> {
    let text = |e: &dyn std::fmt::Display| Error::Failed(format!("{}: {e}", model::redact_urls(url)));
    let message = MessageType::parse(parsed.text("protobuf_message")).unwrap_or(MessageType::V1);
    let body = push_message(message, &samples, &families).map_err(|e| text(&e))?;
    let timeout = Duration::from_millis(parsed.duration_ms("timeout").max(1).unsigned_abs());
    let request = client_config(parsed)?.build()?.post(url)?.timeout(timeout).body(body);
    let request = push_headers(message).iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await;
    let mut answer = answer.map_err(|e| text(&e.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let mut reason = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        reason.extend_from_slice(&part);
        if reason.len() >= REASON_BYTES_MAX {
            break;
        }
    }
    Err(text(&format!("server returned HTTP status {status}: {}", promclient::excerpt(&reason))))
}

/// The samples and the metric families of a body.
type Read = (Vec<PushedSample>, Vec<PushedFamily>);

/// The samples of a body in the text format, with the labels `extra`, which those of a metric prevail over. Samples without
/// a time are of `now_ms`.
fn read(body: &[u8], extra: &[(&str, &str)], now_ms: i64) -> Result<Read, String> {
    let mut parser = Parser::new(body, Format::Text, Options::default()).map_err(|e| e.to_string())?;
    let (mut families, mut samples) = (BTreeMap::<String, PushedFamily>::new(), Vec::new());
    let family_of = |name: &str| PushedFamily {
        name: name.to_owned(),
        metric_type: model::MetricType::Unknown,
        help: String::new(),
    };
    while let Some(entry) = parser.next().map_err(|e| e.to_string())? {
        match entry {
            Entry::Type { family, metric_type } => {
                families.entry(family.to_string()).or_insert_with(|| family_of(&family)).metric_type = metric_type;
            }
            Entry::Help { family, text } => {
                families.entry(family.to_string()).or_insert_with(|| family_of(&family)).help = text.into_owned();
            }
            Entry::Sample(sample) => {
                let mut pairs: BTreeMap<String, String> =
                    extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                pairs.insert(METRIC_NAME.to_owned(), sample.series.name().into_owned());
                for (name, value) in sample.series.labels() {
                    let name = if name == "job" { "exported_job".to_owned() } else { name.into_owned() };
                    pairs.insert(name, value.into_owned());
                }
                samples.push(PushedSample {
                    labels: Labels::from_pairs(pairs),
                    time_ms: sample.timestamp_ms.unwrap_or(now_ms),
                    value: sample.value,
                });
            }
            _ => {}
        }
    }
    Ok((samples, families.into_values().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let body = b"# HELP a_total help\n# TYPE a_total counter\na_total{job=\"x\",z=\"1\"} 3\nb 4 1000\n";
        let (samples, families) = read(body, &[("job", "promtool"), ("z", "0")], 7).unwrap();
        let shown: Vec<String> = samples.iter().map(|s| format!("{} {} {}", s.labels, s.value, s.time_ms)).collect();
        assert_eq!(
            shown,
            [
                "{__name__=\"a_total\", exported_job=\"x\", job=\"promtool\", z=\"1\"} 3 7",
                "{__name__=\"b\", job=\"promtool\", z=\"0\"} 4 1000"
            ]
        );
        assert_eq!((families.len(), families[0].metric_type), (1, model::MetricType::Counter));
        assert!(read(b"a{", &[], 0).is_err());
    }

    #[test]
    fn urls() {
        for (url, path, want) in [
            ("http://h:9090", "/api/v1/write", "http://h:9090/api/v1/write"),
            ("http://h/prom/", "/api/v1/write", "http://h/prom/api/v1/write"),
            ("http://h:9090/api/v1/write", "/api/v1/write", "http://h:9090/api/v1/write"),
            ("http://h/api/v1/push", "/", "http://h/api/v1/push"),
        ] {
            assert_eq!(write_url(url, path), want);
        }
    }
}
