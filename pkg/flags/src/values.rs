//! Typed access to what was given, defaults filled in.

use std::collections::HashMap;

use model::{ByteSize, DurationError, parse_duration, redact_urls};

use crate::{Command, Flag, Kind, UsageError};

/// The values of one command line. Getters panic on a name that the command does not declare: that is a mistake in
/// the component, found by its first test.
#[derive(Debug, Clone)]
pub struct Parsed {
    flags: HashMap<&'static str, &'static Flag>,
    order: Vec<&'static str>,
    given: HashMap<&'static str, Vec<String>>,
    positional: Vec<String>,
}

impl Parsed {
    pub(crate) fn new(command: &Command, given: HashMap<&'static str, Vec<String>>, positional: Vec<String>) -> Self {
        let flags = command.all().map(|f| (f.name, f)).collect();
        Self { flags, order: command.all().map(|f| f.name).collect(), given, positional }
    }

    fn flag(&self, name: &str) -> &'static Flag {
        self.flags.get(name).unwrap_or_else(|| panic!("flag --{name} is not declared by this command"))
    }

    fn raw(&self, name: &str) -> &str {
        let flag = self.flag(name);
        self.given.get(name).and_then(|v| v.last()).map_or(flag.default, String::as_str)
    }

    /// Whether the command has such a flag. All other getters panic where it has none.
    pub fn has(&self, name: &str) -> bool {
        self.flags.contains_key(name)
    }

    /// Whether the user gave the flag.
    pub fn is_set(&self, name: &str) -> bool {
        self.flag(name);
        self.given.contains_key(name)
    }

    /// Whether a switch is on, by the command line or by its default.
    pub fn switch(&self, name: &str) -> bool {
        self.raw(name) == "true"
    }

    /// A text, a word or a URL; `""` without default.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name)
    }

    /// A text, if it is not empty.
    pub fn text_opt(&self, name: &str) -> Option<&str> {
        Some(self.raw(name)).filter(|t| !t.is_empty())
    }

    /// All values of a repeatable flag, in order.
    pub fn list(&self, name: &str) -> Vec<String> {
        let flag = self.flag(name);
        match self.given.get(name) {
            Some(values) => values.clone(),
            None if flag.default.is_empty() => Vec::new(),
            None => vec![flag.default.to_owned()],
        }
    }

    /// A whole number; 0 without default.
    pub fn count(&self, name: &str) -> u64 {
        self.raw(name).parse().unwrap_or(0)
    }

    /// A number; 0 without default.
    pub fn number(&self, name: &str) -> f64 {
        self.raw(name).parse().unwrap_or(0.0)
    }

    /// A length of time in ms; 0 without default.
    pub fn duration_ms(&self, name: &str) -> i64 {
        parse_go_duration(self.raw(name)).unwrap_or(0)
    }

    /// A size in bytes; 0 without default.
    pub fn size_bytes(&self, name: &str) -> u64 {
        self.raw(name).parse::<ByteSize>().map_or(0, |s| s.0)
    }

    /// A point in time in ms, relative ones counted from `now_ms`.
    pub fn time_ms(&self, name: &str, now_ms: i64) -> i64 {
        parse_time_or_duration(self.raw(name), now_ms).unwrap_or(now_ms)
    }

    /// The positional arguments, in their order.
    pub fn args(&self) -> &[String] {
        &self.positional
    }

    /// The content of `--NAME` or of the file in `--NAME-file`.
    ///
    /// # Errors
    /// When both are given or the file cannot be read.
    pub fn content(&self, name: &str) -> Result<Option<String>, UsageError> {
        let file_flag = format!("{name}-file");
        match (self.text_opt(name), self.text_opt(&file_flag)) {
            (Some(_), Some(_)) => Err(UsageError(format!("both --{name} and --{file_flag} are given, use one"))),
            (Some(content), None) => Ok(Some(content.to_owned())),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(Some)
                .map_err(|e| UsageError(format!("--{file_flag}: cannot read {path:?}: {e}"))),
            (None, None) => Ok(None),
        }
    }

    /// Where [`content`](Self::content) comes from, for errors in it: the file's path, or the flag.
    pub fn origin(&self, name: &str) -> String {
        self.text_opt(&format!("{name}-file")).map_or_else(|| format!("--{name}"), str::to_owned)
    }

    /// Given flags that have no effect, each with the reason: to be logged as warnings.
    pub fn ignored(&self) -> Vec<(&'static str, &'static str)> {
        let set = |name: &&&'static str| self.given.contains_key(**name) && !self.flags[**name].ignored.is_empty();
        self.order.iter().filter(set).map(|n| (*n, self.flags[n].ignored)).collect()
    }

    /// Every flag with its value in force, for `/api/v1/status/flags`. Contents that may hold secrets are masked.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        let shown = |name: &'static str| {
            let flag = self.flags[name];
            let value = match flag.kind {
                Kind::Switch => self.switch(name).to_string(),
                _ if flag.repeated => self.list(name).join(","),
                _ => self.raw(name).to_owned(),
            };
            let secret = flag.placeholder == "<content>" && !value.is_empty();
            (name, if secret { "<secret>".to_owned() } else { redact_urls(&value).into_owned() })
        };
        self.order.iter().map(|n| shown(n)).collect()
    }
}

