//! Sets of slot numbers: 64 Ki numbers a block, sparse blocks as sorted lists of 16 bits, dense ones as bitmaps. A set of a
//! million neighbours takes 128 KiB, and two of them are intersected in microseconds.

/// Members up to which a block is a list; a bitmap takes as much.
const SPARSE_MAX: usize = 4096;
const WORDS: usize = 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set {
    /// Ascending by key; none is empty.
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    key: u16,
    members: Members,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Members {
    Sparse(Vec<u16>),
    Dense(Box<[u64; WORDS]>, u32),
}

fn bit(low: u16) -> (usize, u64) {
    (usize::from(low >> 6), 1 << (low & 63))
}

/// Keeps of a sorted list what is in another one too: the shorter one is gone through, the longer one is searched.
fn keep_common(list: &mut Vec<u16>, other: &[u16]) {
    let (mut from, mut kept) = (0, 0);
    if list.len() <= other.len() {
        for at in 0..list.len() {
            let low = list[at];
            from += count_below(&other[from..], low);
            if other.get(from) == Some(&low) {
                list[kept] = low;
                kept += 1;
            }
        }
    } else {
        for low in other {
            from += count_below(&list[from..], *low);
            if list.get(from) == Some(low) {
                // Never behind the place that is looked at.
                list[kept] = *low;
                kept += 1;
            }
        }
    }
    list.truncate(kept);
}

/// How many numbers of a sorted list are below `low`, which is looked for near the begin first.
fn count_below(list: &[u16], low: u16) -> usize {
    let mut step = 1;
    while step <= list.len() && list[step - 1] < low {
        step *= 2;
    }
    let begin = step / 2;
    begin + list[begin..step.min(list.len())].partition_point(|other| *other < low)
}

impl Members {
    fn len(&self) -> usize {
        match self {
            Self::Sparse(list) => list.len(),
            Self::Dense(_, count) => *count as usize,
        }
    }

    fn contains(&self, low: u16) -> bool {
        match self {
            Self::Sparse(list) => list.binary_search(&low).is_ok(),
            Self::Dense(words, _) => words[bit(low).0] & bit(low).1 != 0,
        }
    }

    fn insert(&mut self, low: u16) -> bool {
        match self {
            Self::Sparse(list) => {
                let at = match list.last() {
                    Some(last) if *last < low => list.len(),
                    _ => match list.binary_search(&low) {
                        Ok(_) => return false,
                        Err(at) => at,
                    },
                };
                if list.len() < SPARSE_MAX {
                    // Small lists are the many: they grow by what they need.
                    if list.len() == list.capacity() && list.len() < 16 {
                        list.reserve_exact(2);
                    }
                    list.insert(at, low);
                    return true;
                }
                let mut dense = Self::dense(list);
                dense.insert(low);
                *self = dense;
                true
            }
            Self::Dense(words, count) => {
                let (word, mask) = bit(low);
                let new = words[word] & mask == 0;
                words[word] |= mask;
                *count += u32::from(new);
                new
            }
        }
    }

    fn remove(&mut self, low: u16) -> bool {
        match self {
            Self::Sparse(list) => match list.binary_search(&low) {
                Ok(at) => {
                    list.remove(at);
                    true
                }
                Err(_) => false,
            },
            Self::Dense(words, count) => {
                let (word, mask) = bit(low);
                let there = words[word] & mask != 0;
                words[word] &= !mask;
                *count -= u32::from(there);
                if there && (*count as usize) < SPARSE_MAX / 2 {
                    *self = Self::Sparse(self.list());
                }
                there
            }
        }
    }

    fn dense(list: &[u16]) -> Self {
        let mut words = Box::new([0u64; WORDS]);
        for low in list {
            words[bit(*low).0] |= bit(*low).1;
        }
        Self::Dense(words, list.len() as u32)
    }

    fn list(&self) -> Vec<u16> {
        let mut list = Vec::with_capacity(self.len());
        self.each(|low| list.push(low));
        list
    }

    fn each(&self, mut sink: impl FnMut(u16)) {
        match self {
            Self::Sparse(list) => list.iter().copied().for_each(sink),
            Self::Dense(words, _) => {
                for (n, word) in words.iter().enumerate() {
                    let mut left = *word;
                    while left != 0 {
                        sink((n as u16) << 6 | left.trailing_zeros() as u16);
                        left &= left - 1;
                    }
                }
            }
        }
    }

    /// Keeps the members that `keep` says.
    fn retain(&mut self, keep: impl Fn(u16) -> bool) {
        match self {
            Self::Sparse(list) => list.retain(|low| keep(*low)),
            Self::Dense(..) => {
                let mut list = self.list();
                list.retain(|low| keep(*low));
                *self = Self::from_list(list);
            }
        }
    }

    fn from_list(list: Vec<u16>) -> Self {
        if list.len() > SPARSE_MAX { Self::dense(&list) } else { Self::Sparse(list) }
    }

    fn combine(&mut self, other: &[u64; WORDS], with: impl Fn(u64, u64) -> u64) {
        if let Self::Dense(words, count) = self {
            words.iter_mut().zip(other).for_each(|(a, b)| *a = with(*a, *b));
            *count = words.iter().map(|w| w.count_ones()).sum();
            if *count as usize <= SPARSE_MAX / 2 {
                *self = Self::Sparse(self.list());
            }
        }
    }

    fn intersect(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Dense(..), Self::Dense(words, _)) => self.combine(words, |a, b| a & b),
            (Self::Dense(..), Self::Sparse(list)) => {
                let both: Vec<u16> = list.iter().copied().filter(|low| self.contains(*low)).collect();
                *self = Self::Sparse(both);
            }
            (Self::Sparse(mine), Self::Sparse(list)) => keep_common(mine, list),
            _ => self.retain(|low| other.contains(low)),
        }
    }

    fn subtract(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Dense(..), Self::Dense(words, _)) => self.combine(words, |a, b| a & !b),
            (Self::Dense(..), Self::Sparse(list)) => list.iter().for_each(|low| {
                self.remove(*low);
            }),
            _ => self.retain(|low| !other.contains(low)),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        match (few, many) {
            (Self::Dense(a, _), Self::Dense(b, _)) => a.iter().zip(&**b).any(|(a, b)| a & b != 0),
            (Self::Sparse(list), of) | (of, Self::Sparse(list)) => list.iter().any(|low| of.contains(*low)),
        }
    }

    fn unite(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Dense(..), Self::Dense(words, _)) => self.combine(words, |a, b| a | b),
            (Self::Sparse(mine), Self::Sparse(list)) if mine.len() + list.len() <= SPARSE_MAX => {
                let mut all = Vec::with_capacity(mine.len() + list.len());
                all.extend_from_slice(mine);
                all.extend_from_slice(list);
                // Two sorted runs: a merge.
                all.sort();
                all.dedup();
                *mine = all;
            }
            (Self::Sparse(mine), _) => {
                let mut dense = Self::dense(mine);
                other.each(|low| {
                    dense.insert(low);
                });
                *self = dense;
            }
            (Self::Dense(..), Self::Sparse(list)) => list.iter().for_each(|low| {
                self.insert(*low);
            }),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Sparse(list) => list.capacity() * 2,
            Self::Dense(..) => WORDS * 8,
        }
    }
}

