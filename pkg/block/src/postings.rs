//! Postings: the ascending ids of the series that have one label pair; and set operations over them.

use encoding::section;

use crate::{Error, Result};

/// Decodes the list at the start of `bytes`, which lie at `offset` of `file`; more bytes may follow it.
///
/// # Errors
/// [`Error::Corrupt`] when it is cut, its checksum differs or ids do not ascend.
pub fn decode(file: &str, offset: u64, bytes: &[u8]) -> Result<Vec<u32>> {
    let list = decode_as_is(file, offset, bytes)?;
    if !is_ascending(&list) {
        return Err(Error::corrupt(file, offset, "postings do not ascend"));
    }
    Ok(list)
}

/// As [`decode`], but puts ids that do not ascend in order; tells whether they did not.
///
/// # Errors
/// [`Error::Corrupt`] when it is cut or its checksum differs.
pub fn decode_sorted(file: &str, offset: u64, bytes: &[u8]) -> Result<(Vec<u32>, bool)> {
    let mut list = decode_as_is(file, offset, bytes)?;
    let is_disordered = !is_ascending(&list);
    if is_disordered {
        list.sort_unstable();
        list.dedup();
    }
    Ok((list, is_disordered))
}

fn is_ascending(list: &[u32]) -> bool {
    list.is_sorted_by(|a, b| a < b)
}

