//! The syntax tree between expression and automaton.

use regex_syntax::hir::{self, Class, ClassUnicode, ClassUnicodeRange, Hir, Look};

/// A part of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// The empty string.
    Empty,
    /// One character.
    Literal(char),
    /// One of a set; the empty set matches nothing.
    Class(ClassUnicode),
    /// `.`; with the flag `s` also a newline.
    Any {
        newline: bool,
    },
    /// `^`, `\b` and so on.
    Look(Look),
    /// `sub{min,max}`.
    Repeat {
        min: u32,
        max: Option<u32>,
        greedy: bool,
        sub: Box<Node>,
        height: usize,
    },
    /// A group that captures; groups count from 1.
    Capture {
        index: u32,
        sub: Box<Node>,
        height: usize,
    },
    Concat(Vec<Node>, usize),
    Alternate(Vec<Node>, usize),
}

impl Node {
    pub fn height(&self) -> usize {
        match self {
            Self::Empty | Self::Literal(_) | Self::Class(_) | Self::Any { .. } | Self::Look(_) => 1,
            Self::Repeat { height, .. } | Self::Capture { height, .. } => *height,
            Self::Concat(_, height) | Self::Alternate(_, height) => *height,
        }
    }

    pub fn concat(mut parts: Vec<Node>) -> Node {
        match parts.len() {
            0 => Self::Empty,
            1 => parts.remove(0),
            _ => {
                let height = above(&parts);
                Self::Concat(parts, height)
            }
        }
    }

    pub fn alternate(mut parts: Vec<Node>) -> Node {
        match parts.len() {
            1 => parts.remove(0),
            _ => {
                let height = above(&parts);
                Self::Alternate(parts, height)
            }
        }
    }

    pub fn capture(index: u32, sub: Node) -> Node {
        let height = sub.height() + 1;
        Self::Capture { index, sub: Box::new(sub), height }
    }

    pub fn repeat(min: u32, max: Option<u32>, greedy: bool, sub: Node) -> Node {
        let height = sub.height() + 1;
        Self::Repeat { min, max, greedy, sub: Box::new(sub), height }
    }

    /// Whether nested counted repetitions multiply to at most `limit`. Counts what `{}` wrote, not `*`, `+`, `?`.
    pub fn repeats_within(&self, limit: u32) -> bool {
        match self {
            Self::Repeat { min, max, sub, .. } => {
                let star_like = matches!((min, max), (0 | 1, None) | (0, Some(1)));
                let count = max.unwrap_or(*min);
                if star_like || count == 0 && max.is_none() {
                    return sub.repeats_within(limit);
                }
                count == 0 || count <= limit && sub.repeats_within(limit / count)
            }
            Self::Capture { sub, .. } => sub.repeats_within(limit),
            Self::Concat(parts, _) | Self::Alternate(parts, _) => parts.iter().all(|p| p.repeats_within(limit)),
            _ => true,
        }
    }

    /// The form that the automaton is built from.
    pub fn to_hir(&self) -> Hir {
        match self {
            Self::Empty => Hir::empty(),
            Self::Literal(c) => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Self::Class(class) => Hir::class(Class::Unicode(class.clone())),
            Self::Any { newline: true } => Hir::dot(hir::Dot::AnyChar),
            Self::Any { newline: false } => Hir::dot(hir::Dot::AnyCharExceptLF),
            Self::Look(look) => Hir::look(*look),
            Self::Repeat { min, max, greedy, sub, .. } => {
                Hir::repetition(hir::Repetition { min: *min, max: *max, greedy: *greedy, sub: Box::new(sub.to_hir()) })
            }
            // Names are kept beside the automaton: Go allows a name twice, the automaton does not.
            Self::Capture { index, sub, .. } => {
                Hir::capture(hir::Capture { index: *index, name: None, sub: Box::new(sub.to_hir()) })
            }
            Self::Concat(parts, _) => Hir::concat(parts.iter().map(Node::to_hir).collect()),
            Self::Alternate(parts, _) => Hir::alternation(parts.iter().map(Node::to_hir).collect()),
        }
    }
}

fn above(parts: &[Node]) -> usize {
    1 + parts.iter().map(Node::height).max().unwrap_or(0)
}

/// The characters from `lo` to `hi`, surrogates left out: no string has them.
pub(crate) fn push_range(class: &mut ClassUnicode, lo: u32, hi: u32) {
    for (lo, hi) in [(lo, hi.min(0xd7ff)), (lo.max(0xe000), hi)] {
        if let (Some(lo), Some(hi)) = (char::from_u32(lo), char::from_u32(hi))
            && lo <= hi
        {
            class.push(ClassUnicodeRange::new(lo, hi));
        }
    }
}
