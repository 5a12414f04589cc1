//! Which passes run, by name.

use std::fmt;

/// In the order in which they run.
const NAMES: [&str; 7] = [
    "fold-constants",
    "propagate-matchers",
    "histogram-stats",
    "step-invariant",
    "share-subtrees",
    "share-selectors",
    "project-labels",
];

/// Which passes run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Bit `i`: pass `i` runs.
    on: u32,
}

impl Passes {
    /// Every pass.
    pub const ALL: Self = Self { on: u32::MAX };
    /// No pass: queries are evaluated as they are written.
    pub const NONE: Self = Self { on: 0 };

    /// The names of all passes, in the order in which they run.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// Without those of these names.
    ///
    /// # Errors
    /// What is wrong, for a name that no pass has.
    pub fn without<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Result<Self, String> {
        for name in names {
            let name = name.as_ref();
            let Some(at) = NAMES.iter().position(|known| *known == name) else {
                let known: Vec<&str> = Self::names().collect();
                return Err(format!("no pass of the planner is called {name:?}, there are {}", known.join(", ")));
            };
            self.on &= !(1 << at);
        }
        Ok(self)
    }

    /// Whether the pass of this name runs.
    pub fn has(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|at| self.on & (1 << at) != 0)
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(Self::names().filter(|name| self.has(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_switched_by_name() {
        for name in Passes::names() {
            let others = Passes::ALL.without([name]).unwrap();
            assert!(!others.has(name) && Passes::ALL.has(name) && !Passes::NONE.has(name), "{name}");
            assert_eq!(Passes::names().filter(|n| others.has(n)).count(), NAMES.len() - 1);
        }
        let error = Passes::ALL.without(["fold"]).unwrap_err();
        assert!(error.starts_with("no pass of the planner is called \"fold\", there are fold-constants, "), "{error}");
    }
}
