//! Aggregations: series are folded into their group's columns and dropped, so memory is groups × steps.

mod count_values;
mod fold;
mod group;
mod limit;
mod quantile;
mod topk;

use promql_syntax::AggregateOp;

use crate::eval::{Cx, Result, Stream};
use crate::plan::{AggregateParam, AggregatePlan};
use crate::scalar::ScalarOp;
use crate::{Grid, QueryError, open};

pub(crate) use group::Grouping;

pub(crate) fn open(plan: &AggregatePlan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    let (param, span) = match &plan.param {
        AggregateParam::Scalar(s, span) => (Some(ScalarOp::open(s, grid, cx)?), *span),
        _ => (None, promql_syntax::Span::default()),
    };
    let inner = open::open(&plan.inner, grid, cx)?;
    let grouping = Grouping::new(plan.grouping.clone(), plan.without);
    let need = |param: Option<ScalarOp>| {
        param.ok_or_else(|| QueryError::Execution(format!("{} needs a number", plan.op.as_str())))
    };
    Ok(match plan.op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Group
        | AggregateOp::Stddev
        | AggregateOp::Stdvar => Box::new(fold::Fold::new(plan.op, inner, grouping, grid)),
        AggregateOp::Quantile => Box::new(quantile::Quantile::new(inner, grouping, need(param)?, span, grid)),
        AggregateOp::TopK | AggregateOp::BottomK => {
            Box::new(topk::TopK::new(plan.op == AggregateOp::TopK, inner, grouping, need(param)?, grid))
        }
        AggregateOp::LimitK => Box::new(limit::LimitK::new(inner, grouping, need(param)?)),
        AggregateOp::LimitRatio => Box::new(limit::LimitRatio::new(inner, need(param)?, span)),
        AggregateOp::CountValues => {
            let AggregateParam::Label(label) = &plan.param else {
                return Err(QueryError::Execution("count_values needs a label name".to_owned()));
            };
            Box::new(count_values::CountValues::new(inner, grouping, label.clone(), grid))
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