/// Checks one value against its flag's kind.
pub(crate) fn check(flag: &Flag, value: &str) -> Result<(), String> {
    match flag.kind {
        Kind::Switch | Kind::Text => Ok(()),
        Kind::Url => match value.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Ok(()),
            _ => Err(format!("{value:?} is no URL (say http://localhost:9090)")),
        },
        Kind::Word(words) if words.contains(&value) => Ok(()),
        Kind::Word(words) => Err(format!("{value:?} is none of {}", words.join(", "))),
        Kind::Count => value.parse::<u64>().map(drop).map_err(|_| format!("{value:?} is no whole number")),
        Kind::Number => match value.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(()),
            _ => Err(format!("{value:?} is no number")),
        },
        Kind::Duration => parse_go_duration(value).map(drop).map_err(|e| e.to_string()),
        Kind::Size => value.parse::<ByteSize>().map(drop).map_err(|e| e.to_string()),
        Kind::Time => parse_time_or_duration(value, 0)
            .map(drop)
            .ok_or_else(|| format!("{value:?} is neither RFC 3339 time nor duration")),
    }
}

/// A duration as flags take it: Prometheus' (`1d`, `2h30m`) or Go's (`1h0m0s`, `1.5h`, `-3m`, `250us`). In ms, rounded
/// down to whole ms.
///
/// # Errors
/// [`DurationError`] with the text.
pub fn parse_go_duration(text: &str) -> Result<i64, DurationError> {
    if let Ok(ms) = parse_duration(text) {
        return Ok(ms);
    }
    let syntax = || DurationError::Syntax(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
        None => return Err(DurationError::Empty),
    };
    let mut total = 0.0f64;
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(syntax());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let letters = rest[digits..].bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let number: f64 = rest[..digits].parse().map_err(|_| syntax())?;
        let unit_ms = match &rest[digits..digits + letters] {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            "y" => 31_536_000_000.0,
            _ => return Err(syntax()),
        };
        total += number * unit_ms;
        rest = &rest[digits + letters..];
    }
    if total > (i64::MAX / 1_000_000) as f64 {
        return Err(DurationError::Range);
    }
    let ms = total as i64;
    Ok(if negative { -ms } else { ms })
}

/// A point in time: RFC 3339, or a duration counted from `now_ms` (negative = back). `None` if it is neither.
pub fn parse_time_or_duration(text: &str, now_ms: i64) -> Option<i64> {
    if let Ok(delta) = parse_go_duration(text) {
        return now_ms.checked_add(delta);
    }
    model::parse_rfc3339_ms(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("0ms", 0), ("2m", 120_000), ("1h0m0s", 3_600_000), ("1.5h", 5_400_000), ("-2w", -1_209_600_000)]
        {
            assert_eq!(parse_go_duration(text), Ok(ms), "{text}");
        }
        for text in ["", "-", "abc", "5", "1x"] {
            assert!(parse_go_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_time_or_duration("0000-01-01T00:00:00Z", 0), Some(-62_167_219_200_000));
        assert_eq!(parse_time_or_duration("9999-12-31T23:59:59Z", 0), Some(253_402_300_799_000));
        assert_eq!(parse_time_or_duration("2026-11-21T02:15:20.5+01:00", 0), Some(1_795_223_720_500));
        assert_eq!(parse_time_or_duration("-1h", 7_200_000), Some(3_600_000));
        for text in ["2026-13-01T00:00:00Z", "2026-01-01", "never", "2026-01-01T25:00:00Z"] {
            assert_eq!(parse_time_or_duration(text, 0), None, "{text}");
        }
    }
}
