//! RE2's syntax as Go's `regexp/syntax` takes it with the flags `Perl`.

use regex_syntax::hir::{ClassUnicode, Look};

use crate::class::{escape, parse_class, perl_class, unicode_class};
use crate::error::{Error, Limits};
use crate::node::{Node, push_range};

/// `i`, `s`, `m`, `U`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    pub fold_case: bool,
    pub dot_newline: bool,
    pub multi_line: bool,
    pub non_greedy: bool,
}

/// A parsed expression.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub node: Node,
    /// Names of the capturing groups, the first at index 0.
    pub names: Vec<Option<String>>,
}

/// An open parenthesis, or the whole.
#[derive(Debug, Default)]
struct Frame {
    /// Flags to go back to when it closes.
    flags: Flags,
    capture: Option<u32>,
    branches: Vec<Node>,
    branch: Vec<Node>,
}

impl Frame {
    fn finish(self) -> Node {
        let mut branches = self.branches;
        branches.push(Node::concat(self.branch));
        Node::alternate(branches)
    }
}

pub(crate) fn parse(pattern: &str, flags: Flags, limits: &Limits) -> Result<Parsed, Error> {
    if pattern.len() > limits.max_pattern_bytes {
        return Err(Error::too_large(pattern));
    }
    let mut p = Parser { pattern, flags, limits, stack: vec![Frame::default()], names: Vec::new() };
    let mut rest = pattern;
    // Where the repetition just read began: two in a row are refused.
    let mut last_repeat = None;
    while let Some(c) = rest.chars().next() {
        let at = rest;
        let mut repeat = None;
        match c {
            '*' | '+' | '?' => {
                let (min, max) = match c {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                rest = p.repeat(min, max, at, &at[1..], last_repeat)?;
                repeat = Some(at);
            }
            '{' => match counts(at) {
                Some((min, max, after)) => {
                    let fragment = &at[..at.len() - after.len()];
                    let bad = || Error::new("invalid repeat count", fragment);
                    let min = min.ok_or_else(bad)?;
                    let max = match max {
                        None => None,
                        Some(max) => Some(max.filter(|max| min <= *max).ok_or_else(bad)?),
                    };
                    rest = p.repeat(min, max, at, after, last_repeat)?;
                    if (min >= 2 || max.is_some_and(|m| m >= 2))
                        && !p.top().branch.last().is_some_and(|n| n.repeats_within(1000))
                    {
                        return Err(Error::new("invalid repeat count", &at[..at.len() - rest.len()]));
                    }
                    repeat = Some(at);
                }
                None => {
                    p.literal('{');
                    rest = &at[1..];
                }
            },
            '(' if at.starts_with("(?") => rest = p.perl_group(at)?,
            '(' => {
                p.open(Some(None));
                rest = &at[1..];
            }
            ')' => {
                p.close()?;
                rest = &at[1..];
            }
            '|' => {
                let frame = p.top();
                let branch = std::mem::take(&mut frame.branch);
                frame.branches.push(Node::concat(branch));
                rest = &at[1..];
            }
            '^' => {
                let look = if p.flags.multi_line { Look::StartLF } else { Look::Start };
                p.push(Node::Look(look));
                rest = &at[1..];
            }
            '$' => {
                let look = if p.flags.multi_line { Look::EndLF } else { Look::End };
                p.push(Node::Look(look));
                rest = &at[1..];
            }
            '.' => {
                let newline = p.flags.dot_newline;
                p.push(Node::Any { newline });
                rest = &at[1..];
            }
            '[' => {
                let (class, after) = parse_class(at, p.flags.fold_case)?;
                p.push(Node::Class(class));
                rest = after;
            }
            '\\' => rest = p.backslash(at)?,
            c => {
                p.literal(c);
                rest = &at[c.len_utf8()..];
            }
        }
        last_repeat = repeat;
    }
    let (Some(whole), true) = (p.stack.pop(), p.stack.is_empty()) else {
        return Err(Error::new("missing closing )", pattern));
    };
    let node = whole.finish();
    p.check_height(&node)?;
    Ok(Parsed { node, names: p.names })
}

struct Parser<'a> {
    pattern: &'a str,
    flags: Flags,
    limits: &'a Limits,
    /// Never empty while parsing.
    stack: Vec<Frame>,
    names: Vec<Option<String>>,
}

impl<'a> Parser<'a> {
    fn top(&mut self) -> &mut Frame {
        if self.stack.is_empty() {
            self.stack.push(Frame::default());
        }
        let last = self.stack.len() - 1;
        &mut self.stack[last]
    }

    fn push(&mut self, node: Node) {
        self.top().branch.push(node);
    }

    fn literal(&mut self, c: char) {
        let node = literal(c as u32, self.flags.fold_case);
        self.push(node);
    }

    fn check_height(&self, node: &Node) -> Result<(), Error> {
        if node.height() > self.limits.max_height {
            return Err(Error::new("expression nests too deeply", self.pattern));
        }
        Ok(())
    }

