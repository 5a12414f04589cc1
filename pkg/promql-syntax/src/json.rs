//! Syntax tree to JSON, in the shape of Prometheus' `/api/v1/parse_query`.

use crate::printer::format_float;
use crate::{At, Cardinality, DurationExpr, Expr, VectorSelector};

/// `expr` as JSON text; keys ascend.
pub fn to_json(expr: &Expr) -> String {
    let mut out = String::new();
    write_expr(&mut out, expr);
    out
}

/// Writes `"key":value` pairs between braces.
struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// Writes the key; the caller writes the value.
    fn key(&mut self, key: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        write_string(self.out, key);
        self.out.push(':');
        self.out
    }

    fn string(&mut self, key: &str, value: &str) -> &mut Self {
        write_string(self.key(key), value);
        self
    }

    /// A bool, a number or null.
    fn raw(&mut self, key: &str, value: impl ToString) -> &mut Self {
        self.key(key).push_str(&value.to_string());
        self
    }

    fn strings<'s>(&mut self, key: &str, values: impl Iterator<Item = &'s str>) -> &mut Self {
        write_list(self.key(key), values, write_string);
        self
    }

    fn expr(&mut self, key: &str, value: &Expr) -> &mut Self {
        write_expr(self.key(key), value);
        self
    }

    /// A length of time in ms under `key`, 0 where it is to be computed.
    fn length(&mut self, key: &str, value: &DurationExpr) -> &mut Self {
        self.raw(key, if let DurationExpr::Literal(ms) = value { *ms } else { 0 })
    }

    /// A length of time under `key`, null where it is a plain number.
    fn computed(&mut self, key: &str, value: &DurationExpr) -> &mut Self {
        match value {
            DurationExpr::Literal(_) => self.raw(key, "null"),
            other => {
                write_duration(self.key(key), other, false);
                self
            }
        }
    }

    fn start_or_end(&mut self, at: Option<At>) -> &mut Self {
        match at {
            Some(At::Start) => self.string("startOrEnd", "start"),
            Some(At::End) => self.string("startOrEnd", "end"),
            Some(At::Time(_)) | None => self.raw("startOrEnd", "null"),
        }
    }

    fn timestamp(&mut self, at: Option<At>) -> &mut Self {
        match at {
            Some(At::Time(ms)) => self.raw("timestamp", ms),
            Some(At::Start | At::End) | None => self.raw("timestamp", "null"),
        }
    }

    fn close(&mut self) {
        self.out.push('}');
    }
}

fn write_expr(out: &mut String, expr: &Expr) {
    let mut o = Object::new(out);
    match expr {
        Expr::Number(e) => o.string("type", "numberLiteral").string("val", &format_float(e.value)),
        Expr::String(e) => o.string("type", "stringLiteral").string("val", &e.value),
        Expr::Paren(e) => o.expr("expr", &e.expr).string("type", "parenExpr"),
        Expr::Unary(e) => {
            o.expr("expr", &e.expr).string("op", if e.negative { "-" } else { "+" }).string("type", "unaryExpr")
        }
        Expr::Binary(e) => {
            o.raw("bool", e.return_bool).expr("lhs", &e.lhs);
            match &e.matching {
                Some(m) => {
                    let mut inner = Object::new(o.key("matching"));
                    let card = match m.cardinality {
                        Cardinality::OneToOne => "one-to-one",
                        Cardinality::ManyToOne => "many-to-one",
                        Cardinality::OneToMany => "one-to-many",
                        Cardinality::ManyToMany => "many-to-many",
                    };
                    inner.string("card", card);
                    let mut fills = Object::new(inner.key("fillValues"));
                    let number = |v: Option<f64>| v.map_or("null".to_owned(), |v| v.to_string());
                    fills.raw("lhs", number(m.fill_left)).raw("rhs", number(m.fill_right)).close();
                    inner
                        .strings("include", m.include.iter().map(String::as_str))
                        .strings("labels", m.labels.iter().map(String::as_str))
                        .raw("on", m.on)
                        .close();
                }
                None => {
                    o.raw("matching", "null");
                }
            }
            o.string("op", e.op.as_str()).expr("rhs", &e.rhs).string("type", "binaryExpr")
        }
        Expr::Call(e) => {
            write_list(o.key("args"), e.args.iter(), write_expr);
            Object::new(o.key("func"))
                .strings("argTypes", e.function.args.iter().map(|t| t.as_str()))
                .string("name", e.function.name)
                .string("returnType", e.function.returns.as_str())
                .raw("variadic", e.function.variadic)
                .close();
            o.string("type", "call")
        }
        Expr::Aggregate(e) => {
            o.expr("expr", &e.expr).strings("grouping", e.grouping.iter().map(String::as_str));
            o.string("op", e.op.as_str());
            match &e.param {
                Some(param) => o.expr("param", param),
                None => o.raw("param", "null"),
            };
            o.string("type", "aggregation").raw("without", e.without)
        }
        Expr::Vector(e) => write_selector(&mut o, e, None),
        Expr::Matrix(e) => write_selector(&mut o, &e.vector, Some(&e.range)),
        Expr::Subquery(e) => {
            o.expr("expr", &e.expr)
                .length("offset", &e.offset)
                .computed("offsetExpr", &e.offset)
                .length("range", &e.range)
                .computed("rangeExpr", &e.range)
                .start_or_end(e.at);
            let none = DurationExpr::Literal(0);
            let step = e.step.as_ref().unwrap_or(&none);
            o.length("step", step).computed("stepExpr", step).timestamp(e.at).string("type", "subquery")
        }
    }
    .close();
}

