//! Series from plain numbers.

use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use storage::{Chunk, Series};

/// Samples per chunk, Prometheus' own.
const CHUNK_SAMPLES: usize = 120;

/// Labels from pairs: `labels_of(&[("__name__", "up"), ("job", "a")])`.
pub fn labels_of(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// A series of float samples `(time in ms, value)`, in XOR chunks of 120.
pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Series {
    series_with_chunks(labels, &samples.chunks(CHUNK_SAMPLES).collect::<Vec<_>>())
}

/// A series with one XOR chunk for each list of samples.
///
/// # Panics
/// If a list is longer than a chunk can be.
pub fn series_with_chunks(labels: &[(&str, &str)], chunks: &[&[(i64, f64)]]) -> Series {
    let chunks = chunks
        .iter()
        .filter_map(|samples| {
            let (first, last) = (samples.first()?.0, samples.last()?.0);
            let data = encode_xor(samples.iter().copied()).expect("samples fit a chunk");
            Some(Chunk::raw(first, last, Encoding::Xor, data.into()))
        })
        .collect();
    Series { labels: labels_of(labels), chunks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_120() {
        let samples: Vec<_> = (0..250).map(|i| (i * 1000, i as f64)).collect();
        let s = series(&[("__name__", "up")], &samples);
        let bounds: Vec<_> = s.chunks.iter().map(|c| (c.min_time, c.max_time)).collect();
        assert_eq!(bounds, [(0, 119_000), (120_000, 239_000), (240_000, 249_000)]);
    }
}
