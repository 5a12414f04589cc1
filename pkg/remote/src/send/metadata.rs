//! Metadata of metric families: sent in requests of its own with version 1, kept for the samples with version 2.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::MetricMetadata;
use storage::MetadataByMetric;
use tokio::time::sleep;

use super::client::Failure;
use super::config::MetadataSending;
use super::encode::{Families, Snappy, metadata_request};
use super::queue::Shared;
use crate::receive::MessageType;

/// Gives the metadata of what is scraped now.
pub type MetadataNow = Arc<dyn Fn() -> BoxFuture<'static, MetadataByMetric> + Send + Sync>;

/// Until there is any: the first scrapes come within this time mostly.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Tries of one request; what is lost comes again with the next round.
const TRIES: u32 = 3;

/// Sends or keeps metadata for one queue, for ever.
pub(super) async fn run(shared: Arc<Shared>, now: MetadataNow, sending: MetadataSending) {
    let mut snappy = Snappy::default();
    loop {
        let all = now().await;
        let families: Families =
            all.into_iter().filter_map(|(family, of)| Some((family, of.into_iter().next()?))).collect();
        let pause = if families.is_empty() { FIRST_PAUSE.min(sending.interval) } else { sending.interval };
        match shared.config.message {
            MessageType::V1 => send(&shared, &families, sending, &mut snappy).await,
            MessageType::V2 => *shared.families.write() = Arc::new(families),
        }
        sleep(pause.max(Duration::from_millis(10))).await;
    }
}

async fn send(shared: &Shared, families: &Families, sending: MetadataSending, snappy: &mut Snappy) {
    let mut all: Vec<(&str, &MetricMetadata)> = families.iter().map(|(family, of)| (family.as_str(), of)).collect();
    all.sort_unstable_by_key(|(family, _)| *family);
    for part in all.chunks(sending.max_samples_per_send.max(1)) {
        let body = bytes::Bytes::copy_from_slice(snappy.compress(&metadata_request(part.iter().copied())));
        let mut backoff = shared.config.min_backoff;
        for attempt in 0..TRIES {
            let count = part.len() as u64;
            let (bytes, metrics) = (body.len() as u64, &shared.metrics);
            match shared.client.post_v1(body.clone(), attempt).await {
                Ok(_) => {
                    metrics.metadata_sent.inc_by(count);
                    metrics.metadata_bytes.inc_by(bytes);
                    break;
                }
                Err(Failure::Again(_, after)) if attempt + 1 < TRIES => {
                    metrics.metadata_retried.inc_by(count);
                    sleep(after.unwrap_or(backoff)).await;
                    backoff = (backoff * 2).min(shared.config.max_backoff);
                }
                Err(Failure::Again(why, _) | Failure::Refused(why)) => {
                    metrics.metadata_failed.inc_by(count);
                    shared.tell(|times| {
                        tracing::warn!(
                            remote_name = shared.name,
                            url = shared.url,
                            why,
                            times,
                            "metadata cannot be sent"
                        );
                    });
                    break;
                }
            }
        }
    }
}
