//! A command: a name, a purpose, flags, perhaps arguments.

use crate::{Flag, Kind};

/// Positional arguments of a command.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Its name in the usage line.
    pub name: &'static str,
    /// What it stands for, one sentence for `--help`.
    pub help: &'static str,
    /// The command needs at least this many.
    pub min: usize,
    /// The command takes at most this many.
    pub max: usize,
}

/// The shape of a command line: parsed by [`parse`](crate::parse), shown by [`help`](crate::help).
#[derive(Debug, Clone)]
pub struct Command {
    /// The words that call it: `sidecar`, or `tools promqltest`.
    pub name: &'static str,
    /// What the command is for, one sentence.
    pub about: &'static str,
    /// Groups of flags, shown in this order.
    pub flags: Vec<&'static [Flag]>,
    /// Positional arguments, if it takes any.
    pub args: Option<Arg>,
}

impl Command {
    /// All flags, the hidden ones too, in the order of their declaration.
    pub fn all(&self) -> impl Iterator<Item = &'static Flag> + '_ {
        self.flags.iter().flat_map(|group| group.iter())
    }

    /// The flag that is called `name`, without dashes.
    pub fn find(&self, name: &str) -> Option<&'static Flag> {
        self.all().find(|f| f.name == name)
    }
}

/// What the words of a command line name.
#[derive(Debug, Clone)]
pub enum Found<'a> {
    /// A command, and where the words of its name stand.
    Command(&'a Command, Vec<usize>),
    /// The start of several names, such as `tools bucket`; nothing at the top.
    Group(String),
    /// A word that no name goes on with.
    Unknown {
        /// The words before it that were known.
        group: String,
        /// The word that is not known.
        word: String,
    },
}

/// Walks `words` down the names of `commands`. Flags and their values may stand before and between the words of a name.
pub fn find<'a>(commands: &'a [Command], words: &[String]) -> Found<'a> {
    let (mut group, mut places) = (String::new(), Vec::new());
    let mut skip = false;
    for (at, word) in words.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        if word.starts_with('-') {
            skip = flag_of(commands, word).is_some_and(|flag| flag.kind != Kind::Switch);
            continue;
        }
        let name = if group.is_empty() { word.clone() } else { format!("{group} {word}") };
        places.push(at);
        if let Some(command) = commands.iter().find(|c| c.name == name) {
            return Found::Command(command, places);
        }
        if next_words(commands, &name).is_empty() {
            return Found::Unknown { group, word: word.clone() };
        }
        group = name;
    }
    Found::Group(group)
}

/// The flag `--name`, of whichever command has it.
fn flag_of(commands: &[Command], word: &str) -> Option<&'static Flag> {
    let name = word.strip_prefix("--")?;
    commands.iter().find_map(|c| c.find(name))
}

/// The words that names which start with `group` go on with.
pub(crate) fn next_words(commands: &[Command], group: &str) -> Vec<&'static str> {
    let mut out = Vec::new();
    for command in commands {
        let rest = match group {
            "" => Some(command.name),
            group => command.name.strip_prefix(group).and_then(|rest| rest.strip_prefix(' ')),
        };
        let word = rest.and_then(|rest| rest.split(' ').next());
        out.extend(word.filter(|word| !out.contains(word)));
    }
    out
}
