//! Multipart uploads that nobody will complete: their parts take space, and no listing of objects shows them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use block::BlockId;
use bucket::unfinished;
use objstore::{ErrorKind, UnfinishedUpload};

use crate::clean::Cleaned;
use crate::compactor::{Compactor, Now};
use crate::lease::Lease;
use crate::snapshot::Snapshot;

impl Compactor {
    /// Abandoned multipart uploads, of blocks that no compactor writes now. They count as abandoned after the same age as a
    /// block without `meta.json`. `None` if the store does not list uploads, which is logged once.
    pub(crate) async fn abandoned_uploads(
        &self,
        snapshot: &Snapshot,
        now_ms: i64,
    ) -> Option<Vec<(BlockId, UnfinishedUpload)>> {
        let found =
            unfinished::abandoned(&self.deps.bucket, &snapshot.view.objects, now_ms, self.settings.partial_age_ms);
        let mut found = match found.await {
            Ok(found) => found,
            Err(e) => {
                let kind = match &e {
                    bucket::Error::Bucket(e) => Some(e.kind()),
                    _ => None,
                };
                let is_for_good =
                    matches!(kind, Some(ErrorKind::Unsupported | ErrorKind::Denied | ErrorKind::NotFound));
                if !is_for_good {
                    tracing::warn!(err = %e, "unfinished uploads not listed, trying again");
                } else if !self.known.uploads_unknown.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        err = %e,
                        "unfinished uploads cannot be listed: allow s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts and s3:AbortMultipartUpload, or have the bucket's lifecycle rules abort them"
                    );
                }
                return None;
            }
        };
        let used = self.used(snapshot);
        found.retain(|(id, _)| !used.contains(id));
        self.metrics.unfinished_uploads.set(found.len() as f64);
        Some(found)
    }

    /// Blocks that running compactors write, or have decided to make visible.
    pub(crate) fn used(&self, snapshot: &Snapshot) -> BTreeSet<BlockId> {
        snapshot.in_use(|key, listed| {
            let entry = listed.entry.as_ref();
            entry.is_none_or(|e| self.leases.is_free(key, listed, e))
        })
    }

    pub(crate) async fn abort_unfinished(&self, snapshot: &Snapshot, lease: &Lease, now: Now, cleaned: &mut Cleaned) {
        let now_ms = now.earlier_ms();
        for (_, upload) in self.abandoned_uploads(snapshot, now_ms).await.unwrap_or_default() {
            if lease.check().await.is_err() {
                return;
            }
            match unfinished::abort(&self.deps.bucket, &upload, now_ms, self.settings.partial_age_ms).await {
                Ok(true) => {
                    cleaned.aborted += 1;
                    self.metrics.uploads_aborted.inc();
                }
                Ok(false) => {}
                Err(e) => {
                    cleaned.failed += 1;
                    self.metrics.upload_abort_failures.inc();
                    tracing::warn!(path = upload.path, err = %e, "upload not aborted, tried again next time");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use model::{Clock, SystemClock};
    use objstore::{Bucket, ConditionalCreate, OpenOptions};
    use service::Failpoints;
    use telemetry::Metrics;
    use testkit::s3::{Fault, FaultKind, Operation, Server};

    use super::*;
    use crate::compactor::Deps;
    use crate::merge_engine::MergeEngine;
    use crate::settings::Settings;

    fn compactor(bucket: &Bucket, metrics: &Metrics) -> Compactor {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine =
            MergeEngine { bucket: bucket.clone(), limits: merge::Limits::default(), failpoints: Failpoints::none() };
        let deps = Deps {
            bucket: bucket.clone(),
            conditional: ConditionalCreate::Honoured,
            clock: clock.clone(),
            store_clock: Some(clock),
            metrics: metrics.clone(),
            engine: Arc::new(engine),
            holder: "test".to_owned(),
            next_id: Arc::new(|| BlockId::new(1, 1)),
            fetch: bucket::FetchOptions::default(),
            failpoints: Failpoints::none(),
        };
        Compactor::new(Settings::default(), deps)
    }

    #[tokio::test]
    async fn abandoned_uploads_are_aborted() {
        let server = Server::start().await;
        let config = objstore::Config::parse(&format!("{}prefix: p\n", server.config_yaml()), &|_| None).unwrap();
        let bucket = config.open(&OpenOptions::default()).unwrap();
        let metrics = Metrics::default();
        let compactor = compactor(&bucket, &metrics);
        let now = SystemTime::now();
        let at = |age_h: u64| now - Duration::from_secs(age_h * 3600);
        let key = |n: u64| format!("p/{}/chunks/000001", BlockId::new(n, 0));
        let begin = |key: &str, begun_h: u64, added_h: u64| {
            server.backend().insert_upload(Server::BUCKET, key, at(begun_h), "part", at(added_h));
        };
        begin(&key(1), 60, 48);
        begin(&key(2), 60, 47);
        begin(&key(3), 47, 47);
        begin(&key(4), 60, 60);
        // something else of the block was written since
        server.backend().insert(Server::BUCKET, &format!("p/{}/chunks/000002", BlockId::new(4, 0)), "x", at(1));
        // whole, with a second upload of one of its files
        begin(&key(5), 60, 60);
        server.backend().insert(Server::BUCKET, &key(5), "x", at(59));
        server.backend().insert(Server::BUCKET, &format!("p/{}/meta.json", BlockId::new(5, 0)), "{}", at(59));
        // other prefixes, and what is no block
        begin(&key(6)[2..], 900, 900);
        begin("p/other/000001", 900, 900);
        // another compactor writes it
        begin(&key(7), 60, 60);
        let others = compactor.leases.claim("g", None).await.unwrap();
        let crate::lease::Claim::Held(others) = others else { panic!("{others:?}") };
        others.renew(Some(vec![BlockId::new(7, 0)])).await.unwrap();

        let snapshot = compactor.sync().await.unwrap();
        let text = crate::progress::dry_run(&compactor, &snapshot).await;
        assert_eq!(text.lines().filter(|l| l.starts_with("abort the abandoned upload of ")).count(), 3, "{text}");
        let cleaned = compactor.clean().await.unwrap();
        assert_eq!((cleaned.aborted, cleaned.failed), (2, 0));
        let mut left = vec![key(2), key(3), key(4), key(6)[2..].to_owned(), key(7), "p/other/000001".to_owned()];
        left.sort();
        assert_eq!(server.backend().upload_keys(), left);

        others.renew(Some(Vec::new())).await.unwrap();
        server.fault(Fault::next(1, Operation::AbortMultipart, "", FaultKind::Status(403)));
        assert_eq!(compactor.clean().await.unwrap().failed, 1);
        assert_eq!(compactor.clean().await.unwrap().aborted, 1);
        assert!(!server.backend().upload_keys().contains(&key(7)));
        let text = metrics.encode();
        assert!(text.contains("aion_compact_uploads_aborted_total 3"), "{text}");
        assert!(text.contains("aion_compact_upload_abort_failures_total 1"), "{text}");
        // a store that has no such listing is cleaned all the same
        server.fault(Fault::next(9, Operation::ListUploads, "", FaultKind::Status(501)));
        assert_eq!(compactor.clean().await.unwrap().failed, 0);
    }
}
