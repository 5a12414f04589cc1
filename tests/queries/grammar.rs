//! Queries from a seed. All functions of the table come up, with arguments of the types that the table says.

use promql_syntax::{FUNCTIONS, Function, ValueType};

use crate::random::Random;
use crate::world::Kinds;

/// Functions whose names say that the answer depends on the whole range of the query.
pub const OF_THE_RANGE: [&str; 5] = ["start()", "end()", "range()", "step()", "info("];

/// Lengths of time that are calculated.
const CALCULATED: [&str; 9] = [
    "1m + 30s",
    "(5m)",
    "300",
    "2 * 45s",
    "10m / 4",
    "step() * 2 + 1m",
    "max_of(step(), 1m)",
    "min_of(range() + 1m, 10m)",
    "-(-2m)",
];

/// Functions that Prometheus 2.42 does not know, or calculates otherwise.
const NOT_IN_2: [&str; 19] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "first_over_time",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "hour",
    "label_join",
    "label_replace",
    "minute",
    "month",
    "predict_linear",
    "year",
];

/// Queries for worlds of one kind.
#[derive(Debug)]
pub struct Grammar {
    pub random: Random,
    pub kinds: Kinds,
}

const FLOATS: [&str; 6] = ["requests_total", "temperature", "latency_bucket", "odd", "up", "build_info"];
const NATIVE: [&str; 4] = ["native", "native_gauge", "custom", "mixed"];
const LABELS: [&str; 7] = ["instance", "job", "code", "site", "le", "path", "version"];

impl Grammar {
    /// A query of a vector or a scalar.
    pub fn query(&mut self) -> String {
        let depth = 1 + self.random.below(4);
        match self.random.below(12) {
            0 => self.scalar(depth),
            1 if !self.is_all() => self.native_of_2(),
            _ => self.vector(depth),
        }
    }

    fn is_all(&self) -> bool {
        self.kinds == Kinds::All
    }

    fn selector(&mut self) -> String {
        let r = &mut self.random;
        let all = self.kinds == Kinds::All;
        if all && r.one_in(12) {
            let quoted = [
                "{\"größe.bytes\"}",
                "{\"größe.bytes\",\"kind of\"=\"1\"}",
                "{\"größe.bytes\",\"kind of\"!~\"2|3\"}",
                "{__name__=~\"g.+|up\"}",
                "{\"kind of\"=~\".+\"}",
            ];
            return (*r.pick(&quoted)).to_owned();
        }
        let name = if all && r.one_in(3) { *r.pick(&NATIVE) } else { *r.pick(&FLOATS) };
        let matchers: &[&str] = &[
            "instance=\"a:1\"",
            "instance!=\"b:2\"",
            "instance=~\"a.*|c:3\"",
            "code!~\"5..\"",
            "code=\"200\"",
            "site=~\".+\"",
            "site!=\"東京\"",
            "path=\"\"",
            "nothing=\"here\"",
            "le=~\"1.*|.Inf\"",
            "job=\"demo\"",
        ];
        let mut chosen = Vec::new();
        while chosen.len() < 3 && r.one_in(3) {
            chosen.push(*r.pick(matchers));
        }
        if chosen.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", chosen.join(",")) }
    }

    /// `offset` and `@`, seldom.
    fn modifiers(&mut self) -> String {
        let all = self.is_all();
        let r = &mut self.random;
        let mut out = String::new();
        if r.one_in(8) {
            let offsets = [
                " offset 1m",
                " offset -1m",
                " offset 7m",
                " offset 13s",
                " offset (1m + 13s)",
                " offset -step()",
                " offset (range() / 2)",
            ];
            out += *r.pick(if all { &offsets[..] } else { &offsets[..4] });
        }
        if r.one_in(12) {
            let ats = [" @ 1700007000.007", " @ 1700008000.007", " @ start()", " @ end()"];
            out += *r.pick(&ats);
        }
        out
    }

