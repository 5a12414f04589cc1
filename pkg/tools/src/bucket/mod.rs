//! `aion tools bucket …`: looking at the blocks of a bucket and putting them in order. Names, flags, defaults and texts
//! are those of `thanos tools bucket`; exit codes are 0 for fine, 1 for problems found or a failure, 2 for a wrong
//! command line.

mod cleanup;
pub(crate) mod common;
mod copy;
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
mod web;

use flags::{Command, Flag};
use service::tool::Tool;

/// Flags that may stand before a command's name.
pub(crate) const PARENT_FLAGS: &[&[Flag]] = &[transport::flags::COMMON, common::OBJSTORE];

pub(crate) fn command(tool: &Tool) -> Command {
    let flags = PARENT_FLAGS.iter().chain(tool.flags).copied().collect();
    Command { name: tool.full_name, about: tool.about, flags, args: None }
}

macro_rules! tool {
    ($name:literal, $module:ident) => {
        Tool {
            name: $name,
            full_name: concat!("tools bucket ", $name),
            shorts: $module::SHORTS,
            about: $module::ABOUT,
            flags: $module::FLAGS,
            run: |parsed, deps| Box::pin(async move { Ok($module::run(parsed, deps).await?) }),
        }
    };
}

/// The commands of this crate.
pub const TOOLS: &[Tool] = &[
    tool!("ls", ls),
    tool!("inspect", inspect),
    tool!("verify", verify),
    tool!("mark", mark),
    tool!("rewrite", rewrite),
    tool!("retention", retention),
    tool!("cleanup", cleanup),
    tool!("replicate", replicate),
    tool!("upload-blocks", upload_blocks),
    tool!("web", web),
];

pub(crate) fn usage(tools: &[&'static Tool]) -> String {
    let mut out = "usage: aion tools bucket [<flags>] <command> [<args> ...]\n\nCommands:\n".to_owned();
    for tool in tools {
        let about = tool.about.split_once(". ").map_or(tool.about, |(first, _)| first);
        out.push_str(&format!("  {:<15}{}.\n", tool.name, about.trim_end_matches('.')));
    }
    out
}
