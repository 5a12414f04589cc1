//! The series that tell of each scrape: `up` and its like.

use labels::{Builder, Labels, METRIC_NAME};
use model::stale_nan;
use storage::append::{Appender, Floats, Refusal, SeriesRef};

/// What a scrape was like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScrapeReport {
    pub(crate) is_up: bool,
    pub(crate) duration_s: f64,
    pub(crate) scraped: usize,
    pub(crate) after_relabelling: usize,
    pub(crate) series_added: usize,
    /// Bytes of the inflated body; -1 if it was over the limit.
    pub(crate) body_bytes: i64,
    pub(crate) timeout_s: f64,
    pub(crate) sample_limit: u64,
}

const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// The first ones are always there.
const ALWAYS: usize = 5;

impl ScrapeReport {
    fn values(&self) -> [f64; NAMES.len()] {
        [
            f64::from(u8::from(self.is_up)),
            self.duration_s,
            self.scraped as f64,
            self.after_relabelling as f64,
            self.series_added as f64,
            self.timeout_s,
            self.sample_limit as f64,
            self.body_bytes as f64,
        ]
    }
}

/// The references of one target's series.
#[derive(Debug)]
pub(crate) struct Synthetic {
    labels: Vec<Labels>,
    series: Option<Vec<SeriesRef>>,
}

impl Synthetic {
    /// Of a target with these labels. `has_extra`: `scrape_timeout_seconds` and its like are there, too.
    pub(crate) fn new(target: &Labels, has_extra: bool) -> Self {
        let names = if has_extra { &NAMES[..] } else { &NAMES[..ALWAYS] };
        let of = |name: &&str| {
            let mut labels = Builder::from_labels(target);
            labels.set(METRIC_NAME, name);
            labels.build()
        };
        Self { labels: names.iter().map(of).collect(), series: None }
    }

    /// Appends what a scrape at `time_ms` was like.
    pub(crate) fn append(
        &mut self,
        appender: &mut dyn Appender,
        time_ms: i64,
        report: &ScrapeReport,
    ) -> storage::Result<()> {
        self.append_values(appender, time_ms, &report.values())
    }

    /// Ends the series.
    pub(crate) fn append_markers(&mut self, appender: &mut dyn Appender, time_ms: i64) -> storage::Result<()> {
        // Series that were never written need no marker.
        if self.series.is_none() {
            return Ok(());
        }
        self.append_values(appender, time_ms, &[stale_nan(); NAMES.len()])
    }

    fn append_values(&mut self, appender: &mut dyn Appender, time_ms: i64, values: &[f64]) -> storage::Result<()> {
        let values = &values[..self.labels.len()];
        for _ in 0..2 {
            let series = match &self.series {
                Some(series) => series,
                None => self.series.insert(resolve(appender, &self.labels)?),
            };
            let times_ms = vec![time_ms; series.len()];
            let refused = appender.floats(Floats { series, times_ms: &times_ms, values, starts_ms: &[] })?;
            if !refused.iter().any(|row| row.why == Refusal::UnknownSeries) {
                break;
            }
            // The store has forgotten them. Those that it has not are taken a second time, which changes nothing.
            self.series = None;
        }
        Ok(())
    }
}

fn resolve(appender: &mut dyn Appender, labels: &[Labels]) -> storage::Result<Vec<SeriesRef>> {
    let pairs: Vec<Vec<(&str, &str)>> = labels.iter().map(|labels| labels.iter().collect()).collect();
    let sets: Vec<&[(&str, &str)]> = pairs.iter().map(Vec::as_slice).collect();
    let resolved = appender.resolve(&sets)?;
    resolved
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|why| storage::Error::Limit(format!("`up` and its like: {why}")))
}
