//! Planning calls of functions: what their arguments may be, and which operator evaluates them.

use std::sync::Arc;

use labels::MatchType;
use promql_syntax::{Call, Expr, VectorSelector};

use crate::QueryError;
use crate::functions::sort::SortOrder;
use crate::functions::table::{self, Form, Kernel};
use crate::kernel::RangeKernel;
use crate::passes::step_invariant::is_invariant;
use crate::plan::{
    BucketsFn, BucketsPlan, Called, InfoPlan, NativePlan, Plan, RangeInput, RangePlan, ScalarPlan, SortPlan,
};
use crate::planner::{Planner, arg};
use crate::select_plan::{SelectPlan, Shown};

impl Planner<'_> {
    pub(crate) fn call(&self, c: &Call) -> Result<Plan, QueryError> {
        let name = c.function.name;
        let hint: Arc<str> = Arc::from(name);
        let Some(kernel) = table::kernel(name) else {
            return Err(QueryError::Execution(format!("unknown function {name:?}")));
        };
        match kernel {
            Kernel::Range(kernel) => self.range_call(c, kernel, &hint),
            Kernel::Form(form) => self.form(c, *form, &hint),
            Kernel::Date(kernel) => {
                let called = Called { name, kernel: *kernel };
                let Some(a) = c.args.first() else { return Ok(Plan::Vector(ScalarPlan::Date(called))) };
                Ok(Plan::Date(called, Box::new(self.vector(a.unparen(), Some(&hint))?)))
            }
            Kernel::Native { kernel, reads_buckets } => {
                let inner = self.vector(arg(c, 0)?.unparen(), Some(&hint))?;
                let plan =
                    NativePlan { function: Called { name, kernel: *kernel }, reads_buckets: *reads_buckets, inner };
                Ok(Plan::Native(Box::new(plan)))
            }
            Kernel::Math(kernel) => {
                let inner = self.vector(arg(c, 0)?.unparen(), Some(&hint))?;
                Ok(Plan::Math(Called { name, kernel: *kernel }, Box::new(inner), self.scalars(&c.args[1..])?))
            }
            Kernel::Scalar(_) => Err(QueryError::Execution(format!("{name}() is no vector"))),
        }
    }

    /// A function with an operator of its own.
    fn form(&self, c: &Call, form: Form, hint: &Arc<str>) -> Result<Plan, QueryError> {
        let name = c.function.name;
        let string = |at: usize| match c.args.get(at).map(|a| a.unparen()) {
            Some(Expr::String(s)) => Ok(s.value.clone()),
            _ => Err(QueryError::Execution(format!("argument {} of {name}() must be a string literal", at + 1))),
        };
        let vector_at = |at: usize| self.vector(arg(c, at)?.unparen(), Some(hint));
        match form {
            Form::Vector => Ok(Plan::Vector(self.scalar(arg(c, 0)?.unparen())?)),
            Form::Timestamp => Ok(match vector_at(0)? {
                Plan::Select(mut select) => {
                    // It is the time of a sample that there is.
                    Arc::make_mut(&mut select).smoothed = false;
                    Plan::SampleTime(looked_up_at(select), Shown::Times)
                }
                inner => Plan::StepTime(Box::new(inner)),
            }),
            Form::StartTimestamp => Ok(match vector_at(0)? {
                Plan::Select(select) if self.options.use_start_timestamps => {
                    Plan::SampleTime(looked_up_at(select), Shown::Starts)
                }
                // Values that were calculated have none.
                inner => Plan::Nothing(Box::new(inner)),
            }),
            Form::Absent => {
                let labels = absent_labels(arg(c, 0)?.unparen());
                Ok(Plan::Absent(Box::new(vector_at(0)?), labels))
            }
            Form::AbsentOverTime => self.absent_over_time(c, hint),
            Form::Sort { descending } => Ok(sort(SortOrder::Value { descending }, vector_at(0)?, c)),
            Form::SortByLabel { descending } => {
                let inner = vector_at(0)?;
                let labels = (1..c.args.len()).map(string).collect::<Result<_, _>>()?;
                Ok(sort(SortOrder::Labels { labels, descending }, inner, c))
            }
            Form::LabelReplace => {
                let inner = vector_at(0)?;
                let replace = crate::functions::labels::Replace::new(&string(1)?, string(2)?, string(3)?, &string(4)?)?;
                self.count_regex(replace.program_bytes())?;
                Ok(Plan::LabelReplace(Box::new(inner), Box::new(replace)))
            }
            Form::LabelJoin => {
                let inner = vector_at(0)?;
                let sources = (3..c.args.len()).map(string).collect::<Result<_, _>>()?;
                let join = crate::functions::labels::Join::new(string(1)?, string(2)?, sources)?;
                Ok(Plan::LabelJoin(Box::new(inner), Box::new(join)))
            }
            Form::Quantile | Form::Quantiles | Form::Fraction => self.buckets(c, form, hint),
            Form::Info => self.info(c, vector_at(0)?),
        }
    }

    fn info(&self, c: &Call, inner: Plan) -> Result<Plan, QueryError> {
        let matchers = match c.args.get(1).map(|a| a.unparen()) {
            Some(Expr::Vector(v)) => Some(v.matchers.clone()),
            Some(_) => {
                return Err(QueryError::Execution("info() needs a selector as its second argument".to_owned()));
            }
            None => None,
        };
        let (at_ms, offset_ms) = self.info_time(arg(c, 0)?)?;
        Ok(Plan::Info(Box::new(InfoPlan { inner, matchers, at_ms, offset_ms })))
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

    fn buckets(&self, c: &Call, form: Form, hint: &Arc<str>) -> Result<Plan, QueryError> {
        let scalar = |at: usize| {
            let a = arg(c, at)?.unparen();
            Ok::<_, QueryError>((self.scalar(a)?, a.span()))
        };
        let (vector_at, function) = match form {
            Form::Quantile => {
                let (q, span) = scalar(0)?;
                (1, BucketsFn::Quantile(q, span))
            }
            Form::Fraction => {
                let ((lower, _), (upper, _)) = (scalar(0)?, scalar(1)?);
                (2, BucketsFn::Fraction(lower, upper))
            }
            _ => {
                let label = match arg(c, 1)?.unparen() {
                    Expr::String(s) => s.value.clone(),
                    _ => return Err(QueryError::Execution("histogram_quantiles() needs a label name".to_owned())),
                };
                let list = (2..c.args.len()).map(scalar).collect::<Result<_, _>>()?;
                (0, BucketsFn::Quantiles(label, list))
            }
        };
        let inner_expr = arg(c, vector_at)?.unparen();
        let inner = self.vector(inner_expr, Some(hint))?;
        let plan = BucketsPlan { name: c.function.name, function, inner, span: inner_expr.span() };
        Ok(Plan::Buckets(Box::new(plan)))
    }

    fn range_call(&self, c: &Call, kernel: &'static RangeKernel, hint: &Arc<str>) -> Result<Plan, QueryError> {
        let name = c.function.name;
        let is_range = |a: &Expr| matches!(a.unparen(), Expr::Matrix(_) | Expr::Subquery(_));
        let Some(at) = c.args.iter().position(is_range) else {
            return Err(QueryError::Execution(format!("{name}() needs a range")));
        };
        let range_arg = c.args[at].unparen();
        let input = match range_arg {
            Expr::Matrix(m) => {
                let select = self.select(&m.vector, Some(hint))?;
                check_extended(&select, kernel, name)?;
                RangeInput::Select(Arc::new(select), self.duration_ms(&m.range, false)?)
            }
            Expr::Subquery(s) => RangeInput::Subquery(self.subquery(s, Some(hint))?),
            _ => return Err(QueryError::Execution(format!("{name}() needs a range"))),
        };
        let others = c.args.iter().enumerate().filter(|(i, _)| *i != at);
        let args = others.map(|(_, a)| self.scalar(a.unparen())).collect::<Result<_, _>>()?;
        let first_span = c.args[0].unparen().span();
        Ok(Plan::Range(Box::new(RangePlan { name, kernel, input, args, span: range_arg.span(), first_span })))
    }

    fn absent_over_time(&self, c: &Call, hint: &Arc<str>) -> Result<Plan, QueryError> {
        let labels = absent_labels(arg(c, 0)?.unparen());
        let present = self.range_call(c, table::present(), hint)?;
        Ok(Plan::Absent(Box::new(present), labels))
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

/// A selector under `timestamp`. Where it has an `@`, Prometheus lets the offset say which samples are read, but looks them up
/// at the time itself: those that are older there than the lookback do not show, nor those behind it.
fn looked_up_at(mut select: Arc<SelectPlan>) -> Arc<SelectPlan> {
    if select.at_ms.is_some() && select.offset_ms != 0 {
        let select = Arc::make_mut(&mut select);
        select.unseen_ms = select.offset_ms.saturating_abs();
        select.offset_ms = select.offset_ms.max(0);
    }
    select
}

fn sort(order: SortOrder, inner: Plan, c: &Call) -> Plan {
    // What is evaluated once can be sorted; a warning tells of the rest.
    let is_pinned = is_invariant(&inner);
    Plan::Sort(Box::new(SortPlan { name: c.function.name, order, inner, is_pinned, span: c.span }))
}

/// Refuses a modifier that the function has no use for.
fn check_extended(select: &SelectPlan, kernel: &RangeKernel, function: &str) -> Result<(), QueryError> {
    let (kind, allows): (&str, fn(&RangeKernel) -> bool) = match (select.anchored, select.smoothed) {
        (true, _) => ("anchored", |kernel| kernel.anchored),
        (_, true) => ("smoothed", |kernel| kernel.smoothed),
        _ => return Ok(()),
    };
    if allows(kernel) {
        return Ok(());
    }
    let list = table::with_modifier(allows).join(", ");
    Err(QueryError::Execution(format!("{kind} modifier can only be used with: {list} - not with {function}")))
}

/// The labels that a selector's equality matchers pin down, for `absent`. Of several matchers for one label the order decides:
/// as in Prometheus, those that take series away come last.
fn absent_labels(expr: &Expr) -> labels::Labels {
    let matchers = match expr {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.vector.matchers,
        _ => return labels::Labels::empty(),
    };
    let takes_away = |m: &labels::Matcher| {
        let is_needed = matchers.iter().any(|other| other.name() == m.name() && !other.matches(""));
        let is_negative = matches!(m.kind(), MatchType::NotEqual | MatchType::NotRegex);
        !is_needed || is_negative && m.matches("")
    };
    let (last, first): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| takes_away(m));
    let mut builder = labels::Builder::new();
    let mut seen = std::collections::HashSet::new();
    for m in first.into_iter().chain(last).filter(|m| m.name() != labels::METRIC_NAME) {
        if m.kind() == MatchType::Equal && seen.insert(m.name()) {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.build()
}
