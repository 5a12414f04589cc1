//! How many series there are of each metric and job, for limits and for whoever asks what grows.

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use storage::append::SeriesRefusal;

use super::options::HeadOptions;
use super::symbols::{Kin, Symbols};

#[derive(Debug, Default)]
pub(crate) struct Census {
    counts: Mutex<Counts>,
    /// Why no new series are taken, while that is so.
    closed: RwLock<Option<String>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Series, and those made since somebody asked.
    metrics: HashMap<u32, (usize, usize)>,
    jobs: HashMap<u32, usize>,
}

impl Census {
    pub fn set_closed(&self, why: Option<String>) {
        *self.closed.write() = why;
    }

    /// One series more, if the limits allow it.
    pub fn add(&self, kin: Kin, options: &HeadOptions, pairs: &[(&str, &str)]) -> Result<(), SeriesRefusal> {
        if let Some(why) = &*self.closed.read() {
            return Err(SeriesRefusal::NotNow(why.clone()));
        }
        let over = |count: usize, max: usize| max > 0 && count >= max;
        let refusal = |label: &'static str, max| {
            let value = pairs.iter().find(|(name, _)| *name == label).map_or("", |(_, value)| value);
            Err(SeriesRefusal::TooManySeriesOf { label, value: value.chars().take(128).collect(), max })
        };
        let mut counts = self.counts.lock();
        let of_metric = kin.metric.and_then(|m| counts.metrics.get(&m)).map_or(0, |(count, _)| *count);
        if over(of_metric, options.series_per_metric_max) {
            return refusal(labels::METRIC_NAME, options.series_per_metric_max);
        }
        let of_job = kin.job.and_then(|job| counts.jobs.get(&job)).copied().unwrap_or(0);
        if kin.job.is_some() && over(of_job, options.series_per_job_max) {
            return refusal("job", options.series_per_job_max);
        }
        counts.add(kin);
        Ok(())
    }

    /// One series more, whatever the limits.
    pub fn add_restored(&self, kin: Kin) {
        self.counts.lock().add(kin);
    }

    /// One series less.
    pub fn remove(&self, kin: Kin) {
        let mut counts = self.counts.lock();
        if let Some(metric) = kin.metric
            && let Some((count, _)) = counts.metrics.get_mut(&metric)
        {
            *count -= 1;
            if *count == 0 {
                counts.metrics.remove(&metric);
            }
        }
        if let Some(job) = kin.job
            && let Some(count) = counts.jobs.get_mut(&job)
        {
            *count -= 1;
            if *count == 0 {
                counts.jobs.remove(&job);
            }
        }
    }

    /// The metric that got the most new series since this was asked last, and how many; it begins anew.
    pub fn fastest_growing(&self, symbols: &Symbols) -> Option<(String, usize)> {
        let mut counts = self.counts.lock();
        let most = counts.metrics.iter().max_by_key(|(_, (_, new))| *new).map(|(metric, (_, new))| (*metric, *new));
        counts.metrics.values_mut().for_each(|(_, new)| *new = 0);
        let (metric, new) = most.filter(|(_, new)| *new > 0)?;
        Some((symbols.text(metric).to_owned(), new))
    }

    pub fn size_bytes(&self) -> usize {
        let counts = self.counts.lock();
        counts.metrics.capacity() * 25 + counts.jobs.capacity() * 17
    }
}

impl Counts {
    fn add(&mut self, kin: Kin) {
        if let Some(metric) = kin.metric {
            let (count, new) = self.metrics.entry(metric).or_default();
            *count += 1;
            *new += 1;
        }
        if let Some(job) = kin.job {
            *self.jobs.entry(job).or_default() += 1;
        }
    }
}
