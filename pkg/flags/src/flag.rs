//! One flag's declaration.

/// What a flag's value may be. Values are checked when the command line is parsed, so getters cannot fail later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off: `--name`, `--no-name`, `--name=true`.
    Switch,
    /// Any string, shown in quotes.
    Text,
    /// A URL, shown without quotes.
    Url,
    /// One of these words, as they are spelt here.
    Word(&'static [&'static str]),
    /// A whole number, 0 or more.
    Count,
    /// A number, perhaps with a fraction.
    Number,
    /// A length of time, `2m`, `1h30m`, `0ms`.
    Duration,
    /// A size in bytes, `250MB`.
    Size,
    /// RFC 3339, or a duration relative to now such as `-2w`.
    Time,
}

/// A flag: declared as a constant in the component that reads it.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The name without dashes, as in `http-address`.
    pub name: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// As if typed; `""` = none.
    pub default: &'static str,
    /// Shown after `=` where there is no default.
    pub placeholder: &'static str,
    /// What `--help` and the reference page say, in sentences.
    pub help: &'static str,
    /// May come more than once.
    pub repeated: bool,
    /// Whether `--help` leaves the flag out; the reference page does too.
    pub hidden: bool,
    /// Words may be in capitals.
    pub any_case: bool,
    /// The letter of the short form `-x`; NUL = there is none.
    pub short: char,
    /// Accepted for compatibility, without effect; the text says why. Using it logs a warning.
    pub ignored: &'static str,
}

impl Flag {
    /// A flag of `kind` with a default.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        let (repeated, hidden, any_case) = (false, false, false);
        Self { name, kind, default, placeholder: "", help, repeated, hidden, any_case, short: '\0', ignored: "" }
    }

    /// A switch that is off by default.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Switch, "", help)
    }

    /// A switch that is on by default; `--no-name` turns it off.
    pub const fn switch_on(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Switch, "true", help)
    }

    /// A string; `""` as default means none.
    pub const fn text(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Text, default, help)
    }

    /// A length of time, with a default such as `2m`.
    pub const fn duration(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Duration, default, help)
    }

    /// A whole number, 0 or more.
    pub const fn count(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Count, default, help)
    }

    /// A size in bytes, with a default such as `250MB`.
    pub const fn size(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Size, default, help)
    }

    /// One of `words`, which `default` is among.
    pub const fn word(
        name: &'static str,
        words: &'static [&'static str],
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self::new(name, Kind::Word(words), default, help)
    }

    /// Shown after `=` in help.
    #[must_use]
    pub const fn placeholder(mut self, placeholder: &'static str) -> Self {
        self.placeholder = placeholder;
        self
    }

    /// May come more than once.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// Words may be in capitals.
    #[must_use]
    pub const fn any_case(mut self) -> Self {
        self.any_case = true;
        self
    }

    /// May be given as `-x`, too.
    #[must_use]
    pub const fn short(mut self, letter: char) -> Self {
        self.short = letter;
        self
    }

    /// The same flag, left out of `--help`.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The same flag, accepted without effect; `why` is logged where it is given.
    #[must_use]
    pub const fn ignored(mut self, why: &'static str) -> Self {
        self.ignored = why;
        self
    }

    /// The flag as `--help` shows it: `--[no-]wait`, `--log.level=info`, `--data-dir="./data"`, `--endpoint=<endpoint> ...`.
    pub fn signature(&self) -> String {
        if self.kind == Kind::Switch {
            return format!("--[no-]{}", self.name);
        }
        let quoted = matches!(self.kind, Kind::Text) && self.placeholder.is_empty();
        let shown = match (self.placeholder, self.default) {
            ("", "") if quoted && !self.repeated => "\"\"".to_owned(),
            ("", "") => self.name.to_uppercase(),
            ("", default) if quoted => format!("{default:?}"),
            ("", default) => default.to_owned(),
            (placeholder, _) => placeholder.to_owned(),
        };
        format!("--{}={}{}", self.name, shown, if self.repeated { " ..." } else { "" })
    }
}