fn decode_as_is(file: &str, offset: u64, bytes: &[u8]) -> Result<Vec<u32>> {
    let body = section(file, offset, "postings", bytes)?;
    let Some((head, ids)) = body.split_first_chunk::<4>() else {
        return Err(Error::corrupt(file, offset, "postings without a count"));
    };
    let count = u32::from_be_bytes(*head) as usize;
    if ids.len() != count.saturating_mul(4) {
        return Err(Error::corrupt(file, offset, format!("{count} postings in {} bytes", ids.len())));
    }
    Ok(ids.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// Bytes of the whole list at the start of `bytes`, or `None` when not even the length is there.
pub fn encoded_len(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<4>().map(|len| u64::from(u32::from_be_bytes(*len)) + 8)
}

/// Appends the list as an index has it: length, ids, checksum.
pub fn encode(ids: &[u32], out: &mut Vec<u8>) {
    let start = out.len() + 4;
    out.extend_from_slice(&(4 + 4 * ids.len() as u32).to_be_bytes());
    out.extend_from_slice(&(ids.len() as u32).to_be_bytes());
    out.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
    let crc = encoding::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// How much longer one list must be for galloping to pay.
const GALLOP_RATIO: usize = 16;

/// Ids in both ascending lists.
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(small.len());
    if large.len() / GALLOP_RATIO > small.len() {
        let mut rest = large;
        for id in small {
            rest = &rest[gallop(rest, *id)..];
            match rest.first() {
                Some(found) if found == id => out.push(*id),
                Some(_) => {}
                None => break,
            }
        }
        return out;
    }
    // Branch-free: which list moves on is unpredictable, a mispredicted jump costs more than the additions.
    let (mut i, mut j) = (0, 0);
    while i < small.len() && j < large.len() {
        let (x, y) = (small[i], large[j]);
        if x == y {
            out.push(x);
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    out
}

/// Ids in all ascending lists, shortest first. No list gives no id.
pub fn intersect_all(mut lists: Vec<Vec<u32>>) -> Vec<u32> {
    lists.sort_by_key(Vec::len);
    let mut lists = lists.into_iter();
    let Some(mut out) = lists.next() else { return Vec::new() };
    for list in lists {
        if out.is_empty() {
            break;
        }
        out = intersect(&out, &list);
    }
    out
}

/// Ids of `a` that are not in `b`.
pub fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len());
    let mut rest = b;
    let gallops = b.len() / GALLOP_RATIO > a.len();
    for id in a {
        let skip = if gallops { gallop(rest, *id) } else { rest.iter().take_while(|x| *x < id).count() };
        rest = &rest[skip..];
        if rest.first() != Some(id) {
            out.push(*id);
        }
    }
    out
}

/// Ids in any of the ascending lists.
pub fn merge(lists: Vec<Vec<u32>>) -> Vec<u32> {
    let mut lists: Vec<Vec<u32>> = lists.into_iter().filter(|l| !l.is_empty()).collect();
    match lists.len() {
        0 => return Vec::new(),
        1 => return lists.swap_remove(0),
        _ => {}
    }
    let total: usize = lists.iter().map(Vec::len).sum();
    let max = lists.iter().filter_map(|l| l.last()).max().map_or(0, |m| *m as usize);
    // Dense: a bitmap beats comparing. One bit per possible id against 32 per id given.
    if max / 8 <= total {
        return merge_by_bitmap(&lists, max);
    }
    // Pairwise, smallest first, each id moves log(lists) times.
    while lists.len() > 1 {
        lists.sort_by_key(|l| std::cmp::Reverse(l.len()));
        let mut next = Vec::with_capacity(lists.len().div_ceil(2));
        while let Some(a) = lists.pop() {
            next.push(match lists.pop() {
                Some(b) => merge_two(&a, &b),
                None => a,
            });
        }
        lists = next;
    }
    lists.swap_remove(0)
}

fn merge_by_bitmap(lists: &[Vec<u32>], max: usize) -> Vec<u32> {
    let mut words = vec![0u64; max / 64 + 1];
    for id in lists.iter().flatten() {
        words[*id as usize / 64] |= 1 << (id % 64);
    }
    let mut out = Vec::with_capacity(words.iter().map(|w| w.count_ones() as usize).sum());
    for (i, mut word) in words.into_iter().enumerate() {
        while word != 0 {
            out.push((i * 64) as u32 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    out
}

fn merge_two(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        out.push(x.min(y));
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}

/// Position of the first id not below `id`, by doubling steps from the front.
fn gallop(list: &[u32], id: u32) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < id {
        step *= 2;
    }
    let low = step / 2;
    let high = (step + 1).min(list.len());
    low + list[low..high].partition_point(|x| *x < id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn corrupt_lists_are_errors() {
        let mut bytes = Vec::new();
        encode(&[1, 5, 9], &mut bytes);
        assert_eq!(decode("index", 40, &bytes).unwrap(), [1, 5, 9]);
        assert_eq!(encoded_len(&bytes), Some(bytes.len() as u64));
        for len in 0..bytes.len() {
            assert!(decode("index", 40, &bytes[..len]).unwrap_err().to_string().starts_with("index: offset "));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("index", 40, &bad).is_err(), "bit {bit}");
        }
        let mut bytes = Vec::new();
        encode(&[5, 5], &mut bytes);
        assert_eq!(decode("index", 0, &bytes).unwrap_err().to_string(), "index: offset 0: postings do not ascend");
    }

    proptest::proptest! {
        #[test]
        fn sets(a: BTreeSet<u16>, b: BTreeSet<u16>, few: BTreeSet<u8>, scale in 1u32..5000) {
            let list = |s: &BTreeSet<u32>| s.iter().copied().collect::<Vec<u32>>();
            let wide = |s: &BTreeSet<u16>| s.iter().map(|x| u32::from(*x) % 300 * scale).collect::<BTreeSet<u32>>();
            let (a, b) = (wide(&a), wide(&b));
            let few: BTreeSet<u32> = few.iter().take(3).map(|x| u32::from(*x) * scale).collect();
            for (x, y) in [(&a, &b), (&a, &few), (&few, &a)] {
                let (lx, ly) = (list(x), list(y));
                proptest::prop_assert_eq!(intersect(&lx, &ly), x.intersection(y).copied().collect::<Vec<_>>());
                proptest::prop_assert_eq!(subtract(&lx, &ly), x.difference(y).copied().collect::<Vec<_>>());
                proptest::prop_assert_eq!(merge(vec![lx, ly, vec![]]), x.union(y).copied().collect::<Vec<_>>());
            }
            let all = merge(vec![list(&a), list(&b), list(&few)]);
            proptest::prop_assert_eq!(all, list(&(&(&a | &b) | &few)));
            proptest::prop_assert_eq!(intersect_all(vec![list(&a), list(&b), list(&few)]), list(&(&(&a & &b) & &few)));
        }
    }
}
