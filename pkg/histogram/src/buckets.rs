//! Buckets by index.

use std::ops::AddAssign;

use crate::Span;

/// Index and count of each bucket that `spans` cover, as far as there are counts.
pub fn indexed<'a, C: Copy>(spans: &'a [Span], counts: &'a [C]) -> impl Iterator<Item = (i32, C)> + 'a {
    let mut next = 0i32;
    let indices = spans.iter().flat_map(move |span| {
        let start = next.wrapping_add(span.offset);
        next = start.wrapping_add(span.length as i32);
        (0..span.length).map(move |i| start.wrapping_add(i as i32))
    });
    indices.zip(counts.iter().copied())
}

/// Spans and counts of buckets with ascending indices; neighbours share a span.
pub fn collect<C>(buckets: impl Iterator<Item = (i32, C)>) -> (Vec<Span>, Vec<C>) {
    // As many as there are at most: some iterators leave buckets out.
    let most = buckets.size_hint().1.unwrap_or(0);
    let (mut spans, mut counts): (Vec<Span>, Vec<C>) = (Vec::new(), Vec::with_capacity(most));
    let mut next = 0i32;
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        counts.push(count);
        next = index.wrapping_add(1);
    }
    (spans, counts)
}

/// The bucket of a coarser schema that bucket `index` lies in.
pub(crate) fn coarser(index: i32, halvings: u32) -> i32 {
    (index.wrapping_sub(1) >> halvings.min(31)).wrapping_add(1)
}

/// The same buckets in a schema that is `halvings` steps coarser.
pub(crate) fn reduce<C: Copy + AddAssign>(spans: &[Span], counts: &[C], halvings: u32) -> (Vec<Span>, Vec<C>) {
    let mut merged: Vec<(i32, C)> = Vec::with_capacity(counts.len());
    for (index, count) in indexed(spans, counts) {
        let index = coarser(index, halvings);
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => merged.push((index, count)),
        }
    }
    collect(merged.into_iter())
}

/// The buckets of `a` plus those of `b`. Spans of `a` stay as they are cut: a bucket that only `b` has goes to the span
/// before it, else to the span behind it, else makes one of its own; as Prometheus does, since chunks hold the spans.
pub(crate) fn add(
    (a_spans, a_counts): (&[Span], &[f64]),
    b: impl Iterator<Item = (i32, f64)>,
) -> (Vec<Span>, Vec<f64>) {
    let mut out = Joined::default();
    // Index, count, whether it begins a span.
    let mut begins = a_spans.iter().flat_map(|s| (0..s.length).map(|i| i == 0));
    let mut a = indexed(a_spans, a_counts).map(|(i, c)| (i, c, begins.next().unwrap_or(false))).peekable();
    for (index, count) in b {
        while let Some((i, c, begins)) = a.next_if(|(i, ..)| *i < index) {
            out.push(i, c, begins);
        }
        if let Some((i, c, begins)) = a.next_if(|(i, ..)| *i == index) {
            out.push(i, c + count, begins);
            continue;
        }
        let before = out.next == Some(index);
        let behind = a.peek().is_some_and(|(i, ..)| *i == index.wrapping_add(1));
        out.push(index, count, !before);
        out.hold_open = !before && behind;
    }
    for (i, c, begins) in a {
        out.push(i, c, begins);
    }
    (out.spans, out.counts)
}

#[derive(Default)]
struct Joined {
    spans: Vec<Span>,
    counts: Vec<f64>,
    /// The index behind the last bucket.
    next: Option<i32>,
    /// The next bucket belongs to the last span, though it began one.
    hold_open: bool,
}

impl Joined {
    fn push(&mut self, index: i32, count: f64, begins: bool) {
        let begins = begins && !std::mem::take(&mut self.hold_open);
        match self.spans.last_mut() {
            Some(span) if !begins => span.length += 1,
            _ => self.spans.push(Span { offset: index.wrapping_sub(self.next.unwrap_or(0)), length: 1 }),
        }
        self.counts.push(count);
        self.next = Some(index.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn adds() {
        let a = ([span(0, 2), span(1, 2)], [1.0, 2.0, 4.0, 8.0]);
        for (b_spans, spans, counts) in [
            (vec![span(0, 2)], vec![span(0, 2), span(1, 2)], vec![2.0, 3.0, 4.0, 8.0]),
            // Before all, next to all, between.
            (vec![span(-3, 1)], vec![span(-3, 1), span(2, 2), span(1, 2)], vec![1.0, 1.0, 2.0, 4.0, 8.0]),
            (vec![span(-1, 1)], vec![span(-1, 3), span(1, 2)], vec![1.0, 1.0, 2.0, 4.0, 8.0]),
            (vec![span(2, 1)], vec![span(0, 3), span(0, 2)], vec![1.0, 2.0, 1.0, 4.0, 8.0]),
            (vec![span(5, 1)], vec![span(0, 2), span(1, 3)], vec![1.0, 2.0, 4.0, 8.0, 1.0]),
            (vec![span(7, 2)], vec![span(0, 2), span(1, 2), span(2, 2)], vec![1.0, 2.0, 4.0, 8.0, 1.0, 1.0]),
        ] {
            let ones = vec![1.0; b_spans.iter().map(|s| s.length as usize).sum()];
            let got = add((&a.0, &a.1), indexed(&b_spans, &ones));
            assert_eq!(got, (spans, counts), "{b_spans:?}");
        }
        // A gap of three: the bucket next to the span behind goes to it.
        let wide = [span(0, 1), span(3, 1)];
        let got = add((&wide, &[1.0, 1.0]), [(3, 5.0)].into_iter());
        assert_eq!(got, (vec![span(0, 1), span(2, 2)], vec![1.0, 5.0, 1.0]));
        assert_eq!(add((&[], &[]), [(3, 5.0), (4, 1.0)].into_iter()), (vec![span(3, 2)], vec![5.0, 1.0]));
    }

    #[test]
    fn reduces() {
        let spans = [span(-1, 5), span(4, 1)];
        let got = reduce(&spans, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 1);
        assert_eq!(got, (vec![span(0, 3), span(1, 1)], vec![3.0, 12.0, 16.0, 32.0]));
    }
}
