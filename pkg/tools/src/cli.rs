//! The command lines of `aion tools`, and what all of its commands have in common.

use flags::{Arg, Command, Flag, Kind, Outcome, Parsed, UsageError};
use futures::future::LocalBoxFuture;
use service::tool::{Deps, Error, Tool, Verdict};

use crate::promtool::{self, WordsTool};
use crate::{bucket, promqltest};

/// A checked command line.
#[derive(Debug)]
pub enum Call {
    /// Print this and end well.
    Print(String),
    /// `tools promqltest`.
    Promqltest(Parsed),
    /// `tools bucket …`.
    Bucket(&'static Tool, Parsed),
    /// One of promtool's.
    Promtool(&'static WordsTool, Parsed),
}

impl Call {
    /// The command's name, `tools bucket ls`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Print(_) => "tools",
            Self::Promqltest(_) => "tools promqltest",
            Self::Bucket(tool, _) => tool.full_name,
            Self::Promtool(tool, _) => tool.full_name,
        }
    }

    /// Its flags, for setting up logs.
    pub fn flags(&self) -> Option<&Parsed> {
        match self {
            Self::Bucket(_, parsed) | Self::Promtool(_, parsed) => Some(parsed),
            _ => None,
        }
    }
}

/// All commands: those of this crate and those that components own.
#[derive(Debug)]
pub struct Tools {
    bucket: Vec<&'static Tool>,
}

impl Tools {
    /// The commands of this crate and `more`.
    pub fn with(more: &[&'static Tool]) -> Self {
        Self { bucket: bucket::TOOLS.iter().chain(more.iter().copied()).collect() }
    }

    /// The commands of `tools bucket`.
    pub fn of_bucket(&self) -> &[&'static Tool] {
        &self.bucket
    }

    /// All command lines, for help and reference pages.
    pub fn commands(&self) -> Vec<Command> {
        let mut all: Vec<Command> = self.bucket.iter().map(|tool| bucket::command(tool)).collect();
        all.push(promqltest_command());
        all.extend(promtool::TOOLS.iter().map(WordsTool::command));
        all
    }

    /// Reads what comes after `aion tools`.
    ///
    /// # Errors
    /// The name of the command that was meant, and what is wrong.
    pub fn parse(&self, mut args: Vec<String>, version: &str) -> Result<Call, (&'static str, UsageError)> {
        let asks_version = |args: &[String]| args.iter().any(|a| a == "--version");
        let asks_help = |args: &[String]| args.iter().any(|a| matches!(a.as_str(), "--help" | "-h" | "help"));
        if let Some(tool) = take_words(&mut args) {
            let command = tool.command();
            let shorts: Vec<(char, &str)> =
                tool.flags.iter().filter(|flag| flag.short != '\0').map(|flag| (flag.short, flag.name)).collect();
            let args = long_flags(args, &shorts);
            return finish(tool.full_name, &command, args, version, |parsed| Call::Promtool(tool, parsed));
        }
        match take_word(&mut args, bucket::PARENT_FLAGS).as_deref() {
            Some("promqltest") => finish("tools promqltest", &promqltest_command(), args, version, Call::Promqltest),
            Some("bucket") => match take_word(&mut args, bucket::PARENT_FLAGS) {
                Some(name) => match self.bucket.iter().find(|tool| tool.name == name) {
                    Some(tool) => {
                        let args = long_flags(args, tool.shorts);
                        let command = bucket::command(tool);
                        finish(tool.full_name, &command, args, version, |parsed| Call::Bucket(tool, parsed))
                    }
                    None if name == "help" => Ok(Call::Print(bucket::usage(&self.bucket))),
                    None => Err(("tools bucket", UsageError(format!("unknown command {name:?}")))),
                },
                None if asks_help(&args) => Ok(Call::Print(bucket::usage(&self.bucket))),
                None if asks_version(&args) => Ok(Call::Print(version.to_owned())),
                None => Err(("tools bucket", UsageError("a command is needed".to_owned()))),
            },
            Some("help") => Ok(Call::Print(self.usage())),
            Some(name) => Err(("tools", UsageError(format!("unknown command {name:?}")))),
            None if asks_help(&args) => Ok(Call::Print(self.usage())),
            None if asks_version(&args) => Ok(Call::Print(version.to_owned())),
            None => Err(("tools", UsageError("a command is needed".to_owned()))),
        }
    }

    pub fn usage(&self) -> String {
        format!(
            "usage: aion tools <command> [<args> ...]\n\nCommands:\n  bucket                        Bucket utility commands.\n  \
             promqltest                    {}\n{}\n{}",
            promqltest_command().about,
            promtool::TOOLS.iter().map(usage_line).collect::<String>(),
            bucket::usage(&self.bucket)
        )
    }
}

fn usage_line(tool: &WordsTool) -> String {
    let words: Vec<&str> = tool.words().collect();
    format!("  {:<29} {}\n", words.join(" "), tool.about)
}

/// Takes the words of one of promtool's commands, which may have flags before and between them.
fn take_words(args: &mut Vec<String>) -> Option<&'static WordsTool> {
    let places: Vec<usize> = (0..args.len()).filter(|at| !args[*at].starts_with('-')).take(3).collect();
    let named = |tool: &&WordsTool| {
        let mut words = tool.words().zip(places.iter().map(Some).chain(std::iter::repeat(None)));
        words.all(|(word, place)| place.is_some_and(|at| args[*at] == word))
    };
    let tool = promtool::TOOLS.iter().find(named)?;
    for at in places[..tool.words().count()].iter().rev() {
        args.remove(*at);
    }
    Some(tool)
}

