//! Whole-string matching, as label matchers need it.

use std::collections::HashSet;

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Hir, Look};

use crate::error::{Error, Limits};
use crate::fast::{Glob, globs, literals, prefix};
use crate::parse::{Flags, parse};

/// An expression anchored at both ends, `^(?s:…)$`.
#[derive(Debug)]
pub struct Matcher {
    how: How,
    literals: Option<Vec<String>>,
    prefix: String,
}

/// The cheapest way that decides.
#[derive(Debug)]
enum How {
    /// One of few strings, in ascending order.
    Few,
    /// One of many strings.
    Many(HashSet<Box<str>>),
    /// Literals with gaps between; any of them.
    Globs(Vec<Glob>),
    Automaton(Box<meta::Regex>),
}

/// From here on a hash set beats a search in sorted strings.
const MANY: usize = 16;

impl Matcher {
    /// Compiles `pattern` within the default limits.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        Self::with_limits(pattern, &Limits::default())
    }

    /// Compiles `pattern`.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn with_limits(pattern: &str, limits: &Limits) -> Result<Self, Error> {
        let flags = Flags { dot_newline: true, ..Flags::default() };
        let mut node = parse(pattern, flags, limits)?.node;
        if pattern.contains("\\Q") {
            // An open quote swallows what is put behind it: the anchored form has the last word.
            let mut limits = *limits;
            limits.max_pattern_bytes = limits.max_pattern_bytes.saturating_add(8);
            node = parse(&format!("^(?s:{pattern})$"), Flags::default(), &limits)?.node;
        }
        if let Some(mut literals) = literals(&node, limits.max_literals) {
            literals.sort_unstable();
            literals.dedup();
            let prefix = common_prefix(&literals).to_owned();
            let how = if literals.len() < MANY {
                How::Few
            } else {
                How::Many(literals.iter().map(|l| l.as_str().into()).collect())
            };
            return Ok(Self { how, literals: Some(literals), prefix });
        }
        let prefix = prefix(&node);
        if let Some(globs) = globs(&node) {
            return Ok(Self { how: How::Globs(globs), literals: None, prefix });
        }
        let hir = Hir::concat(vec![Hir::look(Look::Start), node.to_hir(), Hir::look(Look::End)]);
        let automaton = build(&hir, pattern, limits)?;
        Ok(Self { how: How::Automaton(Box::new(automaton)), literals: None, prefix })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.how {
            How::Few => self.literals.as_ref().is_some_and(|l| l.binary_search_by(|l| l.as_str().cmp(text)).is_ok()),
            How::Many(set) => set.contains(text),
            How::Globs(globs) => globs.iter().any(|g| g.matches(text)),
            How::Automaton(regex) => {
                text.starts_with(&self.prefix) && regex.is_match(Input::new(text).anchored(Anchored::Yes))
            }
        }
    }

    /// All strings this expression can match, ascending, when they are few and known.
    pub fn literals(&self) -> Option<&[String]> {
        self.literals.as_deref()
    }

    /// Memory of the compiled program, bytes; 0 where strings are compared.
    pub fn size_bytes(&self) -> usize {
        match &self.how {
            How::Few | How::Many(_) | How::Globs(_) => 0,
            How::Automaton(regex) => regex.memory_usage(),
        }
    }

    /// A prefix that every match has; `""` when none is known.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn common_prefix(literals: &[String]) -> &str {
    // In ascending order the first and the last differ earliest.
    let (Some(first), Some(last)) = (literals.first(), literals.last()) else {
        return "";
    };
    let same = first.chars().zip(last.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    &first[..same]
}

pub(crate) fn build(hir: &Hir, pattern: &str, limits: &Limits) -> Result<meta::Regex, Error> {
    let config = meta::Regex::config()
        .nfa_size_limit(Some(limits.max_program_bytes))
        .onepass_size_limit(Some(1 << 20))
        .hybrid_cache_capacity(limits.max_cache_bytes);
    meta::Regex::builder().configure(config).build_from_hir(hir).map_err(|_| Error::too_large(pattern))
}
