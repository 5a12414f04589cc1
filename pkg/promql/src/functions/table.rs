//! The table of PromQL's functions: how each one is calculated. What each one takes and reads is in the row of the same
//! name in [`promql_syntax::FUNCTIONS`].

use std::f64::consts::PI;

use super::dates::{self, DateKernel};
use super::math::{self, MathKernel};
use super::native::NativeKernel;
use super::{downsampled, mixed_rate, over_time, rate};
use crate::kernel::OfHistograms::{self, Each};
use crate::kernel::RangeKernel;
use crate::native::variance;
use Kernel::{Date, Math, Range, Scalar};
use MathKernel::{Column, With};

/// How a function is calculated.
#[derive(Debug)]
pub(crate) enum Kernel {
    /// From each float of an instant vector.
    Math(MathKernel),
    /// From each float, a time.
    Date(DateKernel),
    /// From each native histogram of an instant vector.
    Native {
        kernel: NativeKernel,
        /// It looks at more than count and sum.
        reads_buckets: bool,
    },
    /// From the windows of a range.
    Range(RangeKernel),
    /// A scalar.
    Scalar(ScalarFn),
    /// By an operator of its own.
    Form(Form),
}

/// The functions that give scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarFn {
    Pi,
    Start,
    End,
    Range,
    Step,
    Time,
    MinOf,
    MaxOf,
    Scalar,
}

/// The functions that have operators of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Vector,
    Timestamp,
    StartTimestamp,
    Absent,
    AbsentOverTime,
    Sort { descending: bool },
    SortByLabel { descending: bool },
    LabelReplace,
    LabelJoin,
    Quantile,
    Quantiles,
    Fraction,
    Info,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub name: &'static str,
    pub kernel: Kernel,
}

const fn row(name: &'static str, kernel: Kernel) -> Row {
    Row { name, kernel }
}

const fn stats(kernel: NativeKernel) -> Kernel {
    Kernel::Native { kernel, reads_buckets: false }
}

const fn buckets(kernel: NativeKernel) -> Kernel {
    Kernel::Native { kernel, reads_buckets: true }
}

/// The row of a function of each float.
macro_rules! each {
    ($name:literal, $f:expr) => {
        row($name, Math(Column(|values| values.iter_mut().for_each(|v| *v = ($f)(*v)))))
    };
}

/// What most functions of ranges have in common.
const PLAIN: RangeKernel = RangeKernel {
    floats: over_time::present,
    histograms: OfHistograms::Ignored,
    downsampled: downsampled::present,
    check_factors: None,
    resets: false,
    reads_starts: false,
    edges: None,
    keeps_name: false,
    names_counter: false,
    depends_on_time: false,
    anchored: false,
    smoothed: false,
};

/// What `rate` and `increase` have in common.
const COUNTER: RangeKernel =
    RangeKernel { resets: true, reads_starts: true, names_counter: true, anchored: true, smoothed: true, ..PLAIN };

