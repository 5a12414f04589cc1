//! Which aggregates of downsampled data a selector reads: what the function around it wants, see the table of functions.
//!
//! Functions of ranges must come out as over the raw samples behind each window where its aggregates allow that:
//! counts, sums, means, minima and maxima are exact, times are window ends. Counters have the resets within windows taken
//! out. `resets` and `changes` read minima: never more than the samples have; what happens within a window, or in
//! neighbouring ones, may count once. All others read the average of each window, as instant selectors do; `min`, `max`
//! and `count`, also around subqueries, read theirs.

use promql_syntax::Reads;
use storage::{Aggregate, Aggregates};

/// For a range selector that is the argument of `function`.
pub(crate) fn of_range(function: Option<&str>) -> Reads {
    function.and_then(promql_syntax::function).map_or(Reads::Average, |f| f.reads)
}

/// For an instant selector with `function` around it, which may be an aggregation, or stand around a subquery.
pub(crate) fn of_instant(function: Option<&str>) -> Reads {
    match function.unwrap_or("") {
        "min" => Reads::Min,
        "max" => Reads::Max,
        // Only whether there is a value.
        "count" | "group" => Reads::Count,
        // What a gauge does from instant to instant is not what its minima do.
        "resets" | "changes" => Reads::Average,
        _ => match of_range(function) {
            Reads::Sum | Reads::WeightedSum => Reads::Average,
            other => other,
        },
    }
}

/// The function or aggregation that reads of `-x` what `function` reads of `x`, if there is one.
pub(crate) fn mirrored(function: &str) -> Option<&str> {
    match function {
        "min" => Some("max"),
        "max" => Some("min"),
        other => promql_syntax::function(other).map_or(Some(other), |f| f.mirror),
    }
}

/// The aggregate that holds it, beside the count.
pub(crate) fn aggregate(reads: Reads) -> Aggregate {
    match reads {
        Reads::Count => Aggregate::Count,
        Reads::Sum | Reads::WeightedSum | Reads::Average => Aggregate::Sum,
        Reads::Min => Aggregate::Min,
        Reads::Max => Aggregate::Max,
        Reads::Counter => Aggregate::Counter,
    }
}

/// To ask the source for. Counts always: they tell how much each window holds, where data of several resolutions or
/// replicas meets.
pub(crate) fn aggregates(reads: Reads) -> Aggregates {
    Aggregates::of(&[Aggregate::Count, aggregate(reads)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_function() {
        for (function, range, instant) in [
            ("", Reads::Average, Reads::Average),
            ("sum", Reads::Average, Reads::Average),
            ("avg", Reads::Average, Reads::Average),
            ("min", Reads::Average, Reads::Min),
            ("max", Reads::Average, Reads::Max),
            ("count", Reads::Average, Reads::Count),
            // By its first letters it would be a count.
            ("count_values", Reads::Average, Reads::Average),
            ("quantile", Reads::Average, Reads::Average),
            ("count_over_time", Reads::Count, Reads::Count),
            // Around a subquery: a sum of instants, not of windows' sums.
            ("sum_over_time", Reads::Sum, Reads::Average),
            ("avg_over_time", Reads::WeightedSum, Reads::Average),
            ("min_over_time", Reads::Min, Reads::Min),
            ("max_over_time", Reads::Max, Reads::Max),
            ("rate", Reads::Counter, Reads::Counter),
            ("resets", Reads::Min, Reads::Average),
            ("changes", Reads::Min, Reads::Average),
            ("delta", Reads::Average, Reads::Average),
            ("last_over_time", Reads::Average, Reads::Average),
            ("quantile_over_time", Reads::Average, Reads::Average),
        ] {
            assert_eq!((of_range(Some(function)), of_instant(Some(function))), (range, instant), "{function}");
        }
    }

    #[test]
    fn of_negated_values() {
        for (function, mirror) in [
            ("min_over_time", Some("max_over_time")),
            ("ts_of_max_over_time", Some("ts_of_min_over_time")),
            ("min", Some("max")),
            ("sum", Some("sum")),
            ("sum_over_time", Some("sum_over_time")),
            ("rate", None),
            ("resets", None),
        ] {
            assert_eq!(mirrored(function), mirror, "{function}");
        }
    }
}