impl Set {
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|b| b.members.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn find(&self, key: u16) -> Result<usize, usize> {
        match self.blocks.last() {
            Some(last) if last.key == key => Ok(self.blocks.len() - 1),
            Some(last) if last.key < key => Err(self.blocks.len()),
            _ => self.blocks.binary_search_by_key(&key, |b| b.key),
        }
    }

    pub fn contains(&self, number: u32) -> bool {
        self.find((number >> 16) as u16).is_ok_and(|at| self.blocks[at].members.contains(number as u16))
    }

    /// Whether it is new.
    pub fn insert(&mut self, number: u32) -> bool {
        let key = (number >> 16) as u16;
        match self.find(key) {
            Ok(at) => self.blocks[at].members.insert(number as u16),
            Err(at) => {
                if self.blocks.len() < 4 {
                    self.blocks.reserve_exact(1);
                }
                self.blocks.insert(at, Block { key, members: Members::Sparse(vec![number as u16]) });
                true
            }
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, number: u32) -> bool {
        let Ok(at) = self.find((number >> 16) as u16) else { return false };
        let there = self.blocks[at].members.remove(number as u16);
        if self.blocks[at].members.len() == 0 {
            self.blocks.remove(at);
        }
        there
    }

    /// Whether a number is in both.
    pub fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.blocks.len() <= other.blocks.len() { (self, other) } else { (other, self) };
        let meets = |block: &Block, at: usize| block.members.meets(&many.blocks[at].members);
        few.blocks.iter().any(|block| many.find(block.key).is_ok_and(|at| meets(block, at)))
    }

