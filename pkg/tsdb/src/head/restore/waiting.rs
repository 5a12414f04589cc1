//! Full chunks on disk that wait for their series.

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::MappedChunk;

const STRIPE_NUMBERS: u64 = 1024;

/// Chunks by the numbers of their series: neighbours together, so that a chunk takes 40 bytes until its series comes, and
/// the memory is given back as series come.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<u64, Stripe>>);

#[derive(Debug, Default)]
struct Stripe {
    chunks: Vec<(u64, Option<MappedChunk>)>,
    sorted: bool,
    left: usize,
}

impl Stripe {
    /// The chunks of a number, in the order in which they came.
    fn take(&mut self, number: u64, out: &mut Vec<MappedChunk>) {
        let before = out.len();
        out.extend(self.of(number).filter_map(|(_, chunk)| chunk.take()));
        self.left -= out.len() - before;
    }

    fn of(&mut self, number: u64) -> impl Iterator<Item = &mut (u64, Option<MappedChunk>)> {
        if !std::mem::replace(&mut self.sorted, true) {
            self.chunks.sort_by_key(|(number, _)| *number);
        }
        let begin = self.chunks.partition_point(|(other, _)| *other < number);
        self.chunks[begin..].iter_mut().take_while(move |(other, _)| *other == number)
    }
}

impl Waiting {
    pub fn push(&self, number: u64, chunk: MappedChunk) {
        let mut stripes = self.0.lock();
        let stripe = stripes.entry(number / STRIPE_NUMBERS).or_default();
        stripe.chunks.push((number, Some(chunk)));
        (stripe.sorted, stripe.left) = (false, stripe.left + 1);
    }

    /// Whether this chunk of a number waits.
    pub fn contains(&self, number: u64, reference: u64) -> bool {
        let mut stripes = self.0.lock();
        let stripe = stripes.get_mut(&(number / STRIPE_NUMBERS));
        stripe.is_some_and(|stripe| stripe.of(number).any(|(_, c)| c.is_some_and(|c| c.reference == reference)))
    }

    /// Whether chunks wait, of whatever number.
    pub fn has_all(&self, mut references: Vec<u64>) -> bool {
        references.sort_unstable();
        references.dedup();
        let stripes = self.0.lock();
        let chunks = stripes.values().flat_map(|stripe| &stripe.chunks).filter_map(|(_, chunk)| *chunk);
        // A place has one chunk.
        chunks.filter(|chunk| references.binary_search(&chunk.reference).is_ok()).count() == references.len()
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// Adds the chunks of a number to `out`; they wait no longer.
    pub fn take(&self, number: u64, out: &mut Vec<MappedChunk>) {
        let mut stripes = self.0.lock();
        let Some(stripe) = stripes.get_mut(&(number / STRIPE_NUMBERS)) else { return };
        stripe.take(number, out);
        if stripe.left == 0 {
            stripes.remove(&(number / STRIPE_NUMBERS));
        }
    }

    /// Numbers whose chunks still wait.
    pub fn numbers(&self) -> Vec<u64> {
        let stripes = self.0.lock();
        let chunks = stripes.values().flat_map(|stripe| &stripe.chunks);
        let mut numbers: Vec<u64> = chunks.filter(|(_, chunk)| chunk.is_some()).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_taken_once_in_their_order() {
        let chunk = |reference| MappedChunk {
            reference,
            min_time_ms: 0,
            max_time_ms: 1,
            encoding: chunkenc::Encoding::Xor,
            samples: 1,
            out_of_order: false,
        };
        let waiting = Waiting::default();
        for (number, reference) in [(5, 1), (2, 2), (5, 3), (9_000, 4), (2, 5), (u64::MAX, 6)] {
            waiting.push(number, chunk(reference));
        }
        let take = |number| {
            let mut out = Vec::new();
            waiting.take(number, &mut out);
            out.iter().map(|chunk| chunk.reference).collect::<Vec<_>>()
        };
        assert!(waiting.has_all(vec![6, 1, 1, 5]) && !waiting.has_all(vec![1, 9]) && waiting.has_all(vec![]));
        assert!(waiting.contains(5, 3) && !waiting.contains(5, 4) && !waiting.contains(4, 3));
        assert_eq!((take(5), take(5), take(6)), (vec![1, 3], vec![], vec![]));
        assert!(!waiting.contains(5, 3));
        assert_eq!(waiting.numbers(), [2, 9_000, u64::MAX]);
        waiting.push(2, chunk(7));
        assert_eq!((take(2), take(9_000), take(u64::MAX)), (vec![2, 5, 7], vec![4], vec![6]));
        assert!(waiting.numbers().is_empty() && waiting.0.lock().is_empty());
    }
}
