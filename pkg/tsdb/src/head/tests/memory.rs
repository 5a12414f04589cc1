//! What a series takes.

use storage::append::Floats;

use super::common::{START_MS as T, begin, head};
use crate::head::HeadOptions;

const SERIES: usize = 4_000;

/// 10 labels, 2 h at 15 s. The limit is that of a series in memory all in all, of which others have a part.
#[tokio::test]
async fn a_series_takes_less_than_600_bytes() {
    let (head, chunks) = (head(HeadOptions::default()), crate::head::MemoryChunks::default());
    let mut refs = Vec::with_capacity(SERIES);
    let mut appender = begin(&head);
    for n in 0..SERIES {
        let (instance, path) = (format!("10.0.{}.{}:9100", n / 1000, n / 100), format!("/api/v1/{}", n % 100));
        let metric = format!("http_requests_{}_total", n % 50);
        let pairs = [
            ("__name__", metric.as_str()),
            ("cluster", "eu-west-1"),
            ("code", "200"),
            ("env", "production"),
            ("instance", &instance),
            ("job", "node-exporter"),
            ("method", "GET"),
            ("namespace", "monitoring"),
            ("path", &path),
            ("team", "platform"),
        ];
        refs.push(appender.resolve(&[&pairs]).unwrap().pop().unwrap().unwrap());
    }
    for step in 0..480i64 {
        let times = vec![T + step * 15_000; SERIES];
        let values: Vec<f64> = (0..SERIES).map(|n| (n as i64 * step % 1000) as f64).collect();
        let rows = Floats { series: &refs, times_ms: &times, values: &values, starts_ms: &[] };
        assert_eq!(appender.floats(rows).unwrap(), []);
        appender.commit().await.unwrap();
        appender = begin(&head);
        head.map_full_chunks(&chunks).await.unwrap();
    }
    drop(appender);
    let each = head.memory_bytes() / SERIES;
    assert!((300..600).contains(&each), "{each} bytes a series");
}
