//! One line being written: keys and values, quoted as the format asks.

use std::fmt::{self, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::Format;

/// The key `tracing` gives to an event's text.
const MESSAGE: &str = "message";

pub(super) struct Line {
    format: Format,
    out: String,
    empty: bool,
}

impl Line {
    pub(super) fn new(format: Format) -> Self {
        let out = if format == Format::Json { "{".to_owned() } else { String::new() };
        Self { format, out, empty: true }
    }

    /// Text before the first key.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if self.format == Format::Json || must_quote(value) {
            quote(&mut self.out, value);
        } else {
            self.out.push_str(value);
        }
    }

    /// A number or boolean, never quoted.
    fn bare(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        // Writing to a String does not fail.
        let _ = write!(self.out, "{value}");
    }

    fn key(&mut self, key: &str) {
        match (self.format, self.empty) {
            (Format::Json, first) => {
                if !first {
                    self.out.push(',');
                }
                quote(&mut self.out, key);
                self.out.push(':');
            }
            (_, first) => {
                if !first {
                    self.out.push(' ');
                }
                self.out.push_str(key);
                self.out.push('=');
            }
        }
        self.empty = false;
    }

    pub(super) fn message(&mut self, event: &Event<'_>) {
        event.record(&mut Fields { line: self, message: true });
    }

    pub(super) fn rest(&mut self, event: &Event<'_>) {
        event.record(&mut Fields { line: self, message: false });
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.out.push('}');
        }
        self.out
    }
}

/// Visits either the message alone or all but it.
struct Fields<'a> {
    line: &'a mut Line,
    message: bool,
}

impl Fields<'_> {
    fn key(&self, field: &Field) -> Option<&'static str> {
        let is_message = field.name() == MESSAGE;
        (is_message == self.message).then(|| if is_message { "msg" } else { field.name() })
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(key) = self.key(field) {
            self.line.text(key, &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(key) = self.key(field) {
            self.line.text(key, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if let Some(key) = self.key(field) {
            self.line.bare(key, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if let Some(key) = self.key(field) {
            self.line.bare(key, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if let Some(key) = self.key(field) {
            self.line.bare(key, value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let Some(key) = self.key(field) else { return };
        // JSON has no NaN and no infinities
        if value.is_finite() { self.line.bare(key, value) } else { self.line.text(key, &value.to_string()) }
    }
}

fn must_quote(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| c <= ' ' || matches!(c, '=' | '"' | '\u{7f}'..='\u{a0}' | '\u{fffd}'))
}

/// A JSON string; logfmt quotes the same way.
fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
