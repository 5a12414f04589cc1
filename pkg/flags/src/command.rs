//! A command: a name, a purpose, flags, perhaps arguments.

use crate::Flag;

/// Positional arguments of a command.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Shown in usage.
    pub name: &'static str,
    /// Sentence for help.
    pub help: &'static str,
    /// At least this many.
    pub min: usize,
    /// At most this many.
    pub max: usize,
}

/// A command line's shape.
#[derive(Debug, Clone)]
pub struct Command {
    /// `sidecar`, or `tools promqltest`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Groups of flags, shown in this order.
    pub flags: Vec<&'static [Flag]>,
    /// Positional arguments, if it takes any.
    pub args: Option<Arg>,
}

impl Command {
    /// All flags in order.
    pub fn all(&self) -> impl Iterator<Item = &'static Flag> + '_ {
        self.flags.iter().flat_map(|group| group.iter())
    }

    /// The flag called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Flag> {
        self.all().find(|f| f.name == name)
    }
}
