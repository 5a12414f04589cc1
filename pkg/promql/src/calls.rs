//! Planning calls of functions: what their arguments may be, and which operator evaluates them.

use std::sync::Arc;

use promql_syntax::{Call, Expr, ValueType, VectorSelector};

use crate::QueryError;
use crate::functions::math::MathFn;
use crate::functions::over_time::RangeFn;
use crate::functions::{dates::DateFn, sort::SortOrder};
use crate::plan::{BucketsFn, BucketsPlan, InfoPlan, Plan, Planned, RangeInput, RangePlan, ScalarPlan, SelectPlan};

use crate::planner::{Planner, arg};

impl Planner<'_> {
    pub(crate) fn call(&self, c: &Call) -> Result<Planned<Plan>, QueryError> {
        let name = c.function.name;
        let hint: Arc<str> = Arc::from(name);
        if let Some(at) = c.args.iter().position(|a| matches!(a.unparen(), Expr::Matrix(_) | Expr::Subquery(_)))
            && c.function.args.get(at).is_some_and(|t| *t == ValueType::Matrix)
        {
            return self.range_call(c, at, &hint);
        }
        if let Some(f) = DateFn::named(name) {
            let Some(a) = c.args.first() else {
                return Ok(Planned { it: Plan::Vector(ScalarPlan::Date(f)), invariant: false });
            };
            let inner = self.vector(a.unparen(), Some(&hint))?.wrapped();
            return Ok(Planned { it: Plan::Date(f, Box::new(inner)), invariant: false });
        }
        let string = |at: usize| match c.args.get(at).map(|a| a.unparen()) {
            Some(Expr::String(s)) => Ok(s.value.clone()),
            _ => Err(QueryError::Execution(format!("argument {} of {name}() must be a string literal", at + 1))),
        };
        let vector_at = |at: usize| self.vector(arg(c, at)?.unparen(), Some(&hint));
        match name {
            "vector" => {
                let s = self.scalar(arg(c, 0)?.unparen())?;
                Ok(Planned { it: Plan::Vector(s.it), invariant: s.invariant })
            }
            "timestamp" => {
                let inner = vector_at(0)?;
                if let Plan::Select(select) = &inner.it {
                    return Ok(Planned { it: Plan::SampleTime(select.clone()), invariant: inner.invariant });
                }
                Ok(Planned { it: Plan::StepTime(Box::new(inner.wrapped())), invariant: false })
            }
            "absent" => {
                let inner = vector_at(0)?;
                let labels = absent_labels(arg(c, 0)?.unparen());
                Ok(Planned { it: Plan::Absent(Box::new(inner.it), labels), invariant: inner.invariant })
            }
            "sort" | "sort_desc" => {
                let inner = vector_at(0)?;
                let order = SortOrder::Value { descending: name == "sort_desc" };
                Ok(Planned { it: Plan::Sort(order, Box::new(inner.it), c.span), invariant: inner.invariant })
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let inner = vector_at(0)?;
                let labels = (1..c.args.len()).map(string).collect::<Result<_, _>>()?;
                let order = SortOrder::Labels { labels, descending: name == "sort_by_label_desc" };
                Ok(Planned { it: Plan::Sort(order, Box::new(inner.it), c.span), invariant: inner.invariant })
            }
            "label_replace" => {
                let inner = vector_at(0)?;
                let replace = crate::functions::labels::Replace::new(&string(1)?, string(2)?, string(3)?, &string(4)?)?;
                self.count_regex(replace.program_bytes())?;
                Ok(Planned {
                    it: Plan::LabelReplace(Box::new(inner.it), Box::new(replace)),
                    invariant: inner.invariant,
                })
            }
            "label_join" => {
                let inner = vector_at(0)?;
                let sources = (3..c.args.len()).map(string).collect::<Result<_, _>>()?;
                let join = crate::functions::labels::Join::new(string(1)?, string(2)?, sources)?;
                Ok(Planned { it: Plan::LabelJoin(Box::new(inner.it), Box::new(join)), invariant: inner.invariant })
            }
            "histogram_quantile" | "histogram_fraction" | "histogram_quantiles" => self.buckets(c, &hint),
            "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar"
            | "start_timestamp" => {
                let inner = vector_at(0)?;
                Ok(Planned { it: Plan::Nothing(Box::new(inner.it)), invariant: inner.invariant })
            }
            "info" => {
                let matchers = match c.args.get(1).map(|a| a.unparen()) {
                    Some(Expr::Vector(v)) => Some(v.matchers.clone()),
                    Some(_) => {
                        return Err(QueryError::Execution("info() needs a selector as its second argument".to_owned()));
                    }
                    None => None,
                };
                let (at_ms, offset_ms) = self.info_time(arg(c, 0)?)?;
                let inner = vector_at(0)?;
                let invariant = inner.invariant && at_ms.is_some();
                let inner = if invariant { inner.it } else { inner.wrapped() };
                let plan = InfoPlan { inner, matchers, at_ms, offset_ms };
                Ok(Planned { it: Plan::Info(Box::new(plan)), invariant })
            }
            _ => {
                let Some(f) = MathFn::named(name) else {
                    return Err(QueryError::Execution(format!("unknown function {name:?}")));
                };
                let inner = vector_at(0)?;
                let (args, args_invariant) = self.scalars(&c.args[1..])?;
                let invariant = inner.invariant && args_invariant;
                let inner = if invariant { inner.it } else { inner.wrapped() };
                Ok(Planned { it: Plan::Math(f, Box::new(inner), args), invariant })
            }
        }
    }

    fn count_regex(&self, bytes: usize) -> Result<(), QueryError> {
        self.regex_bytes.set(self.regex_bytes.get().saturating_add(bytes));
        let max = self.options.parse.max_regex_bytes;
        if max > 0 && self.regex_bytes.get() > max {
            return Err(QueryError::Limit(format!(
                "regular expressions of label_replace() take more than {max} bytes when compiled (--query.max-regex-bytes)"
            )));
        }
        Ok(())
    }

    fn buckets(&self, c: &Call, hint: &Arc<str>) -> Result<Planned<Plan>, QueryError> {
        let scalar = |at: usize| {
            let a = arg(c, at)?.unparen();
            Ok::<_, QueryError>((self.scalar(a)?, a.span()))
        };
        let (vector_at, function, mut invariant) = match c.function.name {
            "histogram_quantile" => {
                let (q, span) = scalar(0)?;
                (1, BucketsFn::Quantile(q.it, span), q.invariant)
            }
            "histogram_fraction" => {
                let ((lower, _), (upper, _)) = (scalar(0)?, scalar(1)?);
                (2, BucketsFn::Fraction(lower.it, upper.it), lower.invariant && upper.invariant)
            }
            _ => {
                let label = match arg(c, 1)?.unparen() {
                    Expr::String(s) => s.value.clone(),
                    _ => return Err(QueryError::Execution("histogram_quantiles() needs a label name".to_owned())),
                };
                let mut invariant = true;
                let mut list = Vec::new();
                for at in 2..c.args.len() {
                    let (q, span) = scalar(at)?;
                    invariant &= q.invariant;
                    list.push((q.it, span));
                }
                (0, BucketsFn::Quantiles(label, list), invariant)
            }
        };
        let inner_expr = arg(c, vector_at)?.unparen();
        let inner = self.vector(inner_expr, Some(hint))?;
        invariant &= inner.invariant;
        let inner = if invariant { inner.it } else { inner.wrapped() };
        Ok(Planned { it: Plan::Buckets(Box::new(BucketsPlan { function, inner, span: inner_expr.span() })), invariant })
    }

    fn range_call(&self, c: &Call, at: usize, hint: &Arc<str>) -> Result<Planned<Plan>, QueryError> {
        let name = c.function.name;
        let Some(function) = RangeFn::named(name) else {
            return Err(QueryError::Execution(format!("unknown function {name:?}")));
        };
        let range_arg = c.args[at].unparen();
        let mut invariant = function != RangeFn::PredictLinear;
        let input = match range_arg {
            Expr::Matrix(m) => {
                let select = self.select(&m.vector, Some(hint))?;
                check_extended(&select, name)?;
                invariant &= select.at_ms.is_some();
                RangeInput::Select(Arc::new(select), self.duration_ms(&m.range, false)?)
            }
            Expr::Subquery(s) => {
                let sub = self.subquery(s, Some(hint))?;
                invariant &= sub.at_ms.is_some();
                RangeInput::Subquery(sub)
            }
            _ => return Err(QueryError::Execution(format!("{name}() needs a range"))),
        };
        let mut args = Vec::new();
        for (i, a) in c.args.iter().enumerate() {
            if i != at {
                let s = self.scalar(a.unparen())?;
                invariant &= s.invariant;
                args.push(s.it);
            }
        }
        let plan = RangePlan { function, input, args, span: range_arg.span(), first_span: c.args[0].unparen().span() };
        if function == RangeFn::AbsentOverTime {
            let labels = absent_labels(range_arg);
            let inner = Plan::Range(Box::new(RangePlan { function: RangeFn::PresentOverTime, ..plan }));
            return Ok(Planned { it: Plan::Absent(Box::new(inner), labels), invariant });
        }
        Ok(Planned { it: Plan::Range(Box::new(plan)), invariant })
    }

    /// The `@` and offset of the first selector in `info`'s first argument; they hold for the info series too.
    fn info_time(&self, expr: &Expr) -> Result<(Option<i64>, i64), QueryError> {
        Ok(self.first_selector_time(expr)?.unwrap_or((None, 0)))
    }

    fn first_selector_time(&self, expr: &Expr) -> Result<Option<(Option<i64>, i64)>, QueryError> {
        let own = |v: &VectorSelector| Ok(Some((self.at(v.at), self.duration_ms(&v.offset, true)?)));
        match expr {
            Expr::Vector(v) => own(v),
            Expr::Matrix(m) => own(&m.vector),
            Expr::Paren(p) => self.first_selector_time(&p.expr),
            Expr::Unary(u) => self.first_selector_time(&u.expr),
            Expr::Aggregate(a) => self.first_selector_time(&a.expr),
            Expr::Binary(b) => match self.first_selector_time(&b.lhs)? {
                Some(found) => Ok(Some(found)),
                None => self.first_selector_time(&b.rhs),
            },
            Expr::Call(c) => {
                for a in &c.args {
                    if let Some(found) = self.first_selector_time(a)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Expr::Subquery(s) => Ok(match self.first_selector_time(&s.expr)? {
                Some((None, offset)) => Some((self.at(s.at), offset + self.duration_ms(&s.offset, true)?)),
                found => found,
            }),
            Expr::Number(_) | Expr::String(_) => Ok(None),
        }
    }
}

fn check_extended(select: &SelectPlan, function: &str) -> Result<(), QueryError> {
    let refuse = |kind: &str, allowed: &[&str]| {
        if allowed.contains(&function) {
            return Ok(());
        }
        let list = allowed.join(", ");
        Err(QueryError::Execution(format!("{kind} modifier can only be used with: {list} - not with {function}")))
    };
    if select.anchored {
        refuse("anchored", &["changes", "delta", "increase", "rate", "resets"])
    } else if select.smoothed {
        refuse("smoothed", &["delta", "increase", "rate"])
    } else {
        Ok(())
    }
}

/// The labels that a selector's equality matchers pin down, for `absent`.
fn absent_labels(expr: &Expr) -> labels::Labels {
    let matchers = match expr {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.vector.matchers,
        _ => return labels::Labels::empty(),
    };
    let mut builder = labels::Builder::new();
    let mut seen = std::collections::HashSet::new();
    for m in matchers.iter().filter(|m| m.name() != labels::METRIC_NAME) {
        if m.kind() == labels::MatchType::Equal && seen.insert(m.name()) {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.build()
}
