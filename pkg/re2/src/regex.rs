//! Matching with groups and replacement templates, as `label_replace` and relabelling need it.

use regex_automata::meta;
use regex_automata::util::captures;
use regex_syntax::hir::Hir;

use crate::error::{Error, Limits};
use crate::matcher::build;
use crate::parse::{Flags, parse};

/// An expression that remembers what its groups matched.
#[derive(Debug)]
pub struct Regex {
    regex: meta::Regex,
    /// Of group 1 and on.
    names: Vec<Option<String>>,
    pattern: String,
}

/// What the groups matched in a text.
#[derive(Debug)]
pub struct Captures<'t> {
    text: &'t str,
    captures: captures::Captures,
}

impl Captures<'_> {
    /// The text of a group; 0 is the whole match. `None` for a group that took no part.
    pub fn get(&self, group: usize) -> Option<&str> {
        self.text.get(self.span(group)?)
    }

    /// The place of a group's text, in bytes.
    pub fn span(&self, group: usize) -> Option<std::ops::Range<usize>> {
        self.captures.get_group(group).map(|span| span.start..span.end)
    }
}

impl Regex {
    /// Compiles `pattern`, which may match anywhere in a text.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        Self::with_limits(pattern, &Limits::default())
    }

    /// Compiles `^(?s:pattern)$`; errors show this form, as Prometheus' do.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn new_anchored(pattern: &str) -> Result<Self, Error> {
        let mut limits = Limits::default();
        if pattern.len() > limits.max_pattern_bytes {
            return Err(Error::too_large(pattern));
        }
        limits.max_pattern_bytes += "^(?s:)$".len();
        let regex = Self::with_limits(&format!("^(?s:{pattern})$"), &limits)?;
        Ok(Self { pattern: pattern.to_owned(), ..regex })
    }

    /// Compiles `pattern`, which may match anywhere in a text.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn with_limits(pattern: &str, limits: &Limits) -> Result<Self, Error> {
        let parsed = parse(pattern, Flags::default(), limits)?;
        let hir: Hir = parsed.node.to_hir();
        let regex = build(&hir, pattern, limits)?;
        Ok(Self { regex, names: parsed.names, pattern: pattern.to_owned() })
    }

    /// The pattern as given.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Memory of the compiled program, bytes; the time that a search takes is at most in proportion to it and to the text.
    pub fn size_bytes(&self) -> usize {
        self.regex.memory_usage()
    }

    /// How many groups capture, group 0 not counted.
    pub fn group_count(&self) -> usize {
        self.names.len()
    }

    /// Whether `text` has a match.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The first match in `text`.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then_some(Captures { text, captures })
    }

    /// `template` with `$1`, `${1}`, `$name`, `${name}` replaced by what the groups matched, by the rules of Go's
    /// `Regexp.Expand`: the longest name of letters, digits and `_` counts (`$1x` is the group `1x`), unknown groups
    /// are empty, `$$` is `$`, any other `$` stays.
    pub fn expand(&self, template: &str, captures: &Captures<'_>) -> String {
        let mut out = String::with_capacity(template.len());
        self.each_piece(template, captures, |piece| out.push_str(piece));
        out
    }

    /// How many bytes [`Self::expand`] would give.
    pub fn expanded_len(&self, template: &str, captures: &Captures<'_>) -> usize {
        let mut len = 0_usize;
        self.each_piece(template, captures, |piece| len = len.saturating_add(piece.len()));
        len
    }

    fn each_piece(&self, template: &str, captures: &Captures<'_>, mut piece: impl FnMut(&str)) {
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            piece(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                piece("$");
                rest = after;
            } else if let Some((name, after)) = group_name(rest) {
                rest = after;
                piece(self.group(name, captures));
            } else {
                piece("$");
            }
        }
        piece(rest);
    }

    fn group<'c>(&self, name: &str, captures: &'c Captures<'_>) -> &'c str {
        if let Some(number) = group_number(name) {
            return captures.get(number).unwrap_or("");
        }
        // Of groups with the same name, the first that took part.
        let groups = self.names.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
        groups.filter_map(|(i, _)| captures.get(i + 1)).next().unwrap_or("")
    }
}

/// A number without leading zeros, below 10^8.
fn group_number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if plain && name.len() <= 8 { name.parse().ok() } else { None }
}

/// The name behind `$`, and the rest; `None` when there is no name.
fn group_name(rest: &str) -> Option<(&str, &str)> {
    let (braces, body) = match rest.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, rest),
    };
    let end = body.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braces { after.strip_prefix('}').map(|after| (name, after)) } else { Some((name, after)) }
}
