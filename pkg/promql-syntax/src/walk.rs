//! Visiting all nodes of a tree.

use crate::{Expr, VectorSelector};

impl Expr {
    /// The nodes directly below. The selector inside a range selector is no node of its own.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (fixed, args): ([Option<&Expr>; 2], &[Expr]) = match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => ([None, None], &[]),
            Self::Paren(e) => ([Some(&e.expr), None], &[]),
            Self::Unary(e) => ([Some(&e.expr), None], &[]),
            Self::Subquery(e) => ([Some(&e.expr), None], &[]),
            Self::Binary(e) => ([Some(&e.lhs), Some(&e.rhs)], &[]),
            Self::Aggregate(e) => ([Some(&e.expr), e.param.as_ref()], &[]),
            Self::Call(e) => ([None, None], &e.args),
        };
        fixed.into_iter().flatten().chain(args)
    }

    /// The nodes directly below, to be changed.
    pub fn children_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let (fixed, args): ([Option<&mut Expr>; 2], &mut [Expr]) = match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => ([None, None], &mut []),
            Self::Paren(e) => ([Some(&mut e.expr), None], &mut []),
            Self::Unary(e) => ([Some(&mut e.expr), None], &mut []),
            Self::Subquery(e) => ([Some(&mut e.expr), None], &mut []),
            Self::Binary(e) => ([Some(&mut e.lhs), Some(&mut e.rhs)], &mut []),
            Self::Aggregate(e) => ([Some(&mut e.expr), e.param.as_mut()], &mut []),
            Self::Call(e) => ([None, None], &mut e.args),
        };
        fixed.into_iter().flatten().chain(args)
    }
}

/// Calls `visit` with `expr` and all nodes below it, each before its children.
pub fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr)) {
    visit(expr);
    for child in expr.children() {
        walk(child, visit);
    }
}

/// Calls `visit` with `expr` and all nodes below it, each after its children.
pub fn walk_mut(expr: &mut Expr, visit: &mut impl FnMut(&mut Expr)) {
    for child in expr.children_mut() {
        walk_mut(child, visit);
    }
    visit(expr);
}

/// All instant selectors of a query, those of range selectors included.
pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut out = Vec::new();
    walk(expr, &mut |e| match e {
        Expr::Vector(v) => out.push(v.as_ref()),
        Expr::Matrix(m) => out.push(&m.vector),
        _ => {}
    });
    out
}
