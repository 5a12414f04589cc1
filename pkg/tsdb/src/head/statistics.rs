//! What of the head is large, for those who look for what has exploded.

use std::sync::atomic::Ordering;

use storage::{StatisticsByTenant, StatisticsQuery, TsdbStatistics};

use super::Head;
use super::core::Core;

/// Entries of a list at most.
const LIMIT_MAX: usize = 10_000;
/// Values that are looked at between two moments when the lock is free.
const VALUES_AT_A_TIME: usize = 1024;
/// Bytes of a symbol besides its text, and of a label in a series.
const SYMBOL_BYTES: u64 = 25;
const LABEL_BYTES: u64 = 4;

/// The largest of many.
struct Top {
    limit: usize,
    all: Vec<(String, u64)>,
    /// What is not larger than this is not among them.
    least: u64,
}

impl Top {
    fn new(limit: usize) -> Self {
        Self { limit, all: Vec::new(), least: 0 }
    }

    fn add(&mut self, count: u64, name: impl FnOnce() -> String) {
        if count <= self.least {
            return;
        }
        self.all.push((name(), count));
        if self.all.len() >= 2 * self.limit + 16 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        if self.all.len() > self.limit {
            self.all.truncate(self.limit);
            self.least = self.all.last().map_or(0, |(_, count)| *count - 1);
        }
    }

    fn finish(mut self) -> Vec<(String, u64)> {
        self.cut();
        self.all
    }
}

impl Head {
    pub(super) fn count_all(&self, want: &StatisticsQuery) -> StatisticsByTenant {
        if !want.matchers.iter().all(labels::Matcher::matches_empty) {
            return StatisticsByTenant::new();
        }
        let limit = if want.limit == 0 { LIMIT_MAX } else { want.limit.min(LIMIT_MAX) };
        StatisticsByTenant::from([(String::new(), self.core.statistics(limit))])
    }
}

impl Core {
    fn statistics(&self, limit: usize) -> TsdbStatistics {
        let (min_time, max_time) = self.times.range();
        let mut found = TsdbStatistics {
            num_series: self.counts.series.load(Ordering::Relaxed) as u64,
            chunk_count: self.counts.chunks.load(Ordering::Relaxed),
            min_time,
            max_time,
            ..TsdbStatistics::default()
        };
        let (mut values, mut bytes) = (Top::new(limit), Top::new(limit));
        let (mut metrics, mut pairs) = (Top::new(limit), Top::new(limit));
        let names: Vec<u32> = self.postings.read().names().collect();
        for name in names {
            let text = self.symbols.read().text(name).to_owned();
            let (count, of_name) = self.count_values(name, |value, series| {
                if text == labels::METRIC_NAME {
                    metrics.add(series, || value.to_owned());
                }
                pairs.add(series, || format!("{text}={value}"));
            });
            found.num_label_pairs += count as i64;
            bytes.add(of_name, || text.clone());
            values.add(count, || text);
        }
        found.series_count_by_metric_name = metrics.finish();
        found.label_value_count_by_label_name = values.finish();
        found.memory_in_bytes_by_label_name = bytes.finish();
        found.series_count_by_label_value_pair = pairs.finish();
        found
    }

    /// Calls `each` with the values of a name and how many series have them; how many values, and their bytes. Nobody
    /// waits long for a lock, so that values may come and go meanwhile.
    fn count_values(&self, name: u32, mut each: impl FnMut(&str, u64)) -> (u64, u64) {
        let values = self.postings.read().values(name);
        let (mut count, mut bytes) = (0, 0);
        for some in values.chunks(VALUES_AT_A_TIME) {
            let symbols = self.symbols.read();
            let postings = self.postings.read();
            for value in some {
                let Some((series, slots_bytes)) = postings.count(name, *value) else { continue };
                let text = symbols.text(*value);
                count += 1;
                bytes += text.len() as u64 + SYMBOL_BYTES + slots_bytes as u64 + LABEL_BYTES * series as u64;
                each(text, series as u64);
            }
        }
        (count, bytes)
    }
}
