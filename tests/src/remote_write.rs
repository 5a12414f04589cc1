//! Samples into a Prometheus by remote write 1.0.

use anyhow::{Context, ensure};
use prost::Message;
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::{Label, Sample, TimeSeries};

use crate::data::{Series, TICKS};

/// Ticks in one request: ten minutes.
const BATCH_TICKS: i64 = 20;

/// Label pairs on the wire, in order of name.
pub fn wire_labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Label> {
    let mut labels: Vec<_> =
        pairs.into_iter().map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    labels
}

/// Sends one request to the server at `base`.
///
/// # Errors
/// The server refuses it or is gone.
pub async fn send(client: &reqwest::Client, base: &str, request: &WriteRequest) -> anyhow::Result<()> {
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
    let response = client
        .post(format!("{base}/api/v1/write"))
        .header("Content-Encoding", "snappy")
        .header("Content-Type", "application/x-protobuf")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .body(body)
        .send()
        .await?;
    let status = response.status();
    ensure!(status.is_success(), "{status}: {}", response.text().await.unwrap_or_default());
    Ok(())
}

/// Sends all samples of `series` for which `keep(tick)` holds, with `extra` labels on each, in order of time.
///
/// # Errors
/// The server refuses them or is gone.
pub async fn fill(
    client: &reqwest::Client,
    base: &str,
    series: &[Series],
    extra: &[(&str, &str)],
    keep: impl Fn(i64) -> bool,
) -> anyhow::Result<()> {
    let labels: Vec<_> = series
        .iter()
        .map(|s| wire_labels(s.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).chain(extra.iter().copied())))
        .collect();
    let mut from = 0;
    while from < TICKS {
        let to = (from + BATCH_TICKS).min(TICKS);
        let timeseries = series.iter().zip(&labels).filter_map(|(series, labels)| {
            let samples: Vec<_> = (from..to)
                .filter(|tick| keep(*tick))
                .filter_map(|tick| Some(Sample { value: series.value(tick)?, timestamp: series.time_ms(tick) }))
                .collect();
            (!samples.is_empty()).then(|| TimeSeries { labels: labels.clone(), samples, ..Default::default() })
        });
        let request = WriteRequest { timeseries: timeseries.collect(), ..Default::default() };
        send(client, base, &request).await.with_context(|| format!("ticks {from}..{to}"))?;
        from = to;
    }
    Ok(())
}