fn finish(
    name: &'static str,
    command: &Command,
    args: Vec<String>,
    version: &str,
    call: impl FnOnce(Parsed) -> Call,
) -> Result<Call, (&'static str, UsageError)> {
    match flags::parse(command, args, version).map_err(|e| (name, e))? {
        Outcome::Run(parsed) => Ok(call(parsed)),
        Outcome::Print(text) => Ok(Call::Print(text)),
    }
}

/// Takes the first word that is no flag nor a flag's value. Flags of the parent command may stand before it.
fn take_word(args: &mut Vec<String>, flags: &[&[Flag]]) -> Option<String> {
    let takes_value = |arg: &str| {
        let flag = arg.strip_prefix("--").and_then(|name| flags.iter().copied().flatten().find(|f| f.name == name));
        flag.is_some_and(|f| f.kind != Kind::Switch)
    };
    let mut at = 0;
    while at < args.len() {
        if !args[at].starts_with('-') {
            return Some(args.remove(at));
        }
        at += if takes_value(&args[at]) { 2 } else { 1 };
    }
    None
}

/// Short flags, `-o json`, `-ojson`, spelt out.
fn long_flags(args: Vec<String>, shorts: &[(char, &str)]) -> Vec<String> {
    let mut positional = false;
    let long = |arg: String| {
        positional |= arg == "--";
        let mut chars = arg.chars();
        let (Some('-'), Some(short)) = (chars.next(), chars.next()) else { return arg };
        let Some((_, name)) = shorts.iter().find(|(s, _)| *s == short && !positional) else { return arg };
        match chars.as_str() {
            "" => format!("--{name}"),
            value => format!("--{name}={}", value.strip_prefix('=').unwrap_or(value)),
        }
    };
    args.into_iter().map(long).collect()
}

/// Runs a command. Gives the code that the process ends with.
///
/// # Errors
/// It could not run to its end.
pub fn run<'a>(call: &'a Call, deps: &'a mut Deps<'a>) -> LocalBoxFuture<'a, Result<u8, Error>> {
    let code = |verdict: Verdict| u8::from(verdict != Verdict::Fine);
    Box::pin(async move {
        match call {
            Call::Print(text) => deps.print(text).map(|()| 0),
            Call::Promqltest(parsed) => match promqltest::command(parsed.args(), deps.out).await {
                Ok(passed) => Ok(u8::from(!passed)),
                Err(e) => Err(Error::Failed(format!("{e:#}"))),
            },
            Call::Bucket(tool, parsed) => (tool.run)(parsed, deps).await.map(code),
            Call::Promtool(tool, parsed) => Ok((tool.run)(parsed, deps).await?),
        }
    })
}

/// `aion tools promqltest FILE…`.
pub fn promqltest_command() -> Command {
    Command {
        name: "tools promqltest",
        about: "Run PromQL test scripts (Prometheus' promqltest language) against this engine.",
        flags: vec![],
        args: Some(Arg { name: "file", help: "Test scripts.", min: 1, max: usize::MAX }),
    }
}

/// Runs the scripts, prints each failing and each skipped eval and a last line `N passed, N failed`. True when none
/// failed.
///
/// # Errors
/// A script that cannot be read or parsed, an output that cannot be written.
pub async fn run_promqltest(parsed: &Parsed) -> anyhow::Result<bool> {
    promqltest::command(parsed.args(), &mut std::io::stdout()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Call, String> {
        let args = line.split_whitespace().map(str::to_owned).collect();
        Tools::with(&[]).parse(args, "v1").map_err(|(name, e)| format!("{name}: {e}"))
    }

    #[test]
    fn flags_may_stand_before_the_command() {
        for line in [
            "bucket ls --objstore.config=x -o wide",
            "bucket --objstore.config=x ls -owide",
            "bucket --objstore.config x ls --output wide",
            "--log.level debug bucket --objstore.config x ls -o=wide",
        ] {
            let Ok(Call::Bucket(tool, parsed)) = call(line) else { panic!("{line}") };
            assert_eq!(
                (tool.name, parsed.text("objstore.config"), parsed.text("output")),
                ("ls", "x", "wide"),
                "{line}"
            );
        }
        assert!(matches!(call("bucket --help"), Ok(Call::Print(text)) if text.contains("upload-blocks")));
        assert!(matches!(call("bucket mark --help"), Ok(Call::Print(text)) if text.contains("--marker")));
        for line in ["--version", "bucket --version", "bucket ls --version"] {
            assert!(matches!(call(line), Ok(Call::Print(text)) if text == "v1"), "{line}");
        }
        assert!(matches!(call("help"), Ok(Call::Print(text)) if text.contains("promqltest")));
    }

    #[test]
    fn mistakes_are_told() {
        for (line, text) in [
            ("", "tools: a command is needed, try --help"),
            ("bucket", "tools bucket: a command is needed, try --help"),
            ("bucket lss", "tools bucket: unknown command \"lss\", try --help"),
            ("buckett ls", "tools: unknown command \"buckett\", try --help"),
            ("bucket ls -x", "tools bucket ls: unknown short flag '-x', try --help"),
        ] {
            assert_eq!(call(line).unwrap_err(), text, "{line}");
        }
    }
}
