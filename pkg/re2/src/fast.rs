//! What can be decided without an automaton: lists of literals, and literals with gaps (`a.*`, `.*b.*`, `a.+b`).

use regex_syntax::hir::Look;

use crate::node::Node;

/// The strings that `node` matches, when there are at most `limit`.
pub(crate) fn literals(node: &Node, limit: usize) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Literal(c) => Some(vec![c.to_string()]),
        Node::Class(class) => {
            let size: usize = class.ranges().iter().map(|r| r.len()).sum();
            // Sets of letters multiply fast: only small ones are spelled out.
            if size > limit.min(100) {
                return None;
            }
            Some(class.ranges().iter().flat_map(|r| r.start()..=r.end()).map(String::from).collect())
        }
        Node::Capture { sub, .. } => literals(sub, limit),
        Node::Concat(parts, _) => {
            let mut all = vec![String::new()];
            let last = parts.len() - 1;
            for (i, part) in parts.iter().enumerate() {
                match part {
                    Node::Look(Look::Start) if i == 0 => continue,
                    Node::Look(Look::End) if i == last => continue,
                    _ => {}
                }
                let next = literals(part, limit)?;
                // Products grow fast, `(?i)` alone doubles with each letter; a long list is only kept where it stands
                // alone.
                let product = all.len().checked_mul(next.len())?;
                if product > limit || (product > 1000 && all.len() > 1 && next.len() > 1) {
                    return None;
                }
                all = match next.as_slice() {
                    [one] => {
                        all.iter_mut().for_each(|a| a.push_str(one));
                        all
                    }
                    next => all.iter().flat_map(|a| next.iter().map(move |n| format!("{a}{n}"))).collect(),
                };
            }
            Some(all)
        }
        Node::Alternate(parts, _) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part, limit)?);
                if all.len() > limit {
                    return None;
                }
            }
            Some(all)
        }
        Node::Any { .. } | Node::Look(_) | Node::Repeat { .. } => None,
    }
}

/// Literals in order, the first at the start of the string, the last at its end.
#[derive(Debug, Default)]
pub(crate) struct Glob {
    prefix: String,
    /// A gap of at least so many characters, then the literal.
    middle: Vec<(usize, String)>,
    /// Least characters of the last gap; `None` without any gap.
    gap: Option<usize>,
    suffix: String,
}

/// `node` as a glob, or as an alternation of globs.
pub(crate) fn globs(node: &Node) -> Option<Vec<Glob>> {
    const MOST: usize = 32;
    match node {
        Node::Alternate(parts, _) if parts.len() <= MOST => parts.iter().map(glob).collect(),
        Node::Capture { sub, .. } => globs(sub),
        other => glob(other).map(|g| vec![g]),
    }
}

fn glob(node: &Node) -> Option<Glob> {
    let mut out = Glob::default();
    let mut add = |node: &Node, first: bool, last: bool| -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Look(Look::Start) if first => {}
            Node::Look(Look::End) if last => {}
            Node::Literal(c) if out.gap.is_none() => out.prefix.push(*c),
            Node::Literal(c) => out.suffix.push(*c),
            Node::Repeat { min: min @ (0 | 1), max: None, sub, .. } => {
                let any = match sub.as_ref() {
                    Node::Capture { sub, .. } => sub.as_ref(),
                    sub => sub,
                };
                let Node::Any { newline: true } = any else {
                    return None;
                };
                let least = *min as usize;
                match out.gap {
                    Some(gap) if out.suffix.is_empty() => out.gap = Some(gap + least),
                    Some(gap) => {
                        out.middle.push((gap, std::mem::take(&mut out.suffix)));
                        out.gap = Some(least);
                    }
                    None => out.gap = Some(least),
                }
            }
            _ => return None,
        }
        Some(())
    };
    let mut rest = node;
    while let Node::Capture { sub, .. } = rest {
        rest = sub;
    }
    match rest {
        Node::Concat(parts, _) => {
            for (i, part) in parts.iter().enumerate() {
                let mut part = part;
                while let Node::Capture { sub, .. } = part {
                    part = sub;
                }
                match part {
                    // Literals in a group of their own.
                    Node::Concat(inner, _) => {
                        for node in inner {
                            add(node, false, false)?;
                        }
                    }
                    node => add(node, i == 0, i + 1 == parts.len())?,
                }
            }
        }
        node => add(node, true, true)?,
    }
    Some(out)
}

impl Glob {
    pub fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        let Some(gap) = self.gap else {
            return rest.is_empty();
        };
        // The leftmost place of each literal leaves most room for the next.
        for (least, literal) in &self.middle {
            let Some(from) = skip(rest, *least) else {
                return false;
            };
            match from.find(literal.as_str()) {
                Some(at) => rest = &from[at + literal.len()..],
                None => return false,
            }
        }
        rest.strip_suffix(self.suffix.as_str()).is_some_and(|between| skip(between, gap).is_some())
    }
}

/// `text` without its first `count` characters, if it has so many.
fn skip(text: &str, count: usize) -> Option<&str> {
    match count {
        0 => Some(text),
        n => text.char_indices().nth(n - 1).map(|(at, c)| &text[at + c.len_utf8()..]),
    }
}

/// A prefix that all matches of `node` share.
pub(crate) fn prefix(node: &Node) -> String {
    let mut out = String::new();
    push_prefix(node, &mut out);
    out
}

/// Adds the prefix; whether `node` is no more than it, so that the next node's prefix may follow.
fn push_prefix(node: &Node, out: &mut String) -> bool {
    match node {
        Node::Empty | Node::Look(Look::Start) => true,
        Node::Literal(c) => {
            out.push(*c);
            true
        }
        Node::Capture { sub, .. } => push_prefix(sub, out),
        Node::Concat(parts, _) => parts.iter().all(|part| push_prefix(part, out)),
        Node::Repeat { min: 1.., sub, .. } => {
            push_prefix(sub, out);
            false
        }
        Node::Alternate(parts, _) => {
            let mut common: Option<String> = None;
            for part in parts {
                let next = prefix(part);
                common = Some(match common {
                    None => next,
                    Some(c) => c.chars().zip(next.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect(),
                });
            }
            out.push_str(&common.unwrap_or_default());
            false
        }
        Node::Class(_) | Node::Any { .. } | Node::Look(_) | Node::Repeat { .. } => false,
    }
}