/// All functions, ascending by name.
pub(crate) static TABLE: &[Row] = &[
    each!("abs", f64::abs),
    row("absent", Kernel::Form(Form::Absent)),
    row("absent_over_time", Kernel::Form(Form::AbsentOverTime)),
    each!("acos", f64::acos),
    each!("acosh", math::acosh),
    each!("asin", f64::asin),
    each!("asinh", math::asinh),
    each!("atan", f64::atan),
    each!("atanh", f64::atanh),
    row(
        "avg_over_time",
        Range(RangeKernel {
            floats: over_time::avg,
            histograms: Each(over_time::avg_mixed),
            downsampled: downsampled::avg,
            ..PLAIN
        }),
    ),
    each!("ceil", f64::ceil),
    row(
        "changes",
        Range(RangeKernel {
            floats: over_time::changes,
            histograms: Each(over_time::changes_mixed),
            anchored: true,
            downsampled: downsampled::changes,
            ..PLAIN
        }),
    ),
    row("clamp", Math(With(math::clamp))),
    row("clamp_max", Math(With(math::clamp_max))),
    row("clamp_min", Math(With(math::clamp_min))),
    each!("cos", f64::cos),
    each!("cosh", f64::cosh),
    row(
        "count_over_time",
        Range(RangeKernel {
            floats: over_time::count,
            histograms: Each(over_time::count_mixed),
            downsampled: downsampled::count,
            ..PLAIN
        }),
    ),
    row("day_of_month", Date(dates::day_of_month)),
    row("day_of_week", Date(dates::day_of_week)),
    row("day_of_year", Date(dates::day_of_year)),
    row("days_in_month", Date(dates::days_in_month)),
    each!("deg", |v: f64| v * 180.0 / PI),
    row(
        "delta",
        Range(RangeKernel {
            floats: rate::delta,
            histograms: Each(mixed_rate::delta),
            anchored: true,
            smoothed: true,
            downsampled: downsampled::delta,
            ..PLAIN
        }),
    ),
    row("deriv", Range(RangeKernel { floats: over_time::deriv, downsampled: downsampled::deriv, ..PLAIN })),
    row(
        "double_exponential_smoothing",
        Range(RangeKernel {
            floats: over_time::double_exponential_smoothing,
            downsampled: downsampled::double_exponential_smoothing,
            check_factors: Some(over_time::check_factors),
            ..PLAIN
        }),
    ),
    row("end", Scalar(ScalarFn::End)),
    each!("exp", f64::exp),
    row(
        "first_over_time",
        Range(RangeKernel {
            floats: over_time::first,
            histograms: Each(over_time::first_mixed),
            keeps_name: true,
            downsampled: downsampled::first,
            ..PLAIN
        }),
    ),
    each!("floor", f64::floor),
    row("histogram_avg", stats(|h| h.sum / h.count)),
    row("histogram_count", stats(|h| h.count)),
    row("histogram_fraction", Kernel::Form(Form::Fraction)),
    row("histogram_quantile", Kernel::Form(Form::Quantile)),
    row("histogram_quantiles", Kernel::Form(Form::Quantiles)),
    row("histogram_stddev", buckets(|h| variance(h).sqrt())),
    row("histogram_stdvar", buckets(variance)),
    row("histogram_sum", stats(|h| h.sum)),
    row("hour", Date(dates::hour)),
    row(
        "idelta",
        Range(RangeKernel {
            floats: rate::idelta,
            histograms: Each(mixed_rate::idelta),
            downsampled: downsampled::idelta,
            ..PLAIN
        }),
    ),
    row(
        "increase",
        Range(RangeKernel {
            floats: rate::increase,
            histograms: Each(mixed_rate::increase),
            edges: Some(mixed_rate::increase_of_edges),
            downsampled: downsampled::increase,
            ..COUNTER
        }),
    ),
    row("info", Kernel::Form(Form::Info)),
    row(
        "irate",
        Range(RangeKernel {
            floats: rate::irate,
            histograms: Each(mixed_rate::irate),
            resets: true,
            reads_starts: true,
            downsampled: downsampled::irate,
            ..PLAIN
        }),
    ),
    row("label_join", Kernel::Form(Form::LabelJoin)),
    row("label_replace", Kernel::Form(Form::LabelReplace)),
    row(
        "last_over_time",
        Range(RangeKernel {
            floats: over_time::last,
            histograms: Each(over_time::last_mixed),
            keeps_name: true,
            downsampled: downsampled::last,
            ..PLAIN
        }),
    ),
    each!("ln", f64::ln),
    each!("log10", f64::log10),
    each!("log2", f64::log2),
    row("mad_over_time", Range(RangeKernel { floats: over_time::mad, downsampled: downsampled::mad, ..PLAIN })),
    row("max_of", Scalar(ScalarFn::MaxOf)),
    row("max_over_time", Range(RangeKernel { floats: over_time::max, downsampled: downsampled::max, ..PLAIN })),
    row("min_of", Scalar(ScalarFn::MinOf)),
    row("min_over_time", Range(RangeKernel { floats: over_time::min, downsampled: downsampled::min, ..PLAIN })),
    row("minute", Date(dates::minute)),
    row("month", Date(dates::month)),
    row("pi", Scalar(ScalarFn::Pi)),
    row(
        "predict_linear",
        Range(RangeKernel {
            floats: over_time::predict_linear,
            depends_on_time: true,
            downsampled: downsampled::predict_linear,
            ..PLAIN
        }),
    ),
    row(
        "present_over_time",
        Range(RangeKernel {
            floats: over_time::present,
            histograms: Each(over_time::present_mixed),
            downsampled: downsampled::present,
            ..PLAIN
        }),
    ),
    row(
        "quantile_over_time",
        Range(RangeKernel {
            floats: over_time::quantile_over_time,
            downsampled: downsampled::quantile_over_time,
            ..PLAIN
        }),
    ),
    each!("rad", |v: f64| v * PI / 180.0),
    row("range", Scalar(ScalarFn::Range)),
    row(
        "rate",
        Range(RangeKernel {
            floats: rate::rate,
            histograms: Each(mixed_rate::rate),
            edges: Some(mixed_rate::rate_of_edges),
            downsampled: downsampled::rate,
            ..COUNTER
        }),
    ),
    row(
        "resets",
        Range(RangeKernel {
            floats: over_time::resets,
            histograms: Each(over_time::resets_mixed),
            resets: true,
            reads_starts: true,
            anchored: true,
            downsampled: downsampled::resets,
            ..PLAIN
        }),
    ),
    row("round", Math(With(math::round))),
    row("scalar", Scalar(ScalarFn::Scalar)),
    each!("sgn", math::sgn),
    each!("sin", f64::sin),
    each!("sinh", f64::sinh),
    row("sort", Kernel::Form(Form::Sort { descending: false })),
    row("sort_by_label", Kernel::Form(Form::SortByLabel { descending: false })),
    row("sort_by_label_desc", Kernel::Form(Form::SortByLabel { descending: true })),
    row("sort_desc", Kernel::Form(Form::Sort { descending: true })),
    each!("sqrt", f64::sqrt),
    row("start", Scalar(ScalarFn::Start)),
    row("start_timestamp", Kernel::Form(Form::StartTimestamp)),
    row(
        "stddev_over_time",
        Range(RangeKernel { floats: over_time::stddev, downsampled: downsampled::stddev, ..PLAIN }),
    ),
    row(
        "stdvar_over_time",
        Range(RangeKernel { floats: over_time::stdvar, downsampled: downsampled::stdvar, ..PLAIN }),
    ),
    row("step", Scalar(ScalarFn::Step)),
    row(
        "sum_over_time",
        Range(RangeKernel {
            floats: over_time::sum,
            histograms: Each(over_time::sum_mixed),
            downsampled: downsampled::sum,
            ..PLAIN
        }),
    ),
    each!("tan", f64::tan),
    each!("tanh", f64::tanh),
    row("time", Scalar(ScalarFn::Time)),
    row("timestamp", Kernel::Form(Form::Timestamp)),
    row(
        "ts_of_first_over_time",
        Range(RangeKernel {
            floats: over_time::time_of_first,
            histograms: Each(over_time::time_of_first_mixed),
            downsampled: downsampled::time_of_first,
            ..PLAIN
        }),
    ),
    row(
        "ts_of_last_over_time",
        Range(RangeKernel {
            floats: over_time::time_of_last,
            histograms: Each(over_time::time_of_last_mixed),
            downsampled: downsampled::time_of_last,
            ..PLAIN
        }),
    ),
    row(
        "ts_of_max_over_time",
        Range(RangeKernel { floats: over_time::time_of_max, downsampled: downsampled::time_of_max, ..PLAIN }),
    ),
    row(
        "ts_of_min_over_time",
        Range(RangeKernel { floats: over_time::time_of_min, downsampled: downsampled::time_of_min, ..PLAIN }),
    ),
    row("vector", Kernel::Form(Form::Vector)),
    row("year", Date(dates::year)),
];

