//! Aggregations: series are folded into their group's columns and dropped, so memory is groups × steps.

mod count_values;
mod fold;
mod group;
mod limit;
mod native;
mod quantile;
mod topk;

use promql_syntax::{AggregateOp, Span};

use crate::eval::{Cx, Result, Stream};
use crate::scalar::ScalarOp;
use crate::{Grid, QueryError};

pub(crate) use group::Grouping;

/// The parameter of an aggregation.
pub(crate) enum Param {
    None,
    /// With its place.
    Scalar(ScalarOp, Span),
    Label(String),
}

/// Where the aggregation and what it aggregates stand in the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub whole: Span,
    pub inner: Span,
}

/// The operator that aggregates `inner`.
pub(crate) fn operator(
    op: AggregateOp,
    param: Param,
    inner: Stream,
    grouping: Grouping,
    places: Places,
    grid: Grid,
) -> Result<Stream> {
    let (scalar, label, span) = match param {
        Param::None => (None, None, Span::default()),
        Param::Scalar(scalar, span) => (Some(scalar), None, span),
        Param::Label(label) => (None, Some(label), Span::default()),
    };
    let scalar = || scalar.ok_or_else(|| QueryError::Execution(format!("{} needs a number", op.as_str())));
    Ok(match op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Group
        | AggregateOp::Stddev
        | AggregateOp::Stdvar => Box::new(fold::Fold::new(op, inner, grouping, places.inner, grid)),
        AggregateOp::Quantile => {
            Box::new(quantile::Quantile::new(inner, grouping, scalar()?, (span, places.inner), grid))
        }
        AggregateOp::TopK | AggregateOp::BottomK => {
            Box::new(topk::TopK::new(op == AggregateOp::TopK, inner, grouping, scalar()?, places.whole, grid))
        }
        AggregateOp::LimitK => Box::new(limit::LimitK::new(inner, grouping, scalar()?)),
        AggregateOp::LimitRatio => Box::new(limit::LimitRatio::new(inner, scalar()?, span)),
        AggregateOp::CountValues => {
            let Some(label) = label else {
                return Err(QueryError::Execution("count_values needs a label name".to_owned()));
            };
            Box::new(count_values::CountValues::new(inner, grouping, label, grid))
        }
    })
}

/// The values of `k`, checked as Prometheus checks them; `None`: nothing is asked for at any step.
fn checked_k(mut param: ScalarOp, cx: &mut Cx) -> Result<Option<Vec<i64>>> {
    let values = param.eval(cx)?;
    // Prometheus looks at the largest and the smallest that are no NaN.
    let max = values.iter().copied().filter(|v| !v.is_nan()).fold(f64::NEG_INFINITY, f64::max);
    let min = values.iter().copied().filter(|v| !v.is_nan()).fold(f64::INFINITY, f64::min);
    let nan = values.iter().any(|v| v.is_nan());
    if max < 1.0 && !nan {
        return Ok(None);
    }
    if nan {
        return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
    }
    let text = crate::go_float::format_g;
    if min <= i64::MIN as f64 {
        return Err(QueryError::Execution(format!("Scalar value {} underflows int64", text(min))));
    }
    if max >= i64::MAX as f64 {
        return Err(QueryError::Execution(format!("Scalar value {} overflows int64", text(max))));
    }
    Ok(Some(values.into_iter().map(|v| v as i64).collect()))
}
