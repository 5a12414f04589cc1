//! Names of metrics and labels for scrapers that do not take all of UTF-8. Source: Prometheus' escaping schemes.

use std::borrow::Cow;

use labels::is_legacy_metric_name;

/// How names that the classic rules do not allow are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaping {
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl Escaping {
    pub fn parse(name: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values].into_iter().find(|e| e.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name as it is written.
    pub fn name(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::AllowUtf8 => name.into(),
            Self::Underscores | Self::Dots | Self::Values if is_legacy_metric_name(name) => name.into(),
            Self::Underscores => chars(name, |_, out| out.push('_')).into(),
            Self::Dots => dots(name).into(),
            Self::Values => values(name).into(),
        }
    }
}

fn is_legacy(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || c.is_ascii_digit() && at > 0
}

/// Each character that is not allowed as `other` writes it.
fn chars(name: &str, other: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        if is_legacy(c, at) { out.push(c) } else { other(c, &mut out) }
    }
    out
}

fn dots(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        match c {
            '_' => out.push_str("__"),
            '.' => out.push_str("_dot_"),
            c if is_legacy(c, at) => out.push(c),
            _ => out.push_str("__"),
        }
    }
    out
}

fn values(name: &str) -> String {
    let doubled = name.replace('_', "__");
    format!("U__{}", chars(&doubled, |c, out| out.push_str(&format!("_{:x}_", u32::from(c)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        for (name, underscores, dots, values) in [
            ("up_total", "up_total", "up_total", "up_total"),
            ("my.metric", "my_metric", "my_dot_metric", "U__my_2e_metric"),
            ("a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c"),
            ("1st é", "_st__", "__st____", "U___31_st_20__e9_"),
        ] {
            assert_eq!(Escaping::AllowUtf8.name(name), name);
            assert_eq!(Escaping::Underscores.name(name), underscores);
            assert_eq!(Escaping::Dots.name(name), dots);
            assert_eq!(Escaping::Values.name(name), values);
        }
    }
}