/// How the function of this name is calculated.
pub(crate) fn kernel(name: &str) -> Option<&'static Kernel> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &TABLE[at].kernel)
}

/// The kernel of `present_over_time`, of which `absent_over_time` is the opposite. There it does not matter whether series
/// differ in more than their names.
pub(crate) fn present() -> &'static RangeKernel {
    static PRESENT: RangeKernel = RangeKernel { histograms: Each(over_time::present_mixed), keeps_name: true, ..PLAIN };
    &PRESENT
}

/// The functions whose ranges may have a modifier, by name.
pub(crate) fn with_modifier(allows: fn(&RangeKernel) -> bool) -> Vec<&'static str> {
    let names = TABLE.iter().filter(|row| matches!(&row.kernel, Kernel::Range(kernel) if allows(kernel)));
    names.map(|row| row.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_a_row() {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        let want: Vec<&str> = promql_syntax::FUNCTIONS.iter().map(|f| f.name).collect();
        assert_eq!(names, want);
    }

    #[test]
    fn functions_of_ranges_are_of_ranges() {
        for row in TABLE {
            let function = promql_syntax::function(row.name).unwrap();
            let takes_range = function.args.contains(&promql_syntax::ValueType::Matrix);
            let is_range = matches!(row.kernel, Kernel::Range(_) | Kernel::Form(Form::AbsentOverTime));
            assert_eq!(takes_range, is_range, "{}", row.name);
            let is_scalar = matches!(row.kernel, Kernel::Scalar(_));
            assert_eq!(function.returns == promql_syntax::ValueType::Scalar, is_scalar, "{}", row.name);
        }
    }
}