    fn duration(&mut self) -> &'static str {
        const ALL: [&str; 7] = ["1m", "2m", "5m", "10m", "90s", "47s", "1h"];
        if self.is_all() && self.random.one_in(10) {
            return CALCULATED[self.random.below(CALCULATED.len())];
        }
        ALL[self.random.below(ALL.len())]
    }

    fn range(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.one_in(4) {
            let (inner, range) = (self.vector(depth - 1), self.duration());
            let steps = ["", "15s", "1m", "31s", "step()", "2 * 15s"];
            let step = *self.random.pick(if self.is_all() { &steps[..] } else { &steps[..4] });
            return format!("({inner})[{range}:{step}]{}", self.modifiers());
        }
        let (selector, range) = (self.selector(), self.duration());
        let extended = match self.random.below(30) {
            0 if self.is_all() => " anchored",
            1 if self.is_all() => " smoothed",
            _ => "",
        };
        format!("{selector}[{range}]{extended}{}", self.modifiers())
    }

    fn number(&mut self) -> String {
        let all = ["0", "1", "2", "-1", "0.5", "0.9", "10", "3600", "NaN", "Inf", "-Inf", "1e-3"];
        if self.is_all() && self.random.one_in(10) {
            return (*self.random.pick(&["5m", "0x1F", "1_000", "-30s", "2.5e2"])).to_owned();
        }
        (*self.random.pick(&all)).to_owned()
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(2) {
            return match self.random.below(6) {
                0 => "time()".to_owned(),
                _ => self.number(),
            };
        }
        match self.random.below(4) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => format!("-({})", self.scalar(depth - 1)),
            2 => {
                let of_scalars: Vec<_> = FUNCTIONS.iter().filter(|f| f.returns == ValueType::Scalar).collect();
                let function = *self.random.pick(&of_scalars);
                if self.knows(function) { self.call(function, depth) } else { "pi()".to_owned() }
            }
            _ => {
                let op = self.random.pick(&["+", "-", "*", "/", "%", "^", "== bool", "< bool", "atan2"]);
                format!("({}) {op} ({})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector() + &self.modifiers();
        }
        match self.random.below(20) {
            0 if self.is_all() && self.random.one_in(4) => self.selector() + " smoothed" + &self.modifiers(),
            0 => self.selector() + &self.modifiers(),
            1 => format!("-({})", self.vector(depth - 1)),
            2..=8 => self.function(depth),
            9..=13 => self.aggregate(depth),
            14 => self.classic(),
            15 if self.is_all() => self.histograms(depth),
            16 => self.with_scalar(depth),
            _ => self.binary(depth),
        }
    }

    fn knows(&self, f: &Function) -> bool {
        self.is_all() || (!f.experimental && !NOT_IN_2.contains(&f.name))
    }

    /// Any function that gives a vector.
    fn function(&mut self, depth: usize) -> String {
        let all: Vec<_> = FUNCTIONS.iter().filter(|f| f.returns == ValueType::Vector && self.knows(f)).collect();
        // Those of ranges count double: they have the most ways to be wrong.
        let of_ranges: Vec<_> = all.iter().copied().filter(|f| f.args.contains(&ValueType::Matrix)).collect();
        let function = if self.random.one_in(2) { *self.random.pick(&of_ranges) } else { *self.random.pick(&all) };
        self.call(function, depth)
    }

    fn call(&mut self, f: &Function, depth: usize) -> String {
        match f.name {
            "label_replace" => {
                let inner = self.vector(depth - 1);
                let targets = ["code", "new", "instance", "__name__", "kind of"];
                let targets = if self.is_all() { &targets[..] } else { &targets[..3] };
                let (to, from) = (*self.random.pick(targets), *self.random.pick(&LABELS));
                let pattern = *self.random.pick(&["(.*)", "(.).*", "a:(.)", "(", "x"]);
                return format!("label_replace({inner}, \"{to}\", \"$1-x\", \"{from}\", \"{pattern}\")");
            }
            "label_join" => {
                let (inner, one) = (self.vector(depth - 1), *self.random.pick(&LABELS));
                return format!("label_join({inner}, \"new\", \"-\", \"instance\", \"{one}\")");
            }
            "histogram_quantiles" => {
                let inner = self.histograms(depth - 1);
                return format!("histogram_quantiles({inner}, \"quantile\", {}, 0.5)", self.number());
            }
            "sort_by_label" | "sort_by_label_desc" => {
                return format!("{}({}, \"instance\")", f.name, self.vector(depth - 1));
            }
            "info" => {
                let inner = if self.random.one_in(3) { self.vector(depth - 1) } else { self.selector() };
                let more =
                    ["", ", {version=\"1\"}", ", {version=~\".+\"}", ", {__name__=\"build_info\"}", ", {nothing=\"\"}"];
                return format!("info({inner}{})", self.random.pick(&more));
            }
            "double_exponential_smoothing" => {
                let factors = *self.random.pick(&["0.3, 0.7", "0.9, 0.1", "1, 0.5", "0.5, 0"]);
                return format!("{}({}, {factors})", f.name, self.range(depth - 1));
            }
            _ => {}
        }
        // The last one may be left out where it is optional.
        let fewest = if f.variadic == 0 { f.args.len() } else { f.args.len() - 1 };
        let count = if self.random.one_in(2) { fewest } else { f.args.len() };
        let mut args = Vec::new();
        for kind in &f.args[..count] {
            args.push(match kind {
                // Prometheus 2 extrapolates counters near zero otherwise.
                ValueType::Matrix if f.counter && !self.is_all() => format!("requests_total[{}]", self.duration()),
                ValueType::Matrix => self.range(depth - 1),
                ValueType::Vector if f.name.starts_with("histogram_") && !self.random.one_in(6) => {
                    self.histograms(depth - 1)
                }
                ValueType::Vector => self.vector(depth - 1),
                _ => self.scalar(depth - 1),
            });
        }
        format!("{}({})", f.name, args.join(", "))
    }

    /// A vector that has histograms, as a rule.
    fn histograms(&mut self, depth: usize) -> String {
        let name = *self.random.pick(&NATIVE);
        let inner = match self.random.below(6) {
            0 => return format!("sum by (le) (rate(latency_bucket[{}]))", self.duration()),
            1 => return "latency_bucket".to_owned(),
            2 | 3 => {
                let function =
                    self.random.pick(&["rate", "increase", "sum_over_time", "avg_over_time", "last_over_time"]);
                format!("{function}({name}[{}]{})", self.duration(), self.modifiers())
            }
            _ => name.to_owned() + &self.modifiers(),
        };
        if depth > 0 && self.random.one_in(3) {
            return format!("sum by (path) ({inner})");
        }
        inner
    }

    /// A quantile of classic buckets.
    fn classic(&mut self) -> String {
        let range = self.duration();
        format!("histogram_quantile({}, sum by (le, instance) (rate(latency_bucket[{range}])))", self.number())
    }

    /// What has not changed since Prometheus 2, which takes native histograms for zeros where it knows no better, and
    /// extrapolates their rates otherwise.
    fn native_of_2(&mut self) -> String {
        let all = [
            "native",
            "histogram_count(native)",
            "histogram_sum(native)",
            "histogram_sum(native{path=\"/x\"} offset 1m)",
        ];
        (*self.random.pick(&all)).to_owned()
    }

    fn grouping(&mut self) -> String {
        let mut labels = self.random.some(&LABELS);
        if self.is_all() && self.random.one_in(12) {
            labels.push(self.random.pick(&["\"kind of\"", "__name__"]));
        }
        let labels = labels.into_iter().copied().collect::<Vec<_>>().join(", ");
        match self.random.below(3) {
            0 => String::new(),
            1 => format!(" by ({labels})"),
            _ => format!(" without ({labels})"),
        }
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let (inner, grouping) = (self.vector(depth - 1), self.grouping());
        // Prometheus 2 finds no deviation in NaN.
        let plain = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
        let plain = if self.is_all() { &plain[..] } else { &plain[..6] };
        match self.random.below(12) {
            0 => format!("quantile{grouping} ({}, {inner})", self.number()),
            // The last digit of a calculated value may differ, and would be another label.
            1 => format!("count_values{grouping} (\"value\", {})", self.selector()),
            // Among equal values any may be chosen: the values of this metric differ.
            2 | 3 => {
                let (op, k) = (*self.random.pick(&["topk", "bottomk"]), 1 + self.random.below(3));
                format!("{op}{grouping} ({k}, temperature{})", self.modifiers())
            }
            // It takes the first ones, which of the results of topk are any.
            4 if self.is_all() => format!("limitk{grouping} ({}, {})", 1 + self.random.below(3), self.selector()),
            5 if self.is_all() => {
                format!("limit_ratio{grouping} ({}, {inner})", self.random.pick(&["0.5", "-0.3", "1"]))
            }
            _ => format!("{}{grouping} ({inner})", self.random.pick(plain)),
        }
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        if self.is_all() && self.random.one_in(8) {
            let (op, at) = (*self.random.pick(&["</", ">/"]), self.number());
            return format!("({}) {op} {at}", self.histograms(depth - 1));
        }
        // Prometheus 2 keeps names after atan2.
        let ops = ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool", "atan2"];
        let ops = if self.is_all() { &ops[..] } else { &ops[..14] };
        let (op, vector, scalar) = (*self.random.pick(ops), self.vector(depth - 1), self.scalar(depth - 1));
        match self.random.one_in(2) {
            true => format!("({vector}) {op} ({scalar})"),
            false => format!("({scalar}) {op} ({vector})"),
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let (lhs, rhs) = (self.vector(depth - 1), self.vector(depth - 1));
        let ops = ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<= bool", "== bool", "atan2"];
        let ops = if self.is_all() { &ops[..] } else { &ops[..ops.len() - 1] };
        let (op, set) = (*self.random.pick(ops), *self.random.pick(&["and", "or", "unless"]));
        let label = *self.random.pick(&LABELS);
        if self.is_all() && !op.ends_with("bool") && self.random.one_in(10) {
            let fill =
                *self.random.pick(&["fill (0)", "fill_left (1)", "fill_right (NaN)", "fill_left (2) fill_right (-3)"]);
            return format!(
                "sum by (instance, {label}) ({lhs}) {op} on (instance, {label}) {fill} max by (instance, {label}) ({rhs})"
            );
        }
        match self.random.below(8) {
            0 => format!("({lhs}) {op} ({rhs})"),
            1 => format!("({lhs}) {set} ({rhs})"),
            2 => format!("({lhs}) {set} on ({label}) ({rhs})"),
            3 => format!("({lhs}) {set} ignoring ({label}, __name__) ({rhs})"),
            4 => format!("({lhs}) {op} on (instance) group_left () max by (instance) ({rhs})"),
            5 => format!("sum by (instance) ({lhs}) {op} on (instance) group_right () ({rhs})"),
            6 => format!("({lhs}) {op} ignoring ({label}) ({rhs})"),
            _ => format!("sum by ({label}) ({lhs}) {op} sum by ({label}) ({rhs})"),
        }
    }
}
