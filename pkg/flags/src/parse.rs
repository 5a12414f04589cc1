//! Arguments to values.

use std::collections::HashMap;

use crate::nearest::nearest;
use crate::values::check;
use crate::{Command, Flag, Kind, Parsed};

/// What a command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Run the command with these values.
    Run(Parsed),
    /// Print this and exit with success: help, version, completions.
    Print(String),
}

/// What is wrong with a command line; the program exits with code 2 after printing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}, try --help")]
pub struct UsageError(pub String);

/// Parses the arguments after the command's name. `version` is what `--version` prints.
///
/// # Errors
/// [`UsageError`] on unknown flags, missing or malformed values, and flags given twice that are not repeatable.
pub fn parse(command: &Command, args: impl IntoIterator<Item = String>, version: &str) -> Result<Outcome, UsageError> {
    let args = expand_files(args)?;
    let mut given: HashMap<&'static str, Vec<String>> = HashMap::new();
    let mut positional = Vec::new();
    let mut args = args.into_iter().peekable();
    let mut only_positional = false;
    while let Some(arg) = args.next() {
        let Some(body) = arg.strip_prefix("--").filter(|_| !only_positional) else {
            match arg.as_str() {
                "-h" if !only_positional => return Ok(Outcome::Print(crate::help(command))),
                a if !only_positional && short_switch(command, a).is_some() => {
                    if let Some(flag) = short_switch(command, a) {
                        given.entry(flag.name).or_default().push("true".to_owned());
                    }
                }
                a if a.len() > 1 && a.starts_with('-') && !only_positional && !looks_negative(a) => {
                    return Err(UsageError(format!("unknown short flag '{a}'")));
                }
                _ => positional.push(arg),
            }
            continue;
        };
        if body.is_empty() {
            only_positional = true;
            continue;
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        match (name, &inline) {
            ("help" | "help-long", None) => return Ok(Outcome::Print(crate::help(command))),
            ("help-man", None) => return Ok(Outcome::Print(crate::man(command))),
            ("version", None) => return Ok(Outcome::Print(version.to_owned())),
            ("completion-bash", None) => return Ok(Outcome::Print(crate::complete::words(command))),
            ("completion-script-bash", None) => return Ok(Outcome::Print(crate::bash_script().to_owned())),
            ("completion-script-zsh", None) => return Ok(Outcome::Print(crate::zsh_script().to_owned())),
            ("completion-script-fish", None) => return Ok(Outcome::Print(crate::fish_script().to_owned())),
            _ => {}
        }
        let (flag, value) = match (command.find(name), name.strip_prefix("no-").and_then(|n| command.find(n))) {
            (Some(flag), _) if flag.kind == Kind::Switch => (flag, switch_value(flag, inline)?),
            (Some(flag), _) => {
                let value = match inline {
                    Some(value) => value,
                    None => args
                        .next_if(|next| !next.starts_with("--"))
                        .ok_or_else(|| UsageError(format!("expected argument for flag '--{name}'")))?,
                };
                (flag, value)
            }
            (None, Some(flag)) if flag.kind == Kind::Switch && inline.is_none() => (flag, "false".to_owned()),
            _ => return Err(UsageError(unknown(command, name))),
        };
        let value = as_declared(flag, value);
        check(flag, &value).map_err(|why| UsageError(format!("flag '--{}': {why}", flag.name)))?;
        let values = given.entry(flag.name).or_default();
        if !values.is_empty() && !flag.repeated {
            return Err(UsageError(format!("flag '--{}' cannot be repeated", flag.name)));
        }
        values.push(value);
    }
    let (min, max) = command.args.map_or((0, 0), |a| (a.min, a.max));
    if positional.len() > max {
        return Err(UsageError(format!("unexpected {}", positional[max])));
    }
    if positional.len() < min {
        let name = command.args.map_or("argument", |a| a.name);
        return Err(UsageError(format!("required argument '{name}' not provided")));
    }
    Ok(Outcome::Run(Parsed::new(command, given, positional)))
}

/// A word as it is spelt in the declaration.
fn as_declared(flag: &Flag, value: String) -> String {
    match flag.kind {
        Kind::Word(words) if flag.any_case => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(&value));
            word.map_or(value, |word| (*word).to_owned())
        }
        _ => value,
    }
}

/// The switch that `-x` stands for.
fn short_switch(command: &Command, arg: &str) -> Option<&'static Flag> {
    let mut letters = arg.strip_prefix('-')?.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    command.all().find(|f| f.short == letter && f.kind == Kind::Switch)
}

