//! One target: scraped, stored, reported.

use std::sync::Arc;
use std::time::Duration;

use model::stale_nan;
use storage::append::{AppendOptions, Appender, Column, Floats, HistogramValue, Histograms, Refusal, SeriesRef};
use storage::{Ctx, TargetHealth};
use telemetry::Occasionally;
use textparse::Format;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::batch::ROWS_MAX;
use crate::cache::{Cache, Gone};
use crate::failure::Failure;
use crate::families::Families;
use crate::fetch::{Answer, FetchError, Fetcher, Request};
use crate::histograms::stale_histogram;
use crate::ingest::Ingest;
use crate::ingestion::Counts;
use crate::job::Job;
use crate::naming::series_of;
use crate::series_labels::LabelError;
use crate::status::{LastScrape, Status};
use crate::synthetic::{ScrapeReport, Synthetic};
use crate::target::Target;

/// Bodies from this size on take milliseconds to read: no other request waits for that.
const LARGE_BODY_BYTES: usize = 256 << 10;

/// What a target's loop holds from scrape to scrape.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) job: Arc<Job>,
    pub(crate) target: Arc<Target>,
    pub(crate) status: Arc<Status>,
    cache: Cache,
    families: Families,
    synthetic: Synthetic,
    fetcher: Fetcher,
    /// Time of the scrape before, ms.
    previous_ms: i64,
    /// Bytes of the last body.
    body_bytes: usize,
    refusals: Occasionally,
    notes: Occasionally,
    /// Entries that the gauge of all caches counts for this one.
    counted_entries: usize,
}

/// What became of the body.
struct Taken {
    counts: Counts,
    error: Option<String>,
    body_bytes: i64,
}

impl Worker {
    pub(crate) fn new(job: Arc<Job>, target: Arc<Target>, status: Arc<Status>) -> Self {
        let shared = job.shared.clone();
        let has_extra = job.has_extra_metrics();
        Self {
            cache: Cache::new(shared.options.cache_key),
            families: Families::new(shared.interner.clone(), status.families.clone()),
            synthetic: Synthetic::new(&target.public, has_extra),
            fetcher: Fetcher::new(request(&job, &target)),
            previous_ms: shared.deps.clock.now_ms(),
            job,
            target,
            status,
            body_bytes: 0,
            refusals: Occasionally::minutely(),
            notes: Occasionally::minutely(),
            counted_entries: 0,
        }
    }

    /// Goes on under a new configuration, with what it knows of its series.
    pub(crate) fn reconfigure(&mut self, job: Arc<Job>, target: Arc<Target>) {
        if self.job.has_extra_metrics() != job.has_extra_metrics() {
            self.synthetic = Synthetic::new(&target.public, job.has_extra_metrics());
        }
        if !self.job.reads_like(&job.config) {
            self.cache.forget_all();
        }
        self.fetcher.replace(request(&job, &target));
        (self.job, self.target) = (job, target);
    }

    /// Asks the target, unless all its scrapes fail anyway.
    pub(crate) async fn ask(&mut self, forced: Option<Arc<str>>) -> Result<Answer, FetchError> {
        match forced {
            Some(why) => Err(FetchError::Request(why.to_string())),
            None => self.fetcher.fetch(self.body_bytes + self.body_bytes / 8).await,
        }
    }