fn write_selector<'o, 'a>(
    o: &'o mut Object<'a>,
    e: &VectorSelector,
    range: Option<&DurationExpr>,
) -> &'o mut Object<'a> {
    o.raw("anchored", e.anchored);
    write_list(o.key("matchers"), e.matchers.iter(), |out, m| {
        Object::new(out).string("name", m.name()).string("type", m.kind().as_str()).string("value", m.value()).close();
    });
    o.string("name", e.name.as_deref().unwrap_or("")).length("offset", &e.offset).computed("offsetExpr", &e.offset);
    if let Some(range) = range {
        o.length("range", range).computed("rangeExpr", range);
    }
    let kind = if range.is_some() { "matrixSelector" } else { "vectorSelector" };
    o.raw("smoothed", e.smoothed).start_or_end(e.at).timestamp(e.at).string("type", kind)
}

fn write_duration(out: &mut String, duration: &DurationExpr, wrapped: bool) {
    let number = |out: &mut String, seconds: f64, is_duration: bool| {
        Object::new(out)
            .raw("duration", is_duration)
            .string("type", "numberLiteral")
            .string("val", &format_float(seconds))
            .close();
    };
    let (op, lhs, rhs): (&str, Option<&DurationExpr>, Option<&DurationExpr>) = match duration {
        DurationExpr::Literal(ms) if !wrapped => return number(out, *ms as f64 / 1000.0, true),
        DurationExpr::Number(seconds) if !wrapped => return number(out, *seconds, false),
        // A plain number in parentheses is a sum with one term.
        literal @ (DurationExpr::Literal(_) | DurationExpr::Number(_)) => ("+", None, Some(literal)),
        DurationExpr::Paren(inner) => return write_duration(out, inner, true),
        DurationExpr::Whole(inner, _) => return write_duration(out, inner, wrapped),
        DurationExpr::Step => ("step", None, None),
        DurationExpr::Range => ("range", None, None),
        DurationExpr::Sign { negative, expr } => (if *negative { "-" } else { "+" }, None, Some(expr)),
        DurationExpr::Binary { op, lhs, rhs, .. } => (op.as_str(), Some(lhs), Some(rhs)),
        DurationExpr::MinOf(a, b) => ("min_of", Some(a), Some(b)),
        DurationExpr::MaxOf(a, b) => ("max_of", Some(a), Some(b)),
    };
    let mut o = Object::new(out);
    for (key, side) in [("lhs", lhs), ("rhs", rhs)] {
        if key == "rhs" {
            o.string("op", op);
        }
        match side {
            Some(side) => write_duration(o.key(key), side, false),
            None => {
                o.raw(key, "null");
            }
        }
    }
    o.string("type", "durationExpr").raw("wrapped", wrapped).close();
}

fn write_list<T>(out: &mut String, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    out.push('[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn shapes() {
        for (query, json) in [
            ("1.5", r#"{"type":"numberLiteral","val":"1.5"}"#),
            ("-\"a\\n\"", ""),
            ("(\"a\\n\")", r#"{"expr":{"type":"stringLiteral","val":"a\n"},"type":"parenExpr"}"#),
            (
                "-foo",
                concat!(
                    r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","#,
                    r#""offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"#,
                    r#""type":"vectorSelector"},"op":"-","type":"unaryExpr"}"#,
                ),
            ),
            ("{a!~\"b\"}[(5m)] @ 3 offset -step()", ""),
            (
                "foo[(5m)] @ 3 offset -step()",
                concat!(
                    r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"#,
                    r#""offsetExpr":{"lhs":null,"op":"-","rhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","#,
                    r#""wrapped":false},"type":"durationExpr","wrapped":false},"range":0,"rangeExpr":{"lhs":null,"op":"+","#,
                    r#""rhs":{"duration":true,"type":"numberLiteral","val":"300"},"type":"durationExpr","wrapped":true},"#,
                    r#""smoothed":false,"startOrEnd":null,"timestamp":3000,"type":"matrixSelector"}"#,
                ),
            ),
            (
                "pi() + 1",
                concat!(
                    r#"{"bool":false,"lhs":{"args":[],"func":{"argTypes":[],"name":"pi","returnType":"scalar","#,
                    r#""variadic":0},"type":"call"},"matching":null,"op":"+","rhs":{"type":"numberLiteral","val":"1"},"#,
                    r#""type":"binaryExpr"}"#,
                ),
            ),
        ] {
            match parse(query) {
                Ok(expr) => assert_eq!(to_json(&expr), json, "{query}"),
                Err(_) => assert_eq!(json, "", "{query}"),
            }
        }
    }

    #[test]
    fn every_node_ends() {
        let query =
            "topk by (a) (1, x) / on (a) group_left (b) fill_left (2) sum without (c) (y{z=\"1\"}[1h:5m] @ end())";
        // The subquery under `sum` is a type error: the shape is looked at without it.
        let expr = parse(&query.replace("[1h:5m] @ end()", " @ end()")).unwrap();
        let json = to_json(&expr);
        assert_eq!(json.matches('{').count(), json.matches('}').count());
        assert!(json.contains(r#""matching":{"card":"many-to-one","fillValues":{"lhs":2,"rhs":null},"include":["b"]"#));
        assert!(json.contains(r#""startOrEnd":"end","timestamp":null"#));
    }
}
