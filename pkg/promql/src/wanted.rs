//! Which aggregates of downsampled data a selector reads.

use storage::{Aggregate, Aggregates};

/// What a sample of downsampled data is worth to the function around its selector.
///
/// Functions of ranges must come out as over the raw samples behind each window where its aggregates allow that:
///
/// | function | reads |
/// |---|---|
/// | `count_over_time`, `present_over_time`, `absent_over_time`, `ts_of_first/last_over_time` | count: exact |
/// | `sum_over_time`, `min/max_over_time`, `ts_of_min/max_over_time` | sum, min, max: exact, times are window ends |
/// | `avg_over_time` | sum and count, each window by its weight: exact |
/// | `rate`, `irate`, `increase` | counter: resets within windows counted |
/// | `resets`, `changes` | min: never more than the samples have; what happens within a window, or in neighbouring ones, may count once |
/// | all others | the average of each window |
///
/// Instant selectors read averages; `min`, `max` and `count` (also around subqueries) theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Count,
    Sum,
    /// Like [`Wanted::Sum`]: the mean over a range is that of all its raw samples, not of averages.
    WeightedSum,
    Min,
    Max,
    Average,
    Counter,
}

impl Wanted {
    /// For a range selector that is the argument of `function`.
    pub fn range(function: Option<&str>) -> Self {
        match function.unwrap_or("") {
            "count_over_time"
            | "present_over_time"
            | "absent_over_time"
            | "ts_of_first_over_time"
            | "ts_of_last_over_time" => Self::Count,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::WeightedSum,
            "min_over_time" | "ts_of_min_over_time" | "resets" | "changes" => Self::Min,
            "max_over_time" | "ts_of_max_over_time" => Self::Max,
            "rate" | "irate" | "increase" => Self::Counter,
            _ => Self::Average,
        }
    }

    /// For an instant selector with `function` around it, which may be an aggregation, or stand around a subquery.
    pub fn instant(function: Option<&str>) -> Self {
        match Self::range(function) {
            Self::Sum | Self::WeightedSum => Self::Average,
            // What a gauge does from instant to instant is not what its minima do.
            Self::Min if matches!(function, Some("resets" | "changes")) => Self::Average,
            Self::Average => match function.unwrap_or("") {
                "min" => Self::Min,
                "max" => Self::Max,
                // Only whether there is a value, or when.
                "count" | "group" | "absent" | "timestamp" => Self::Count,
                _ => Self::Average,
            },
            other => other,
        }
    }

    /// The function that reads of `-x` what `function` reads of `x`.
    pub fn negated(function: &str) -> &str {
        match function {
            "min" => "max",
            "max" => "min",
            "min_over_time" => "max_over_time",
            "max_over_time" => "min_over_time",
            "ts_of_min_over_time" => "ts_of_max_over_time",
            "ts_of_max_over_time" => "ts_of_min_over_time",
            "rate" | "irate" | "increase" | "resets" => "",
            other => other,
        }
    }

    /// The aggregate that holds it, beside the count.
    pub fn aggregate(self) -> Aggregate {
        match self {
            Self::Count => Aggregate::Count,
            Self::Sum | Self::WeightedSum | Self::Average => Aggregate::Sum,
            Self::Min => Aggregate::Min,
            Self::Max => Aggregate::Max,
            Self::Counter => Aggregate::Counter,
        }
    }

    /// To ask the source for. Counts always: they tell how much each window holds, where data of several resolutions or
    /// replicas meets.
    pub fn aggregates(self) -> Aggregates {
        Aggregates::of(&[Aggregate::Count, self.aggregate()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_function() {
        for (function, range, instant) in [
            ("", Wanted::Average, Wanted::Average),
            ("sum", Wanted::Average, Wanted::Average),
            ("avg", Wanted::Average, Wanted::Average),
            ("min", Wanted::Average, Wanted::Min),
            ("max", Wanted::Average, Wanted::Max),
            ("count", Wanted::Average, Wanted::Count),
            // By its first letters it would be a count.
            ("count_values", Wanted::Average, Wanted::Average),
            ("quantile", Wanted::Average, Wanted::Average),
            ("count_over_time", Wanted::Count, Wanted::Count),
            // Around a subquery: a sum of instants, not of windows' sums.
            ("sum_over_time", Wanted::Sum, Wanted::Average),
            ("avg_over_time", Wanted::WeightedSum, Wanted::Average),
            ("min_over_time", Wanted::Min, Wanted::Min),
            ("max_over_time", Wanted::Max, Wanted::Max),
            ("rate", Wanted::Counter, Wanted::Counter),
            ("resets", Wanted::Min, Wanted::Average),
            ("changes", Wanted::Min, Wanted::Average),
            ("delta", Wanted::Average, Wanted::Average),
            ("last_over_time", Wanted::Average, Wanted::Average),
            ("quantile_over_time", Wanted::Average, Wanted::Average),
        ] {
            assert_eq!(
                (Wanted::range(Some(function)), Wanted::instant(Some(function))),
                (range, instant),
                "{function}"
            );
        }
    }
}