    /// Stores what came of a scrape at `time_ms` that began at `began`.
    pub(crate) async fn store(&mut self, answer: Result<Answer, FetchError>, time_ms: i64, began: Instant) {
        let is_large = matches!(&answer, Ok(answer) if answer.body.len() >= LARGE_BODY_BYTES);
        // Others of this worker thread go on elsewhere meanwhile; with one thread there is nowhere else.
        let (appender, report) = match is_large && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
            true => tokio::task::block_in_place(|| self.take(answer, time_ms, began)),
            false => self.take(answer, time_ms, began),
        };
        let failed = match appender {
            Ok(appender) => self.commit(appender).await,
            Err(e) => Some(format!("the scrape is not stored: {e}")),
        };
        if let Some(why) = failed {
            let mut last = self.status.last.lock();
            if last.error.is_empty() {
                last.error = why;
            }
        }
        self.previous_ms = time_ms;
        debug!(job = self.job.config.job_name, url = self.target.url, samples = report.scraped, "scraped");
        self.count_entries();
    }

    /// Everything of a scrape up to the commit.
    fn take(
        &mut self,
        answer: Result<Answer, FetchError>,
        time_ms: i64,
        began: Instant,
    ) -> (storage::Result<Box<dyn Appender>>, ScrapeReport) {
        let mut appender = self.appender(false);
        let taken = match answer {
            Ok(answer) => self.take_body(answer, &mut appender, time_ms),
            Err(e) => self.take_failure(&e, &mut appender, time_ms),
        };
        let duration = began.elapsed();
        let report = ScrapeReport {
            is_up: taken.error.is_none(),
            duration_s: duration.as_secs_f64(),
            scraped: taken.counts.scraped,
            after_relabelling: taken.counts.after_relabelling,
            series_added: taken.counts.series_added,
            body_bytes: taken.body_bytes,
            timeout_s: self.target.timeout_ms as f64 / 1000.0,
            sample_limit: self.job.config.sample_limit,
        };
        let appended = self.synthetic.append(&mut *appender, time_ms, &report).map(|()| appender);
        self.tell(taken.error, time_ms, duration);
        (appended, report)
    }

    fn take_body(&mut self, answer: Answer, appender: &mut Box<dyn Appender>, time_ms: i64) -> Taken {
        self.body_bytes = answer.body.len();
        let body_bytes = answer.body.len() as i64;
        // Nothing is nothing in any format: all series end, and the target is up.
        if answer.body.is_empty() {
            let error = append_markers(&mut **appender, &self.cache.fail(), time_ms).err().map(|e| e.to_string());
            return Taken { counts: Counts::default(), error, body_bytes };
        }
        let format = match self.format(&answer) {
            Ok(format) => format,
            Err(failure) => {
                let error = self.fail(&failure, appender, time_ms);
                return Taken { counts: Counts::default(), error: Some(error), body_bytes };
            }
        };
        let with = self.job.ingestion(&self.target, time_ms, self.previous_ms);
        let ingest = Ingest::new(with, &mut self.cache, &mut self.families, &mut **appender, format);
        let (counts, result) = ingest.run(&answer.body);
        let parser = with.parser;
        self.count(&counts, &answer.body, format, parser);
        let error = match result {
            Ok(()) => {
                self.families.succeed();
                let gone = self.cache.succeed();
                append_markers(&mut **appender, &gone, time_ms).err().map(|e| e.to_string())
            }
            Err(failure) => Some(self.fail(&failure, appender, time_ms)),
        };
        Taken { counts, error, body_bytes }
    }

    fn format(&self, answer: &Answer) -> Result<Format, Failure> {
        let chosen = textparse::choose_format(&answer.content_type, self.job.fallback)?;
        if let Some(note) = chosen.note
            && let Some(times) = self.notes.count()
        {
            warn!(job = self.job.config.job_name, url = self.target.url, times, "{note}");
        }
        Ok(chosen.format)
    }

    fn take_failure(&mut self, e: &FetchError, appender: &mut Box<dyn Appender>, time_ms: i64) -> Taken {
        let is_over = matches!(e, FetchError::TooLarge(_));
        if is_over {
            self.job.shared.metrics.over_body_size.inc();
        }
        let gone = self.cache.fail();
        let marked = append_markers(&mut **appender, &gone, time_ms);
        if let Err(e) = marked {
            warn!(job = self.job.config.job_name, url = self.target.url, error = %e, "stale markers are not stored");
        }
        let body_bytes = if is_over { -1 } else { 0 };
        Taken { counts: Counts::default(), error: Some(e.to_string()), body_bytes }
    }

    /// Takes back what was appended, and ends all series.
    fn fail(&mut self, failure: &Failure, appender: &mut Box<dyn Appender>, time_ms: i64) -> String {
        let metrics = &self.job.shared.metrics;
        match failure {
            Failure::Samples { .. } => metrics.over_sample_limit.inc(),
            Failure::Buckets { .. } => metrics.over_bucket_limit.inc(),
            Failure::Labels(LabelError::Limit(_)) => metrics.over_label_limits.inc(),
            _ => 0,
        };
        let failed = std::mem::replace(appender, self.appender(false));
        failed.rollback();
        let gone = self.cache.fail();
        if let Err(e) = append_markers(&mut **appender, &gone, time_ms) {
            warn!(job = self.job.config.job_name, url = self.target.url, error = %e, "stale markers are not stored");
        }
        failure.to_string()
    }

    fn appender(&self, is_ordered: bool) -> Box<dyn Appender> {
        let options = AppendOptions { reject_out_of_order: is_ordered, ..AppendOptions::default() };
        self.job.shared.deps.appendable.appender(&Ctx::background(), options)
    }

    fn count(&self, counts: &Counts, body: &[u8], format: Format, parser: textparse::Options) {
        let metrics = &self.job.shared.metrics;
        metrics.duplicates.inc_by(counts.duplicates);
        metrics.out_of_order.inc_by(counts.out_of_order);
        metrics.out_of_bounds.inc_by(counts.out_of_bounds);
        metrics.exemplars_out_of_order.inc_by(counts.exemplars_out_of_order);
        let (job, url) = (&self.job.config.job_name, &self.target.url);
        if let Some(unconverted) = &counts.unconverted
            && let Some(times) = self.notes.count()
        {
            let (histograms, first) = (unconverted.histograms, &unconverted.first);
            warn!(job, url, times, histograms, first, "classic histograms cannot be converted and are not stored");
        }
        let Some((key, why)) = &counts.first_refused else { return };
        let Some(scrapes) = self.refusals.count() else { return };
        let series = series_of(body, format, parser, &self.cache, *key);
        let Counts { duplicates, out_of_order, out_of_bounds, .. } = counts;
        warn!(job, url, series, why, scrapes, duplicates, out_of_order, out_of_bounds, "samples are refused");
    }

    fn tell(&self, error: Option<String>, time_ms: i64, duration: Duration) {
        let health = if error.is_none() { TargetHealth::Up } else { TargetHealth::Down };
        if let Some(error) = &error {
            debug!(job = self.job.config.job_name, url = self.target.url, error, "scrape failed");
            if let Some(log) = &self.job.failures {
                log.note(time_ms, &self.job.config.job_name, &self.target.url, error);
            }
        }
        *self.status.last.lock() = LastScrape {
            health,
            error: error.unwrap_or_default(),
            time_ms: Some(time_ms),
            duration_s: duration.as_secs_f64(),
        };
    }

    /// Gives the reason if nothing was stored.
    async fn commit(&self, appender: Box<dyn Appender>) -> Option<String> {
        let (job, url) = (&self.job.config.job_name, &self.target.url);
        match appender.commit().await {
            Ok(committed) => {
                let late = committed
                    .refused
                    .iter()
                    .filter(|(column, row)| *column != Column::Exemplars && row.why != Refusal::NothingToMark);
                let late = late.count() as u64;
                if late > 0 {
                    self.job.shared.metrics.out_of_order.inc_by(late);
                    if let Some(scrapes) = self.refusals.count() {
                        warn!(job, url, scrapes, late, "samples came later than those of another writer");
                    }
                }
                None
            }
            Err(e) => {
                error!(job, url, error = %e, "a scrape is not stored");
                Some(format!("the scrape is not stored: {e}"))
            }
        }
    }

    /// Ends all series, `up` too: the target is gone. Nothing is written where another target goes on with the series.
    pub(crate) async fn end(&mut self, time_ms: i64) {
        let gone = self.cache.fail();
        let mut failed = None;
        for part in gone.chunks(ROWS_MAX) {
            let mut appender = self.appender(true);
            failed = match append_markers(&mut *appender, part, time_ms) {
                Ok(()) => self.commit(appender).await,
                Err(e) => Some(e.to_string()),
            };
        }
        let mut appender = self.appender(true);
        match self.synthetic.append_markers(&mut *appender, time_ms) {
            Ok(()) => failed = self.commit(appender).await.or(failed),
            Err(e) => failed = Some(e.to_string()),
        }
        if let Some(error) = failed {
            let job = &self.job.config.job_name;
            warn!(job, url = self.target.url, error, "the end of a target's series is not marked");
        }
    }

    fn count_entries(&mut self) {
        let entries = self.cache.len();
        let delta = entries as f64 - self.counted_entries as f64;
        if delta != 0.0 {
            self.job.shared.metrics.cache_entries.inc_by(delta);
        }
        self.counted_entries = entries;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.job.shared.metrics.cache_entries.dec_by(self.counted_entries as f64);
    }
}

