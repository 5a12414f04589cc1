//! The table of PromQL's functions (Prometheus 3.14): what each one takes, what it reads of downsampled data, and whether
//! it reads counters. The parser, the planner and deduplication read it; how each function is calculated stands beside
//! the engine, in a row of the same name.

use crate::ValueType;
use crate::ValueType::{Matrix as M, Scalar as S, String as T, Vector as V};

/// What the parser and those who read samples have to know of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// As it is written in a query.
    pub name: &'static str,
    /// The types of the arguments, in order.
    pub args: &'static [ValueType],
    /// 0: exactly `args`. Above 0: from `args.len() - 1` to `args.len() - 1 + variadic` arguments. −1: at least
    /// `args.len() - 1`. Arguments beyond `args` have the type of the last one.
    pub variadic: i8,
    /// The type of what it returns.
    pub returns: ValueType,
    /// Behind the flag for experimental functions.
    pub experimental: bool,
    /// What it reads of each window of downsampled data.
    pub reads: Reads,
    /// A counter's values must go on from one another: a fall is a reset. Deduplication keeps it so.
    pub counter: bool,
    /// The function that reads of `-x` what this one reads of `x`; `None` when there is none.
    pub mirror: Option<&'static str>,
}

/// What a function reads of a window of downsampled data, which holds five aggregates of its raw samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// How many samples there were.
    Count,
    /// The sum of the samples.
    Sum,
    /// Sum and count: a mean that weighs each window by its samples.
    WeightedSum,
    /// The smallest sample.
    Min,
    /// The largest sample.
    Max,
    /// The mean of the samples, as if it were a sample.
    Average,
    /// The counter's value, resets within the window taken out.
    Counter,
}

const fn row(name: &'static str, args: &'static [ValueType], variadic: i8, returns: ValueType) -> Function {
    let (experimental, reads, counter) = (false, Reads::Average, false);
    Function { name, args, variadic, returns, experimental, reads, counter, mirror: Some(name) }
}

/// A function of an instant vector and scalars that gives a vector.
const fn vector(name: &'static str, args: &'static [ValueType]) -> Function {
    row(name, args, 0, V)
}

/// A function of a range, and scalars, that gives a vector.
const fn range(name: &'static str, args: &'static [ValueType], reads: Reads) -> Function {
    Function { reads, ..row(name, args, 0, V) }
}

impl Function {
    const fn experimental(self) -> Self {
        Self { experimental: true, ..self }
    }

    /// Between this many arguments less than listed and more; see [`Function::variadic`].
    const fn variadic(self, variadic: i8) -> Self {
        Self { variadic, ..self }
    }

