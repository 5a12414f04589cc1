//! Visiting the nodes of a plan.

use crate::plan::{AggregateParam, BucketsFn, Plan, RangeInput, Root, ScalarPlan};

/// A node of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'a> {
    Vector(&'a Plan),
    Scalar(&'a ScalarPlan),
}

/// A node that may be changed.
#[derive(Debug)]
pub(crate) enum NodeMut<'a> {
    Vector(&'a mut Plan),
    Scalar(&'a mut ScalarPlan),
}

/// The nodes directly below `$plan`, in the order in which they stand in a query.
macro_rules! below {
    ($plan:expr, $node:ident, $iter:ident, $($mutable:ident)?) => {{
        let mut out = Vec::new();
        match $plan {
            Plan::Select(_) | Plan::SampleTime(..) | Plan::Matrix(..) | Plan::Shared(_) => {}
            Plan::Subquery(s) => out.push($node::Vector(&$($mutable)? s.inner)),
            Plan::Range(r) => {
                if let RangeInput::Subquery(s) = &$($mutable)? r.input {
                    out.push($node::Vector(&$($mutable)? s.inner));
                }
                out.extend(r.args.$iter().map($node::Scalar));
            }
            Plan::Absent(inner, _)
            | Plan::Date(_, inner)
            | Plan::StepTime(inner)
            | Plan::Nothing(inner)
            | Plan::Negate(inner)
            | Plan::LabelReplace(inner, _)
            | Plan::LabelJoin(inner, _)
            | Plan::Invariant(inner) => out.push($node::Vector(inner)),
            Plan::Math(_, inner, args) => {
                out.push($node::Vector(inner));
                out.extend(args.$iter().map($node::Scalar));
            }
            Plan::Native(n) => out.push($node::Vector(&$($mutable)? n.inner)),
            Plan::Vector(scalar) => out.push($node::Scalar(scalar)),
            Plan::Sort(s) => out.push($node::Vector(&$($mutable)? s.inner)),
            Plan::Buckets(b) => {
                match &$($mutable)? b.function {
                    BucketsFn::Quantile(q, _) => out.push($node::Scalar(q)),
                    BucketsFn::Quantiles(_, list) => out.extend(list.$iter().map(|(q, _)| $node::Scalar(q))),
                    BucketsFn::Fraction(lower, upper) => out.extend([$node::Scalar(lower), $node::Scalar(upper)]),
                }
                out.push($node::Vector(&$($mutable)? b.inner));
            }
            Plan::Info(i) => out.push($node::Vector(&$($mutable)? i.inner)),
            Plan::Aggregate(a) => {
                if let AggregateParam::Scalar(scalar, _) = &$($mutable)? a.param {
                    out.push($node::Scalar(scalar));
                }
                out.push($node::Vector(&$($mutable)? a.inner));
            }
            Plan::Binary(b) => {
                let b = &$($mutable)? **b;
                out.extend([$node::Vector(&$($mutable)? b.lhs), $node::Vector(&$($mutable)? b.rhs)]);
            }
            Plan::WithScalar(w) => {
                let w = &$($mutable)? **w;
                let (vector, scalar) = (&$($mutable)? w.vector, &$($mutable)? w.scalar);
                let both = [$node::Vector(vector), $node::Scalar(scalar)];
                out.extend(both);
            }
        }
        out
    }};
}

/// The nodes directly below a scalar.
macro_rules! below_scalar {
    ($plan:expr, $node:ident) => {
        match $plan {
            ScalarPlan::Const(_) | ScalarPlan::Time | ScalarPlan::Date(_) => Vec::new(),
            ScalarPlan::Negate(inner) => vec![$node::Scalar(inner)],
            ScalarPlan::Binary(_, a, b) | ScalarPlan::MinOf(a, b) | ScalarPlan::MaxOf(a, b) => {
                vec![$node::Scalar(a), $node::Scalar(b)]
            }
            ScalarPlan::FromVector(inner) => vec![$node::Vector(inner)],
        }
    };
}

impl<'a> Node<'a> {
    /// The nodes directly below; of what is shared, each place has them.
    pub fn children(self) -> Vec<Self> {
        match self {
            Self::Vector(Plan::Shared(shared)) => shared.plan().map(Node::Vector).into_iter().collect(),
            Self::Vector(plan) => below!(plan, Node, iter,),
            Self::Scalar(plan) => below_scalar!(plan, Node),
        }
    }
}

impl<'a> NodeMut<'a> {
    /// The nodes directly below. What is shared has none here: it is left as it is.
    pub fn children(self) -> Vec<Self> {
        match self {
            Self::Vector(plan) => below!(plan, NodeMut, iter_mut, mut),
            Self::Scalar(plan) => below_scalar!(plan, NodeMut),
        }
    }

    fn reborrow(&mut self) -> NodeMut<'_> {
        match self {
            Self::Vector(plan) => NodeMut::Vector(plan),
            Self::Scalar(plan) => NodeMut::Scalar(plan),
        }
    }

    /// Calls `f` with each node below and with this one, children first.
    pub fn each(mut self, f: &mut dyn FnMut(NodeMut<'_>)) {
        self.reborrow().children().into_iter().for_each(|child| child.each(f));
        f(self);
    }
}

impl Root {
    /// The highest node; none of a string.
    pub fn node(&self) -> Option<Node<'_>> {
        match self {
            Self::Vector(plan) => Some(Node::Vector(plan)),
            Self::Scalar(plan) => Some(Node::Scalar(plan)),
            Self::String(_) => None,
        }
    }

    /// The highest node; none of a string.
    pub fn node_mut(&mut self) -> Option<NodeMut<'_>> {
        match self {
            Self::Vector(plan) => Some(NodeMut::Vector(plan)),
            Self::Scalar(plan) => Some(NodeMut::Scalar(plan)),
            Self::String(_) => None,
        }
    }
}
