//! Places of slots in the order of labels.

/// Ranks by slot, from 1; 0 = none yet.
#[derive(Debug, Default)]
pub(crate) struct Order {
    ranks: Vec<u32>,
}

impl Order {
    pub fn new(ranks: Vec<u32>) -> Self {
        Self { ranks }
    }

    pub fn rank(&self, slot: u32) -> u32 {
        self.ranks.get(slot as usize).copied().unwrap_or(0)
    }

    /// The slot's series is gone; whether it had a rank.
    pub fn forget(&mut self, slot: u32) -> bool {
        self.ranks.get_mut(slot as usize).is_some_and(|rank| std::mem::take(rank) != 0)
    }

    pub fn size_bytes(&self) -> usize {
        self.ranks.capacity() * 4
    }
}
