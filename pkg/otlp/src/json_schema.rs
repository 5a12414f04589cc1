//! The messages of OTLP as JSON names their fields.

/// A message.
#[derive(Debug)]
pub(crate) struct Schema {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// A field: its name in JSON, its number, what it holds.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub number: u64,
    pub kind: Kind,
}

/// What a field holds; lists of each are written as they come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Hex,
    Base64,
    Bool,
    Double,
    /// Eight bytes, a number without sign in JSON as number or text.
    Fixed64,
    /// Eight bytes, with sign.
    SignedFixed64,
    /// Of variable length.
    Varint,
    /// The same with sign.
    Signed,
    /// In zigzag form.
    Zigzag,
    Temporality,
    Message(&'static Schema),
}

const fn field(name: &'static str, number: u64, kind: Kind) -> Field {
    Field { name, number, kind }
}

use Kind::{Base64, Bool, Double, Fixed64, Hex, Message, Signed, SignedFixed64, Temporality, Text, Varint, Zigzag};

pub(crate) static REQUEST: Schema =
    Schema { name: "request", fields: &[field("resourceMetrics", 1, Message(&RESOURCE_METRICS))] };

static RESOURCE_METRICS: Schema = Schema {
    name: "resourceMetrics",
    fields: &[
        field("resource", 1, Message(&RESOURCE)),
        field("scopeMetrics", 2, Message(&SCOPE_METRICS)),
        field("schemaUrl", 3, Text),
    ],
};

static RESOURCE: Schema = Schema { name: "resource", fields: &[field("attributes", 1, Message(&ATTRIBUTE))] };

static SCOPE_METRICS: Schema = Schema {
    name: "scopeMetrics",
    fields: &[field("scope", 1, Message(&SCOPE)), field("metrics", 2, Message(&METRIC)), field("schemaUrl", 3, Text)],
};

static SCOPE: Schema = Schema {
    name: "scope",
    fields: &[field("name", 1, Text), field("version", 2, Text), field("attributes", 3, Message(&ATTRIBUTE))],
};

static METRIC: Schema = Schema {
    name: "metric",
    fields: &[
        field("name", 1, Text),
        field("description", 2, Text),
        field("unit", 3, Text),
        field("gauge", 5, Message(&GAUGE)),
        field("sum", 7, Message(&SUM)),
        field("histogram", 9, Message(&HISTOGRAM)),
        field("exponentialHistogram", 10, Message(&EXPONENTIAL_HISTOGRAM)),
        field("summary", 11, Message(&SUMMARY)),
    ],
};

static GAUGE: Schema = Schema { name: "gauge", fields: &[field("dataPoints", 1, Message(&NUMBER_POINT))] };

static SUM: Schema = Schema {
    name: "sum",
    fields: &[
        field("dataPoints", 1, Message(&NUMBER_POINT)),
        field("aggregationTemporality", 2, Temporality),
        field("isMonotonic", 3, Bool),
    ],
};

static HISTOGRAM: Schema = Schema {
    name: "histogram",
    fields: &[field("dataPoints", 1, Message(&HISTOGRAM_POINT)), field("aggregationTemporality", 2, Temporality)],
};

static EXPONENTIAL_HISTOGRAM: Schema = Schema {
    name: "exponentialHistogram",
    fields: &[field("dataPoints", 1, Message(&EXPONENTIAL_POINT)), field("aggregationTemporality", 2, Temporality)],
};

static SUMMARY: Schema = Schema { name: "summary", fields: &[field("dataPoints", 1, Message(&SUMMARY_POINT))] };

static NUMBER_POINT: Schema = Schema {
    name: "data point",
    fields: &[
        field("startTimeUnixNano", 2, Fixed64),
        field("timeUnixNano", 3, Fixed64),
        field("asDouble", 4, Double),
        field("exemplars", 5, Message(&EXEMPLAR)),
        field("asInt", 6, SignedFixed64),
        field("attributes", 7, Message(&ATTRIBUTE)),
        field("flags", 8, Varint),
    ],
};

static HISTOGRAM_POINT: Schema = Schema {
    name: "data point of a histogram",
    fields: &[
        field("startTimeUnixNano", 2, Fixed64),
        field("timeUnixNano", 3, Fixed64),
        field("count", 4, Fixed64),
        field("sum", 5, Double),
        field("bucketCounts", 6, Fixed64),
        field("explicitBounds", 7, Double),
        field("exemplars", 8, Message(&EXEMPLAR)),
        field("attributes", 9, Message(&ATTRIBUTE)),
        field("flags", 10, Varint),
    ],
};

static EXPONENTIAL_POINT: Schema = Schema {
    name: "data point of an exponential histogram",
    fields: &[
        field("attributes", 1, Message(&ATTRIBUTE)),
        field("startTimeUnixNano", 2, Fixed64),
        field("timeUnixNano", 3, Fixed64),
        field("count", 4, Fixed64),
        field("sum", 5, Double),
        field("scale", 6, Zigzag),
        field("zeroCount", 7, Fixed64),
        field("positive", 8, Message(&BUCKETS)),
        field("negative", 9, Message(&BUCKETS)),
        field("flags", 10, Varint),
        field("exemplars", 11, Message(&EXEMPLAR)),
        field("zeroThreshold", 14, Double),
    ],
};

static BUCKETS: Schema =
    Schema { name: "buckets", fields: &[field("offset", 1, Zigzag), field("bucketCounts", 2, Varint)] };

static SUMMARY_POINT: Schema = Schema {
    name: "data point of a summary",
    fields: &[
        field("startTimeUnixNano", 2, Fixed64),
        field("timeUnixNano", 3, Fixed64),
        field("count", 4, Fixed64),
        field("sum", 5, Double),
        field("quantileValues", 6, Message(&QUANTILE)),
        field("attributes", 7, Message(&ATTRIBUTE)),
        field("flags", 8, Varint),
    ],
};

static QUANTILE: Schema =
    Schema { name: "quantile", fields: &[field("quantile", 1, Double), field("value", 2, Double)] };

static EXEMPLAR: Schema = Schema {
    name: "exemplar",
    fields: &[
        field("timeUnixNano", 2, Fixed64),
        field("asDouble", 3, Double),
        field("spanId", 4, Hex),
        field("traceId", 5, Hex),
        field("asInt", 6, SignedFixed64),
        field("filteredAttributes", 7, Message(&ATTRIBUTE)),
    ],
};

static ATTRIBUTE: Schema =
    Schema { name: "attribute", fields: &[field("key", 1, Text), field("value", 2, Message(&ANY))] };

static ANY: Schema = Schema {
    name: "value",
    fields: &[
        field("stringValue", 1, Text),
        field("boolValue", 2, Bool),
        field("intValue", 3, Signed),
        field("doubleValue", 4, Double),
        field("arrayValue", 5, Message(&LIST)),
        field("kvlistValue", 6, Message(&MAP)),
        field("bytesValue", 7, Base64),
    ],
};

static LIST: Schema = Schema { name: "list", fields: &[field("values", 1, Message(&ANY))] };

static MAP: Schema = Schema { name: "map", fields: &[field("values", 1, Message(&ATTRIBUTE))] };
