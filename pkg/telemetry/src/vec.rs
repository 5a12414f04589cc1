//! Metric families with a fixed list of label names; [`with`](CounterVec::with) gives the child for a list of values.
//!
//! A lookup hashes and clones the values: hot paths look up once and keep the handle, which is an `Arc` inside.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;

/// A counter of whole things.
pub type Counter = prometheus_client::metrics::counter::Counter<u64, AtomicU64>;
/// A counter of fractions, seconds mostly.
pub type FloatCounter = prometheus_client::metrics::counter::Counter<f64, AtomicU64>;
/// A value that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge<f64, AtomicU64>;
/// Label names and values of one child, constant labels first.
pub type LabelSet = Vec<(Cow<'static, str>, String)>;

/// The buckets of a histogram family; makes its children.
#[derive(Debug, Clone)]
pub(crate) struct Buckets(pub(crate) Arc<[f64]>);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// What the families of every kind have in common.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) constant: Arc<LabelSet>,
    pub(crate) variable: &'static [&'static str],
}

impl Names {
    /// The label set for `values`, which stand in the order of the names. Missing values are empty, which is the same
    /// as absent in Prometheus' data model; values without a name are a programming error, seen in tests.
    fn set(&self, values: &[&str]) -> LabelSet {
        debug_assert_eq!(values.len(), self.variable.len(), "values {values:?} for label names {:?}", self.variable);
        let mut set = LabelSet::with_capacity(self.constant.len() + self.variable.len());
        set.extend(self.constant.iter().cloned());
        let padded = values.iter().copied().chain(std::iter::repeat(""));
        set.extend(self.variable.iter().zip(padded).map(|(n, v)| (Cow::Borrowed(*n), v.to_owned())));
        set
    }
}

macro_rules! family_vec {
    ($(#[$doc:meta])* $name:ident, $child:ty, $ctor:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            pub(crate) names: Names,
            pub(crate) family: Family<LabelSet, $child, $ctor>,
        }

        impl $name {
            /// The child for `values`, one for each label name in their order; made at zero when first asked for.
            pub fn with(&self, values: &[&str]) -> $child {
                self.family.get_or_create_owned(&self.names.set(values))
            }

            /// Forgets one child; true if it was there.
            pub fn remove(&self, values: &[&str]) -> bool {
                self.family.remove(&self.names.set(values))
            }

            /// Forgets all children, those of other constant labels too.
            pub fn clear(&self) {
                self.family.clear();
            }
        }
    };
}

family_vec!(
    /// Counters told apart by labels.
    CounterVec, Counter, fn() -> Counter
);
family_vec!(
    /// Float counters told apart by labels.
    FloatCounterVec, FloatCounter, fn() -> FloatCounter
);
family_vec!(
    /// Gauges told apart by labels.
    GaugeVec, Gauge, fn() -> Gauge
);
family_vec!(
    /// Histograms told apart by labels, all with the same buckets.
    HistogramVec, Histogram, Buckets
);
