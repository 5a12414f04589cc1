//! A span for each operation, under the request that needs it.

use std::fmt;

use futures::future::BoxFuture;
use object_store::Result;
use tracing::Span;
use tracing::field::Empty;

use crate::decorate::{Hook, Op};

/// Traces operations on a bucket, under Thanos' names (`bucket_getrange`, …).
pub struct TraceHook {
    bucket: String,
}

impl TraceHook {
    /// The bucket's name goes into the spans.
    pub fn new(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned() }
    }
}

impl fmt::Debug for TraceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceHook").field("bucket", &self.bucket).finish()
    }
}

impl Hook for TraceHook {
    type Guard = Span;

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, Result<Span>> {
        let span = tracing::info_span!(
            target: telemetry::TRACE,
            "bucket",
            otel.name = span_name(op),
            otel.status_code = Empty,
            bucket = self.bucket,
            name = path,
            bytes = Empty,
        );
        Box::pin(std::future::ready(Ok(span)))
    }

    fn after(
        &self,
        span: Span,
        _: Op,
        _: &str,
        bytes: u64,
        failed: Option<&object_store::Error>,
    ) -> Option<object_store::Error> {
        span.record("bytes", bytes);
        // An object that is not there is an answer.
        if failed.is_some_and(|e| !matches!(e, object_store::Error::NotFound { .. })) {
            span.record("otel.status_code", "ERROR");
        }
        None
    }
}

fn span_name(op: Op) -> &'static str {
    match op {
        Op::Get => "bucket_get",
        Op::GetRange => "bucket_getrange",
        Op::Exists => "bucket_exists",
        Op::Attributes => "bucket_attributes",
        Op::Iter => "bucket_iter",
        Op::Upload => "bucket_upload",
        Op::UploadBegin => "bucket_upload_begin",
        Op::UploadPart => "bucket_upload_part",
        Op::UploadAbort => "bucket_upload_abort",
        Op::Delete => "bucket_delete",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::span::{Attributes, Id, Record};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
    use tracing_subscriber::registry::LookupSpan;

    use super::*;
    use crate::Bucket;

    /// Notes the fields of spans, in the order they come.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl tracing::field::Visit for Notes {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
            self.0.lock().push(format!("{field}={value:?}"));
        }
    }

    impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Notes {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            attributes.record(&mut self.clone());
        }

        fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
            values.record(&mut self.clone());
        }

        fn on_close(&self, _: Id, _: Context<'_, S>) {
            self.0.lock().push("closed".to_owned());
        }
    }

    #[tokio::test]
    async fn spans_of_operations() {
        let notes = Notes::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(notes.clone()));
        let bucket = Bucket::in_memory().decorated(TraceHook::new("b"));
        bucket.put("a", "12345").await.unwrap();
        assert_eq!(bucket.get_range("a", 1..3).await.unwrap().len(), 2);
        assert!(bucket.get("none").await.is_err());
        let ours = |n: &String| ["otel.", "name=", "bytes=", "closed"].iter().any(|p| n.starts_with(p));
        let text: Vec<String> = notes.0.lock().iter().filter(|n| ours(n)).cloned().collect();
        assert_eq!(
            text.join(" "),
            "otel.name=\"bucket_upload\" name=\"a\" bytes=5 closed \
             otel.name=\"bucket_getrange\" name=\"a\" bytes=2 closed \
             otel.name=\"bucket_get\" name=\"none\" bytes=0 closed"
        );
    }
}
