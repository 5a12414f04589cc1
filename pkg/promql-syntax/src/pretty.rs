//! Queries over several lines, as Prometheus' `format_query` lays them out: a node longer than 100 bytes is split, its
//! parts two spaces deeper.

use crate::Expr;
use crate::printer::{AggregateHead, Operator, SubquerySuffix};

const MAX_LINE: usize = 100;

/// `expr` over several lines, without a line break at the end.
pub fn pretty(expr: &Expr) -> String {
    lines(expr, 0)
}

fn lines(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let flat = expr.to_string();
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => indent + &flat,
        Expr::Unary(e) => {
            let sign = if e.negative { '-' } else { '+' };
            format!("{indent}{sign}{}", lines(&e.expr, level).trim())
        }
        // A subquery that fits is not indented, whatever its level: so the reference does.
        Expr::Subquery(_) if flat.len() <= MAX_LINE => flat,
        Expr::Subquery(e) => format!("{}{}", lines(&e.expr, level), SubquerySuffix(e)),
        _ if flat.len() <= MAX_LINE => indent + &flat,
        Expr::Paren(e) => format!("{indent}(\n{}\n{indent})", lines(&e.expr, level + 1)),
        Expr::Binary(e) => {
            format!("{}\n{indent}{}\n{}", lines(&e.lhs, level + 1), Operator(e), lines(&e.rhs, level + 1))
        }
        Expr::Call(e) => {
            let args: Vec<String> = e.args.iter().map(|arg| lines(arg, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", e.function.name, args.join(",\n"))
        }
        Expr::Aggregate(e) => {
            let param = e.param.as_ref().map_or(String::new(), |p| lines(p, level + 1) + ",\n");
            format!("{indent}{}(\n{param}{}\n{indent})", AggregateHead(e), lines(&e.expr, level + 1))
        }
    }
}
