//! The buckets of two histograms side by side.

use histogram::Span;

use crate::layout::bucket_count;

/// How two lists of spans join.
pub(crate) struct Union {
    /// Covers both; the old or new list itself where that does.
    pub(crate) spans: Vec<Span>,
    /// For each bucket of the union its place in the old list.
    pub(crate) from_old: Vec<Option<usize>>,
    /// The same for the new list.
    pub(crate) from_new: Vec<Option<usize>>,
}

impl Union {
    pub(crate) fn of(old: &[Span], new: &[Span]) -> Self {
        let (a, b) = (indices(old), indices(new));
        let (mut from_old, mut from_new, mut spans) = (Vec::new(), Vec::new(), Vec::<Span>::new());
        let (mut i, mut j, mut end) = (0, 0, 0i64);
        while i < a.len() || j < b.len() {
            let (x, y) = (a.get(i).copied().unwrap_or(i64::MAX), b.get(j).copied().unwrap_or(i64::MAX));
            let index = x.min(y);
            from_old.push((x == index).then_some(i));
            from_new.push((y == index).then_some(j));
            i += usize::from(x == index);
            j += usize::from(y == index);
            match spans.last_mut() {
                Some(span) if index == end => span.length += 1,
                _ => spans.push(Span { offset: (index - end) as i32, length: 1 }),
            }
            end = index + 1;
        }
        if from_old.iter().all(Option::is_some) {
            spans = old.to_vec();
        } else if from_new.iter().all(Option::is_some) {
            spans = new.to_vec();
        }
        Self { spans, from_old, from_new }
    }

    pub(crate) fn widens(&self) -> bool {
        self.from_old.iter().any(Option::is_none)
    }

    pub(crate) fn decreases<C: Copy + PartialOrd + Default>(&self, old: &[C], new: &[C]) -> bool {
        let at = |list: &[C], place: &Option<usize>| place.map_or(C::default(), |i| list[i]);
        self.from_old.iter().zip(&self.from_new).any(|(o, n)| o.is_some() && at(old, o) > at(new, n))
    }

    pub(crate) fn spread<C: Copy + Default>(from: &[Option<usize>], list: &[C]) -> Vec<C> {
        from.iter().map(|place| place.map_or(C::default(), |i| list[i])).collect()
    }
}

/// The index of each bucket that `spans` cover.
fn indices(spans: &[Span]) -> Vec<i64> {
    let mut out = Vec::with_capacity(bucket_count(spans));
    let mut at = 0i64;
    for span in spans {
        at += i64::from(span.offset);
        out.extend(at..at + i64::from(span.length));
        at += i64::from(span.length);
    }
    out
}
