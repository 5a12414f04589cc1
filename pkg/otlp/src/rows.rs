//! The samples of data points, as rows.

use storage::append::HistogramValue;

use crate::batch::{EXEMPLAR_BYTES, FLOAT_BYTES, HISTOGRAM_BYTES, NO_POINT, Stop};
use crate::exemplars;
use crate::names::Kind;
use crate::point::Point;
use crate::series::Bound;
use crate::translate::{Context, Named, Translator};

impl<'a> Translator<'_, 'a> {
    pub fn number(&mut self, context: &mut Context<'_, 'a>, point: &Point<'a>, named: &mut Named) -> Result<(), Stop> {
        let value = match point.number {
            _ if point.is_stale() => model::stale_nan(),
            Some(value) => value,
            None => {
                self.reject(context.metric, named, point.time_ms(), "data point without a value".to_owned());
                return Ok(());
            }
        };
        let Some(series) = self.float(context, point, named, ("", Bound::None), value)? else { return Ok(()) };
        if context.metric.kind != Kind::Gauge {
            self.exemplars(point, |_| Some(series))?;
        }
        Ok(())
    }

    pub fn native(
        &mut self,
        context: &mut Context<'_, 'a>,
        point: &Point<'a>,
        named: &mut Named,
        converted: Result<histogram::Histogram, String>,
    ) -> Result<(), Stop> {
        let histogram = match converted {
            Ok(histogram) => histogram,
            Err(why) => {
                self.reject(context.metric, named, point.time_ms(), why);
                return Ok(());
            }
        };
        if histogram.count == 0 && histogram.sum != 0.0 && !point.is_stale() {
            self.batch.warn("histogram_zero_count_non_zero_sum", || {
                format!("a histogram has a count of zero and a sum of {}", histogram.sum)
            });
        }
        let value = HistogramValue::Int(histogram.into());
        self.batch.room.take(HISTOGRAM_BYTES + value.size_bytes())?;
        let Some(series) = self.series(context, point, named, ("", Bound::None))? else { return Ok(()) };
        self.batch.histograms.push(series, named.point, (point.time_ms(), point.start_ms()), value);
        self.exemplars(point, |_| Some(series))
    }

    pub fn classic(&mut self, context: &mut Context<'_, 'a>, point: &Point<'a>, named: &mut Named) -> Result<(), Stop> {
        if let Some(sum) = point.sum {
            self.float(context, point, named, ("_sum", Bound::None), sum)?;
        }
        self.float(context, point, named, ("_count", Bound::None), point.count as f64)?;
        let mut count = 0u64;
        let mut buckets = Vec::with_capacity(if point.exemplars.is_empty() { 0 } else { point.counts.len() });
        let last = if point.bounds.last() == Some(&f64::INFINITY) { 1 } else { 0 };
        let bounds = &point.bounds[..point.bounds.len() - last];
        for (bound, in_bucket) in bounds.iter().zip(&point.counts) {
            count = count.saturating_add(*in_bucket);
            let series = self.float(context, point, named, ("_bucket", Bound::Le(*bound)), count as f64)?;
            if !point.exemplars.is_empty() {
                buckets.push((*bound, series));
            }
        }
        let all = self.float(context, point, named, ("_bucket", Bound::Le(f64::INFINITY)), point.count as f64)?;
        self.exemplars(point, |value| {
            let bucket = buckets.partition_point(|(bound, _)| *bound < value);
            buckets.get(bucket).map_or(all, |(_, series)| *series)
        })
    }

    pub fn summary(&mut self, context: &mut Context<'_, 'a>, point: &Point<'a>, named: &mut Named) -> Result<(), Stop> {
        self.float(context, point, named, ("_sum", Bound::None), point.sum.unwrap_or(0.0))?;
        self.float(context, point, named, ("_count", Bound::None), point.count as f64)?;
        for (quantile, value) in &point.quantiles {
            self.float(context, point, named, ("", Bound::Quantile(*quantile)), *value)?;
        }
        Ok(())
    }

    /// Adds a float sample; its series, or `None` if the data point is rejected.
    fn float(
        &mut self,
        context: &mut Context<'_, 'a>,
        point: &Point<'a>,
        named: &mut Named,
        (suffix, bound): (&str, Bound),
        value: f64,
    ) -> Result<Option<u32>, Stop> {
        self.batch.room.take(FLOAT_BYTES)?;
        let Some(series) = self.series(context, point, named, (suffix, bound))? else { return Ok(None) };
        let value = if point.is_stale() { model::stale_nan() } else { value };
        self.batch.floats.push(series, named.point, (point.time_ms(), point.start_ms()), value);
        Ok(Some(series))
    }

    /// Adds the exemplars, each to the series that `of` says for its value.
    fn exemplars(&mut self, point: &Point<'a>, of: impl Fn(f64) -> Option<u32>) -> Result<(), Stop> {
        for exemplar in &point.exemplars {
            let read = exemplars::read(*exemplar, point.time_ms())?;
            let found = read.filter(|e| e.timestamp_ms <= self.latest_ms).and_then(|e| of(e.value).map(|s| (s, e)));
            match found {
                Some((series, exemplar)) => {
                    self.batch.room.take(EXEMPLAR_BYTES + 2 * exemplar.labels.len())?;
                    let time_ms = exemplar.timestamp_ms;
                    self.batch.exemplars.push(series, NO_POINT, (time_ms, 0), exemplar);
                }
                None => self.batch.lost_exemplars += 1,
            }
        }
        Ok(())
    }
}
