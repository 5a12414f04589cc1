//! The hash that Prometheus and Thanos share (Thanos built with `slicelabels`): XXH64, seed 0, over
//! `name 0xFF value 0xFF` for each pair in name order. Sharding and group keys depend on these exact bytes.

use xxhash_rust::xxh64::Xxh64;

/// Feeds pairs into the shared hash, for callers that hash only some labels.
#[derive(Clone)]
pub struct LabelHasher(Xxh64);

impl LabelHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self(Xxh64::new(0))
    }

    /// Adds one pair; pairs must come in the order of their names for equal sets to have equal hashes.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.update(name.as_bytes());
        self.0.update(&[0xff]);
        self.0.update(value.as_bytes());
        self.0.update(&[0xff]);
    }

    /// The hash of the pairs added.
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Default for LabelHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The shared hash of `pairs`, in the order given.
pub fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = LabelHasher::new();
    for (name, value) in pairs {
        hasher.add(name, value);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn empty_set_is_the_known_vector() {
        // Thanos' group key of the empty set.
        assert_eq!(crate::Labels::empty().stable_hash(), 17_241_709_254_077_376_921);
    }
}