    pub fn intersect(&mut self, other: &Self) {
        self.blocks.retain_mut(|block| match other.find(block.key) {
            Ok(at) => {
                block.members.intersect(&other.blocks[at].members);
                block.members.len() > 0
            }
            Err(_) => false,
        });
    }

    pub fn subtract(&mut self, other: &Self) {
        self.blocks.retain_mut(|block| {
            if let Ok(at) = other.find(block.key) {
                block.members.subtract(&other.blocks[at].members);
            }
            block.members.len() > 0
        });
    }

    pub fn unite(&mut self, other: &Self) {
        for block in &other.blocks {
            match self.find(block.key) {
                Ok(at) => self.blocks[at].members.unite(&block.members),
                Err(at) => self.blocks.insert(at, block.clone()),
            }
        }
    }

    /// Ascending.
    pub fn to_vec(&self) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.len());
        for block in &self.blocks {
            block.members.each(|low| all.push(u32::from(block.key) << 16 | u32::from(low)));
        }
        all
    }

    pub fn size_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>() + self.blocks.iter().map(|b| b.members.size_bytes()).sum::<usize>()
    }
}

impl FromIterator<u32> for Set {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn set(numbers: &BTreeSet<u32>) -> Set {
        numbers.iter().copied().collect()
    }

    /// Numbers of few blocks, some of them dense.
    fn numbers() -> impl proptest::strategy::Strategy<Value = BTreeSet<u32>> {
        use proptest::prelude::*;
        let runs = proptest::collection::vec((0u32..4, 0u32..65_536, 1u32..9_000, 1u32..4), 0..5);
        runs.prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(block, first, len, step)| {
                    (0..len).map(move |n| (block << 16) + (first + n * step) % 65_536)
                })
                .collect()
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_as_a_set(a in numbers(), b in numbers()) {
            let (x, y) = (set(&a), set(&b));
            let ops: [(&str, fn(&mut Set, &Set), BTreeSet<u32>); 3] = [
                ("and", Set::intersect, a.intersection(&b).copied().collect()),
                ("or", Set::unite, a.union(&b).copied().collect()),
                ("not", Set::subtract, a.difference(&b).copied().collect()),
            ];
            for (name, op, right) in ops {
                let mut got = x.clone();
                op(&mut got, &y);
                proptest::prop_assert_eq!(got.len(), right.len(), "{}", name);
                proptest::prop_assert_eq!(got.to_vec(), right.iter().copied().collect::<Vec<_>>(), "{}", name);
            }
            proptest::prop_assert_eq!(x.meets(&y), !a.is_disjoint(&b));
            let mut removed = x.clone();
            for number in &b {
                proptest::prop_assert_eq!(removed.remove(*number), a.contains(number));
                proptest::prop_assert!(!removed.contains(*number));
            }
            proptest::prop_assert_eq!(removed.to_vec(), a.difference(&b).copied().collect::<Vec<_>>());
            for number in &b {
                proptest::prop_assert!(removed.insert(*number));
            }
        }
    }
}