    const fn reads(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    const fn counter(self) -> Self {
        Self { counter: true, mirror: None, ..self }
    }

    const fn mirror(self, name: &'static str) -> Self {
        Self { mirror: Some(name), ..self }
    }
}

/// All functions, ascending by name.
pub static FUNCTIONS: &[Function] = &[
    vector("abs", &[V]),
    vector("absent", &[V]).reads(Reads::Count),
    range("absent_over_time", &[M], Reads::Count),
    vector("acos", &[V]),
    vector("acosh", &[V]),
    vector("asin", &[V]),
    vector("asinh", &[V]),
    vector("atan", &[V]),
    vector("atanh", &[V]),
    range("avg_over_time", &[M], Reads::WeightedSum),
    vector("ceil", &[V]),
    range("changes", &[M], Reads::Min),
    vector("clamp", &[V, S, S]),
    vector("clamp_max", &[V, S]),
    vector("clamp_min", &[V, S]),
    vector("cos", &[V]),
    vector("cosh", &[V]),
    range("count_over_time", &[M], Reads::Count),
    vector("day_of_month", &[V]).variadic(1),
    vector("day_of_week", &[V]).variadic(1),
    vector("day_of_year", &[V]).variadic(1),
    vector("days_in_month", &[V]).variadic(1),
    vector("deg", &[V]),
    range("delta", &[M], Reads::Average),
    range("deriv", &[M], Reads::Average),
    range("double_exponential_smoothing", &[M, S, S], Reads::Average).experimental(),
    row("end", &[], 0, S).experimental(),
    vector("exp", &[V]),
    range("first_over_time", &[M], Reads::Average),
    vector("floor", &[V]),
    vector("histogram_avg", &[V]),
    vector("histogram_count", &[V]),
    vector("histogram_fraction", &[S, S, V]),
    vector("histogram_quantile", &[S, V]),
    vector("histogram_quantiles", &[V, T, S, S]).variadic(9).experimental(),
    vector("histogram_stddev", &[V]),
    vector("histogram_stdvar", &[V]),
    vector("histogram_sum", &[V]),
    vector("hour", &[V]).variadic(1),
    range("idelta", &[M], Reads::Average),
    range("increase", &[M], Reads::Counter).counter(),
    vector("info", &[V, V]).variadic(1).experimental(),
    range("irate", &[M], Reads::Counter).counter(),
    vector("label_join", &[V, T, T, T]).variadic(-1),
    vector("label_replace", &[V, T, T, T, T]),
    range("last_over_time", &[M], Reads::Average),
    vector("ln", &[V]),
    vector("log10", &[V]),
    vector("log2", &[V]),
    range("mad_over_time", &[M], Reads::Average).experimental(),
    row("max_of", &[S, S], 0, S).experimental(),
    range("max_over_time", &[M], Reads::Max).mirror("min_over_time"),
    row("min_of", &[S, S], 0, S).experimental(),
    range("min_over_time", &[M], Reads::Min).mirror("max_over_time"),
    vector("minute", &[V]).variadic(1),
    vector("month", &[V]).variadic(1),
    row("pi", &[], 0, S),
    range("predict_linear", &[M, S], Reads::Average),
    range("present_over_time", &[M], Reads::Count),
    range("quantile_over_time", &[S, M], Reads::Average),
    vector("rad", &[V]),
    row("range", &[], 0, S).experimental(),
    range("rate", &[M], Reads::Counter).counter(),
    range("resets", &[M], Reads::Min).counter(),
    vector("round", &[V, S]).variadic(1),
    row("scalar", &[V], 0, S),
    vector("sgn", &[V]),
    vector("sin", &[V]),
    vector("sinh", &[V]),
    vector("sort", &[V]),
    vector("sort_by_label", &[V, T]).variadic(-1).experimental(),
    vector("sort_by_label_desc", &[V, T]).variadic(-1).experimental(),
    vector("sort_desc", &[V]),
    vector("sqrt", &[V]),
    row("start", &[], 0, S).experimental(),
    vector("start_timestamp", &[V]).reads(Reads::Count).experimental(),
    range("stddev_over_time", &[M], Reads::Average),
    range("stdvar_over_time", &[M], Reads::Average),
    row("step", &[], 0, S).experimental(),
    range("sum_over_time", &[M], Reads::Sum),
    vector("tan", &[V]),
    vector("tanh", &[V]),
    row("time", &[], 0, S),
    vector("timestamp", &[V]).reads(Reads::Count),
    range("ts_of_first_over_time", &[M], Reads::Count).experimental(),
    range("ts_of_last_over_time", &[M], Reads::Count).experimental(),
    range("ts_of_max_over_time", &[M], Reads::Max).experimental().mirror("ts_of_min_over_time"),
    range("ts_of_min_over_time", &[M], Reads::Min).experimental().mirror("ts_of_max_over_time"),
    vector("vector", &[S]),
    vector("year", &[V]).variadic(1),
];

/// The function of this name; names are case-sensitive.
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for f in FUNCTIONS {
            assert_eq!(function(f.name), Some(f), "the table must ascend");
        }
        assert_eq!(FUNCTIONS.len(), 90);
        assert!(FUNCTIONS.iter().filter_map(|f| f.mirror).all(|m| function(m).is_some()));
        assert_eq!(function("rat"), None);
    }
}
