//! The functions of ranges, by name.

/// A function of a range of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in PromQL")]
pub(crate) enum RangeFn {
    AbsentOverTime,
    AvgOverTime,
    Changes,
    CountOverTime,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    FirstOverTime,
    Idelta,
    Increase,
    Irate,
    LastOverTime,
    MadOverTime,
    MaxOverTime,
    MinOverTime,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rate,
    Resets,
    StddevOverTime,
    StdvarOverTime,
    SumOverTime,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
}

impl RangeFn {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "absent_over_time" => Self::AbsentOverTime,
            "avg_over_time" => Self::AvgOverTime,
            "changes" => Self::Changes,
            "count_over_time" => Self::CountOverTime,
            "delta" => Self::Delta,
            "deriv" => Self::Deriv,
            "double_exponential_smoothing" => Self::DoubleExponentialSmoothing,
            "first_over_time" => Self::FirstOverTime,
            "idelta" => Self::Idelta,
            "increase" => Self::Increase,
            "irate" => Self::Irate,
            "last_over_time" => Self::LastOverTime,
            "mad_over_time" => Self::MadOverTime,
            "max_over_time" => Self::MaxOverTime,
            "min_over_time" => Self::MinOverTime,
            "predict_linear" => Self::PredictLinear,
            "present_over_time" => Self::PresentOverTime,
            "quantile_over_time" => Self::QuantileOverTime,
            "rate" => Self::Rate,
            "resets" => Self::Resets,
            "stddev_over_time" => Self::StddevOverTime,
            "stdvar_over_time" => Self::StdvarOverTime,
            "sum_over_time" => Self::SumOverTime,
            "ts_of_first_over_time" => Self::TsOfFirstOverTime,
            "ts_of_last_over_time" => Self::TsOfLastOverTime,
            "ts_of_max_over_time" => Self::TsOfMaxOverTime,
            "ts_of_min_over_time" => Self::TsOfMinOverTime,
            _ => return None,
        })
    }

    /// Whether the result is still the metric: its name stays.
    pub fn keeps_name(self) -> bool {
        matches!(self, Self::FirstOverTime | Self::LastOverTime)
    }
}

/// The population variance, by Welford's method with compensation.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut c_mean, mut aux, mut c_aux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for v in values {
        count += 1.0;
        let delta = v - (mean + c_mean);
        (mean, c_mean) = super::kahan::add(delta / count, mean, c_mean);
        (aux, c_aux) = super::kahan::add(delta * (v - (mean + c_mean)), aux, c_aux);
    }
    (aux + c_aux) / count
}

/// The median distance from the median; NaN if any value is.
pub(crate) fn median_absolute_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = super::quantile::quantile(0.5, scratch);
    for v in scratch.iter_mut() {
        *v = (*v - median).abs();
    }
    super::quantile::quantile(0.5, scratch)
}

/// The index of the value that `better(candidate, best)` prefers, the first value to begin with.
#[inline]
pub(crate) fn pick(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if better(*v, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    best
}

/// The best value of a window that moves on, in constant time per sample: a queue of candidates, each better than those
/// after it. NaN is best only where there is nothing else.
#[derive(Debug, Default)]
pub(crate) struct Extreme {
    candidates: std::collections::VecDeque<usize>,
    /// Samples before this index were offered.
    seen: usize,
}

impl Extreme {
    /// The best of `values[low..high]`, which is not empty; neither bound may go back from call to call.
    #[inline]
    pub fn of(&mut self, values: &[f64], low: usize, high: usize, better: impl Fn(f64, f64) -> bool) -> f64 {
        while self.candidates.front().is_some_and(|i| *i < low) {
            self.candidates.pop_front();
        }
        for i in self.seen.max(low)..high {
            let v = values[i];
            if v.is_nan() {
                continue;
            }
            while self.candidates.back().is_some_and(|c| better(v, values[*c])) {
                self.candidates.pop_back();
            }
            self.candidates.push_back(i);
        }
        self.seen = high;
        self.candidates.front().map_or(f64::NAN, |i| values[*i])
    }
}

/// `counts[i]`: at how many samples up to `i` `happens(before, now)`; what lies between two samples is a difference.
pub(crate) fn running_counts(values: &[f64], counts: &mut Vec<u32>, happens: impl Fn(f64, f64) -> bool) {
    counts.clear();
    let mut count = 0;
    for i in 0..values.len() {
        count += u32::from(i > 0 && happens(values[i - 1], values[i]));
        counts.push(count);
    }
}

/// Whether two neighbours differ; NaN equals NaN.
#[inline]
pub(crate) fn differ(before: f64, now: f64) -> bool {
    before != now && !(before.is_nan() && now.is_nan())
}

/// How often a value differs from the one before; two NaN are equal.
pub(crate) fn changes(values: &[f64]) -> f64 {
    values.windows(2).filter(|w| differ(w[0], w[1])).count() as f64
}

/// How often the value falls.
pub(crate) fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|w| w[1] < w[0]).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_moving_windows() {
        let nan = f64::NAN;
        let values = [3.0, nan, 1.0, 1.0, 5.0, nan, nan, nan, -2.0, 0.0];
        for width in 1..=values.len() {
            let mut extreme = Extreme::default();
            for high in 1..=values.len() {
                let low = high.saturating_sub(width);
                let got = extreme.of(&values, low, high, |v, best| v > best);
                let want = values[low..high].iter().copied().fold(nan, f64::max);
                assert!(got == want || (got.is_nan() && want.is_nan()), "{low}..{high}: {got} {want}");
            }
        }
    }
}
