//! Command-line flags, each declared once: parsing, `--help`, the reference pages and `/api/v1/status/flags` all read
//! the same declaration.
//!
//! The grammar is kingpin's, as users of Thanos and Prometheus know it: dotted names, `--x=v` and `--x v`,
//! `--[no-]switch`, repeatable flags, `@file` for arguments from a file. Unknown flags are errors that suggest the
//! nearest name.

mod command;
mod complete;
mod flag;
mod help;
mod nearest;
mod parse;
mod values;
mod yaml;

pub use command::{Arg, Command, Found, find};
pub use complete::{Completion, bash_script, complete, fish_script, zsh_script};
pub use flag::{Flag, Kind};
pub use help::{help, man, markdown};
pub use nearest::nearest;
pub use parse::{Outcome, UsageError, parse};
pub use values::{Parsed, parse_go_duration, parse_time_or_duration};
pub use yaml::parse_yaml;