    /// `capture`: a group that captures, with its name.
    fn open(&mut self, capture: Option<Option<&str>>) {
        let capture = capture.map(|name| {
            self.names.push(name.map(str::to_owned));
            self.names.len() as u32
        });
        self.stack.push(Frame { flags: self.flags, capture, ..Frame::default() });
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.stack.len() < 2 {
            return Err(Error::new("unexpected )", self.pattern));
        }
        let Some(frame) = self.stack.pop() else {
            return Err(Error::new("unexpected )", self.pattern));
        };
        self.flags = frame.flags;
        let capture = frame.capture;
        let node = frame.finish();
        let node = match capture {
            Some(index) => Node::capture(index, node),
            None => node,
        };
        self.check_height(&node)?;
        self.push(node);
        Ok(())
    }

    /// Puts a repetition around what was read last. `at` starts with the operator, `after` is behind it.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        at: &'a str,
        after: &'a str,
        last_repeat: Option<&'a str>,
    ) -> Result<&'a str, Error> {
        let lazy = after.strip_prefix('?');
        let rest = lazy.unwrap_or(after);
        let greedy = lazy.is_some() == self.flags.non_greedy;
        if let Some(last) = last_repeat {
            return Err(Error::new("invalid nested repetition operator", &last[..last.len() - rest.len()]));
        }
        let Some(sub) = self.top().branch.pop() else {
            let fragment = &at[..at.len() - rest.len()];
            return Err(Error::new("missing argument to repetition operator", fragment));
        };
        let node = Node::repeat(min, max, greedy, sub);
        self.check_height(&node)?;
        self.push(node);
        Ok(rest)
    }

    /// `(?…`: a named group, a group that does not capture, flags.
    fn perl_group(&mut self, at: &'a str) -> Result<&'a str, Error> {
        let named = if at.len() > 4 && at.starts_with("(?P<") {
            Some(4)
        } else if at.len() > 3 && at.starts_with("(?<") {
            Some(3)
        } else {
            None
        };
        if let Some(start) = named {
            let Some(end) = at.find('>') else {
                return Err(Error::new("invalid named capture", at));
            };
            let name = &at[start..end];
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(Error::new("invalid named capture", &at[..=end]));
            }
            self.open(Some(Some(name)));
            return Ok(&at[end + 1..]);
        }
        let mut flags = self.flags;
        let (mut on, mut saw_flag) = (true, false);
        let mut end = 2;
        for c in at[2..].chars() {
            end += c.len_utf8();
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => flags.non_greedy = on,
                '-' if on => {
                    on = false;
                    saw_flag = false;
                    continue;
                }
                ':' | ')' if on || saw_flag => {
                    if c == ':' {
                        self.open(None);
                    }
                    self.flags = flags;
                    return Ok(&at[end..]);
                }
                _ => break,
            }
            saw_flag = true;
        }
        Err(Error::new("invalid or unsupported Perl syntax", &at[..end]))
    }

    fn backslash(&mut self, at: &'a str) -> Result<&'a str, Error> {
        let look = match at.as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            Some(b'C') => return Err(Error::new("invalid escape sequence", &at[..2])),
            Some(b'Q') => {
                let quoted = &at[2..];
                let (text, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                for c in text.chars() {
                    self.literal(c);
                }
                return Ok(rest);
            }
            _ => None,
        };
        if let Some(look) = look {
            self.push(Node::Look(look));
            return Ok(&at[2..]);
        }
        let mut class = ClassUnicode::empty();
        if let Some(rest) = unicode_class(at, &mut class, self.flags.fold_case)? {
            self.push(Node::Class(class));
            return Ok(rest);
        }
        if let Some(rest) = perl_class(at, &mut class) {
            if self.flags.fold_case {
                class.case_fold_simple();
            }
            self.push(Node::Class(class));
            return Ok(rest);
        }
        let (c, rest) = escape(at)?;
        let node = literal(c, self.flags.fold_case);
        self.push(node);
        Ok(rest)
    }
}

/// One character, in any case when `fold`; a surrogate matches nothing.
fn literal(c: u32, fold: bool) -> Node {
    let Some(c) = char::from_u32(c) else {
        return Node::Class(ClassUnicode::empty());
    };
    if !fold {
        return Node::Literal(c);
    }
    let mut class = ClassUnicode::empty();
    push_range(&mut class, c as u32, c as u32);
    class.case_fold_simple();
    if class.ranges().len() == 1 && class.ranges()[0].len() == 1 { Node::Literal(c) } else { Node::Class(class) }
}

/// `{2}`, `{2,}`, `{2,5}`: the bounds (an inner `None`: above 1000) and the rest. `None` when `{` is a literal.
#[allow(clippy::type_complexity)]
fn counts(at: &str) -> Option<(Option<u32>, Option<Option<u32>>, &str)> {
    let (min, rest) = count(at.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, Some(min), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = count(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

fn count(text: &str) -> Option<(Option<u32>, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = &text[..len];
    if digits.is_empty() || (len > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().ok().filter(|n| *n <= 1000), &text[len..]))
}