fn looks_negative(arg: &str) -> bool {
    arg[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

fn switch_value(flag: &Flag, inline: Option<String>) -> Result<String, UsageError> {
    match inline.as_deref() {
        None | Some("true" | "1") => Ok("true".to_owned()),
        Some("false" | "0") => Ok("false".to_owned()),
        Some(other) => Err(UsageError(format!("flag '--{}': {other:?} is neither true nor false", flag.name))),
    }
}

fn expand_files(args: impl IntoIterator<Item = String>) -> Result<Vec<String>, UsageError> {
    let mut out = Vec::new();
    for arg in args {
        match arg.strip_prefix('@') {
            Some(path) if !path.is_empty() => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| UsageError(format!("arguments from file {path:?}: {e}")))?;
                out.extend(text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned));
            }
            _ => out.push(arg),
        }
    }
    Ok(out)
}

fn unknown(command: &Command, name: &str) -> String {
    let near = nearest(name, command.all().map(|f| f.name)).map(|n| format!(" (did you mean '--{n}'?)"));
    format!("unknown long flag '--{name}'{}", near.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::switch("wait", "Wait."),
        Flag::switch_on("partial", "Partial."),
        Flag::text("data-dir", "./data", "Dir."),
        Flag::duration("timeout", "2m", "Timeout."),
        Flag::size("cache", "250MB", "Size."),
        Flag::text("endpoint", "", "Where.").placeholder("<endpoint>").repeated(),
        Flag::word("log.level", &["info", "debug"], "info", "Level.").any_case(),
        Flag::word("log.format", &["logfmt", "json"], "logfmt", "Format."),
        Flag::new("min-time", Kind::Time, "0000-01-01T00:00:00Z", "From."),
    ];

    fn command() -> Command {
        Command { name: "x", about: "Does x.", flags: vec![FLAGS], args: None }
    }

    fn run(args: &[&str]) -> Result<Parsed, String> {
        match parse(&command(), args.iter().map(|s| (*s).to_owned()), "v1") {
            Ok(Outcome::Run(parsed)) => Ok(parsed),
            Ok(Outcome::Print(text)) => Err(text),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn values_and_defaults() {
        let p = run(&["--wait", "--no-partial", "--endpoint=a", "--endpoint", "b", "--timeout=1h30m"]).unwrap();
        assert!(p.switch("wait") && !p.switch("partial"));
        assert_eq!(p.list("endpoint"), ["a", "b"]);
        assert_eq!(p.duration_ms("timeout"), 5_400_000);
        assert_eq!((p.size_bytes("cache"), p.text("data-dir")), (250 << 20, "./data"));
        assert!(!p.is_set("cache") && p.is_set("timeout"));
        assert_eq!(run(&["--log.level=DEBUG"]).unwrap().text("log.level"), "debug");
    }

    #[test]
    fn errors_say_what_to_do() {
        for (args, text) in [
            (&["--endpiont=x"][..], "unknown long flag '--endpiont' (did you mean '--endpoint'?), try --help"),
            (&["--timeout"], "expected argument for flag '--timeout', try --help"),
            (&["--timeout", "--wait"], "expected argument for flag '--timeout', try --help"),
            (&["--timeout=abc"], "flag '--timeout': not a valid duration string: \"abc\", try --help"),
            (&["--data-dir=a", "--data-dir=b"], "flag '--data-dir' cannot be repeated, try --help"),
            (&["--log.level=loud"], "flag '--log.level': \"loud\" is none of info, debug, try --help"),
            (&["--log.format=JSON"], "flag '--log.format': \"JSON\" is none of logfmt, json, try --help"),
            (&["stray"], "unexpected stray, try --help"),
            (&["--no-data-dir"], "unknown long flag '--no-data-dir' (did you mean '--data-dir'?), try --help"),
            (&["--version"], "v1"),
        ] {
            assert_eq!(run(args).unwrap_err(), text);
        }
    }

    #[test]
    fn signatures_are_kingpins() {
        let shown: Vec<_> = FLAGS.iter().map(Flag::signature).collect();
        assert_eq!(
            shown,
            [
                "--[no-]wait",
                "--[no-]partial",
                "--data-dir=\"./data\"",
                "--timeout=2m",
                "--cache=250MB",
                "--endpoint=<endpoint> ...",
                "--log.level=info",
                "--log.format=logfmt",
                "--min-time=0000-01-01T00:00:00Z",
            ]
        );
    }

    #[test]
    fn help_names_each_flag() {
        let text = crate::help(&command());
        for flag in FLAGS {
            assert!(text.contains(&flag.signature()), "{text}");
        }
    }
}
