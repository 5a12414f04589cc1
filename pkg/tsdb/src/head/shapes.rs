//! The lists of label names that series have: few, where series are many.

use std::collections::HashMap;

/// Lists of symbols by number.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    by_names: HashMap<Box<[u32]>, u32>,
    all: Vec<(Box<[u32]>, u32)>,
    free: Vec<u32>,
}

impl Shapes {
    /// The number of a list, with one use more, and whether it was there.
    pub fn intern(&mut self, names: &[u32]) -> (u32, bool) {
        if let Some(shape) = self.by_names.get(names) {
            self.all[*shape as usize].1 += 1;
            return (*shape, true);
        }
        let shape = match self.free.pop() {
            Some(shape) => {
                self.all[shape as usize] = (names.into(), 1);
                shape
            }
            None => {
                self.all.push((names.into(), 1));
                self.all.len() as u32 - 1
            }
        };
        self.by_names.insert(names.into(), shape);
        (shape, false)
    }

    /// One use more of a list that is in use.
    pub fn use_again(&mut self, shape: u32) {
        if let Some((_, uses)) = self.all.get_mut(shape as usize) {
            *uses += 1;
        }
    }

    pub fn names(&self, shape: u32) -> &[u32] {
        self.all.get(shape as usize).map_or(&[], |(names, _)| names)
    }

    /// One series less; the names, if it was the last.
    pub fn release(&mut self, shape: u32) -> Option<Box<[u32]>> {
        let (names, uses) = self.all.get_mut(shape as usize)?;
        *uses = uses.saturating_sub(1);
        if *uses > 0 {
            return None;
        }
        let names = std::mem::take(names);
        self.by_names.remove(&names);
        self.free.push(shape);
        Some(names)
    }

    pub fn size_bytes(&self) -> usize {
        self.all.iter().map(|(names, _)| names.len() * 8 + 64).sum()
    }
}
