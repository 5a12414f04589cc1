//! `aion tools bucket …`: looking at the blocks of a bucket and putting them in order. Names, flags, defaults and texts
//! are those of `thanos tools bucket`; exit codes are 0 for fine, 1 for problems found or a failure, 2 for a wrong
//! command line.

mod cleanup;
mod common;
mod copy;
mod downsample;
mod inspect;
mod ls;
mod mark;
mod publish;
mod replicate;
mod retention;
mod rewrite;
mod segment;
mod upload_blocks;
mod verify;

use flags::{Command, Flag, Parsed};
use futures::future::BoxFuture;

use crate::{Deps, Error, Verdict};

/// Flags that may stand before a command's name.
pub(crate) const PARENT_FLAGS: &[&[Flag]] = &[transport::flags::COMMON, common::OBJSTORE];

/// One command.
pub struct Tool {
    /// `ls`.
    pub name: &'static str,
    /// `tools bucket ls`.
    pub full_name: &'static str,
    /// Flags with one letter.
    pub shorts: &'static [(char, &'static str)],
    about: &'static str,
    flags: &'static [&'static [Flag]],
    run: for<'a> fn(&'a Parsed, &'a mut Deps<'_>) -> BoxFuture<'a, Result<Verdict, Error>>,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.full_name)
    }
}

impl Tool {
    /// Its command line.
    pub fn command(&self) -> Command {
        let flags = PARENT_FLAGS.iter().chain(self.flags).copied().collect();
        Command { name: self.full_name, about: self.about, flags, args: None }
    }

    /// Runs it.
    ///
    /// # Errors
    /// It could not run to its end.
    pub async fn run(&self, parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
        (self.run)(parsed, deps).await
    }
}

macro_rules! tool {
    ($name:literal, $module:ident) => {
        Tool {
            name: $name,
            full_name: concat!("tools bucket ", $name),
            shorts: $module::SHORTS,
            about: $module::ABOUT,
            flags: $module::FLAGS,
            run: |parsed, deps| Box::pin($module::run(parsed, deps)),
        }
    };
}

/// All commands.
pub const TOOLS: &[Tool] = &[
    tool!("ls", ls),
    tool!("inspect", inspect),
    tool!("verify", verify),
    tool!("mark", mark),
    tool!("rewrite", rewrite),
    tool!("retention", retention),
    tool!("downsample", downsample),
    tool!("cleanup", cleanup),
    tool!("replicate", replicate),
    tool!("upload-blocks", upload_blocks),
];

/// The list of commands.
pub fn usage() -> String {
    let mut out = "usage: aion tools bucket [<flags>] <command> [<args> ...]\n\nCommands:\n".to_owned();
    for tool in TOOLS {
        let about = tool.about.split_once(". ").map_or(tool.about, |(first, _)| first);
        out.push_str(&format!("  {:<15}{}.\n", tool.name, about.trim_end_matches('.')));
    }
    out.push_str("  web            Not built in yet: the store's own web page shows the same blocks.\n");
    out
}
