//! What the series entries of an index tell of their block when they are read one after the other, without postings and
//! symbols.

use serde::{Deserialize, Serialize};

use crate::series::{RawEntry, entry_len, parse_raw};

/// What was seen of a block's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The first sample of all chunks seen, ms.
    pub min_time: i64,
    /// The last sample of all chunks seen, ms.
    pub max_time: i64,
    /// Series entries read.
    pub series: u64,
    /// Whether these were all entries of the index.
    pub is_complete: bool,
    /// Series, or the labels of one, do not stand in their order.
    pub is_disordered: bool,
}

impl Default for Survey {
    /// A survey of no entries.
    fn default() -> Self {
        Self { min_time: i64::MAX, max_time: i64::MIN, series: 0, is_complete: false, is_disordered: false }
    }
}

impl Survey {
    /// Reads the entries in `bytes`, the begin of the series section of an index of `version`, which lies at `offset` and
    /// goes on to `end`. Stops at the first entry that is cut or corrupt: whoever needs that entry gets the error.
    pub fn of(version: u8, offset: u64, end: u64, bytes: &[u8]) -> Self {
        let mut seen = Self::default();
        let (mut raw, mut before) = (RawEntry::default(), Vec::new());
        let mut at = 0usize;
        loop {
            if version != 1 {
                // Entries begin at multiples of 16 of the file.
                let place = offset.saturating_add(at as u64);
                at += (place.next_multiple_of(16) - place) as usize;
            }
            if offset.saturating_add(at as u64) >= end {
                seen.is_complete = true;
                return seen;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(len) = entry_len(rest).and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= rest.len())
            else {
                return seen;
            };
            if parse_raw("index", 0, rest, &mut raw).is_err() {
                return seen;
            }
            seen.add(&raw, &before);
            std::mem::swap(&mut raw.labels, &mut before);
            at += len;
        }
    }

    /// Symbols are sorted, so that their references order as their strings do.
    fn add(&mut self, raw: &RawEntry, before: &[(u32, u32)]) {
        self.series += 1;
        let is_sorted = raw.labels.is_sorted_by(|a, b| a.0 < b.0) && (self.series == 1 || *before < *raw.labels);
        self.is_disordered |= !is_sorted;
        for chunk in raw.chunks.iter().filter(|c| c.min_time <= c.max_time) {
            self.min_time = self.min_time.min(chunk.min_time);
            self.max_time = self.max_time.max(chunk.max_time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChunkMeta;
    use crate::series::put_entry;

    fn section(version: u8, offset: u64, series: &[(&[(u32, u32)], &[(i64, i64)])]) -> Vec<u8> {
        let (mut out, mut body) = (Vec::new(), Vec::new());
        for (labels, chunks) in series {
            while version != 1 && !(offset + out.len() as u64).is_multiple_of(16) {
                out.push(0);
            }
            let chunk = |(min_time, max_time): &(i64, i64)| ChunkMeta {
                min_time: *min_time,
                max_time: *max_time,
                reference: 8,
            };
            let raw = RawEntry { labels: labels.to_vec(), chunks: chunks.iter().map(chunk).collect() };
            put_entry(&mut out, &mut body, &raw);
        }
        out
    }

    #[test]
    fn what_entries_tell() {
        let sorted: &[(&[(u32, u32)], &[(i64, i64)])] =
            &[(&[(1, 2)], &[(10, 20), (21, 30)]), (&[(1, 2), (3, 4)], &[(5, 9)]), (&[(1, 3)], &[])];
        let [a, b, c] = [sorted[0], sorted[1], sorted[2]];
        let odd: (&[(u32, u32)], &[(i64, i64)]) = (&[(3, 4), (1, 2)], &[(0, 1)]);
        for version in [1, 2] {
            for (series, is_disordered) in
                [(&[a, b, c][..], false), (&[b, a], true), (&[a, a], true), (&[odd], true), (&[c], false), (&[], false)]
            {
                for offset in [5, 16, 37] {
                    let bytes = section(version, offset, series);
                    let end = offset + bytes.len() as u64;
                    let seen = Survey::of(version, offset, end, &bytes);
                    assert!(seen.is_complete && seen.series == series.len() as u64, "{seen:?}");
                    assert_eq!(seen.is_disordered, is_disordered, "{series:?}");
                    let times = series.iter().flat_map(|(_, chunks)| *chunks);
                    assert_eq!(seen.min_time, times.clone().map(|c| c.0).min().unwrap_or(i64::MAX));
                    assert_eq!(seen.max_time, times.map(|c| c.1).max().unwrap_or(i64::MIN));
                    for cut in 0..bytes.len() {
                        let part = Survey::of(version, offset, end, &bytes[..cut]);
                        assert!(!part.is_complete && part.series < series.len() as u64, "{cut}: {part:?}");
                    }
                }
            }
        }
    }
}
