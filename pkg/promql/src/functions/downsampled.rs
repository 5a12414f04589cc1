//! The kernels of functions of ranges over downsampled data. Values are what the function reads of each window, see
//! [`promql_syntax::Reads`].

use super::over_time::{check_factors, differ, median_absolute_deviation, pick, variance};
use super::{quantile, regression};
use crate::downsampled::{Change, View, Work};
use crate::eval::Result;

macro_rules! kernels {
    ($($name:ident($view:ident, $work:ident) = $value:expr;)*) => {
        $(
            pub(crate) fn $name($view: &View<'_>, $work: &mut Work) -> Result<Option<f64>> {
                Ok($value)
            }
        )*
    };
}

kernels! {
    rate(view, work) = view.change(Change::Rate, work);
    increase(view, work) = view.change(Change::Increase, work);
    delta(view, work) = view.change(Change::Delta, work);
    irate(view, work) = view.change(Change::Irate, work);
    idelta(view, _work) = view.last_difference();
    count(view, _work) = Some(view.count());
    sum(view, work) = Some(view.sum(1.0, &mut work.values));
    avg(view, work) = Some(view.mean(&mut work.values));
    present(_view, _work) = Some(1.0);
    first(view, _work) = view.window.values().first().copied();
    last(view, _work) = Some(view.window.all_values[view.newest()]);
    time_of_first(view, _work) = view.window.times().first().map(|t| seconds(view, *t));
    time_of_last(view, _work) = view.window.times().last().map(|t| seconds(view, *t));
    max(view, _work) = best(view, |v, best| v > best).map(|i| view.window.values()[i]);
    min(view, _work) = best(view, |v, best| v < best).map(|i| view.window.values()[i]);
    time_of_max(view, _work) = best(view, |v, best| v >= best).map(|i| seconds(view, view.window.times()[i]));
    time_of_min(view, _work) = best(view, |v, best| v <= best).map(|i| seconds(view, view.window.times()[i]));
    stdvar(view, _work) = Some(variance(view.window.values()));
    stddev(view, _work) = Some(variance(view.window.values()).sqrt());
    mad(view, work) = Some(median_absolute_deviation(view.window.values(), &mut work.values));
    changes(view, _work) = view.events(differ);
    resets(view, _work) = view.events(|before, now| now < before);
    deriv(view, work) = view.line(None, &mut work.times).map(|(slope, _)| slope);
}

/// A window that holds the step ends after it.
fn seconds(view: &View<'_>, ms: i64) -> f64 {
    ms.min(view.window.end_ms) as f64 / 1000.0
}

fn best(view: &View<'_>, better: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let values = view.window.values();
    (!values.is_empty()).then(|| pick(values, better))
}

fn argument(view: &View<'_>, at: usize) -> f64 {
    view.op.argument(at, view.window.step)
}

pub(crate) fn quantile_over_time(view: &View<'_>, work: &mut Work) -> Result<Option<f64>> {
    let q = argument(view, 0);
    if !(0.0..=1.0).contains(&q) {
        work.bad_quantile = Some(q);
    }
    work.values.clear();
    work.values.extend_from_slice(view.window.values());
    Ok(Some(quantile::quantile(q, &mut work.values)))
}

pub(crate) fn predict_linear(view: &View<'_>, work: &mut Work) -> Result<Option<f64>> {
    let line = view.line(Some(view.window.time_ms), &mut work.times);
    Ok(line.map(|(slope, intercept)| slope * argument(view, 0) + intercept))
}

pub(crate) fn double_exponential_smoothing(view: &View<'_>, _: &mut Work) -> Result<Option<f64>> {
    let (smoothing, trend) = (argument(view, 0), argument(view, 1));
    check_factors(smoothing, trend)?;
    Ok(match &view.window.all_values[view.two()] {
        [only] => view.unknown().then_some(*only),
        values => Some(regression::smooth(values, smoothing, trend)),
    })
}