/// The request of a scrape.
fn request(job: &Job, target: &Target) -> Request {
    let limit = job.config.body_size_limit.0;
    Request {
        client: job.client(target),
        url: target.url.clone(),
        accept: job.accept(target),
        accept_encoding: crate::accept::accept_encoding(&job.config),
        timeout_ms: target.timeout_ms,
        body_bytes_max: if limit == 0 { job.shared.options.body_bytes_max } else { limit },
        budget: job.shared.deps.budget.clone(),
    }
}

/// Stale markers, in batches. What is refused needs none: the store has forgotten the series, or knows a later sample.
fn append_markers(appender: &mut dyn Appender, gone: &[Gone], time_ms: i64) -> storage::Result<()> {
    for part in gone.chunks(ROWS_MAX) {
        let of = |histograms: bool| -> Vec<SeriesRef> {
            part.iter().filter(|gone| gone.is_histogram == histograms).map(|gone| gone.series).collect()
        };
        let (floats, histograms) = (of(false), of(true));
        if !floats.is_empty() {
            let (times_ms, values) = (vec![time_ms; floats.len()], vec![stale_nan(); floats.len()]);
            appender.floats(Floats { series: &floats, times_ms: &times_ms, values: &values, starts_ms: &[] })?;
        }
        if !histograms.is_empty() {
            let times_ms = vec![time_ms; histograms.len()];
            let values: Vec<HistogramValue> = vec![stale_histogram(); histograms.len()];
            appender.histograms(Histograms {
                series: &histograms,
                times_ms: &times_ms,
                values: &values,
                starts_ms: &[],
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
