//! Series without the labels that nobody looks at. What they were told apart and ordered by is then the label of the empty
//! name, which no series has of its own: its value counts the series. Only who reads a single stream may ask for it, since
//! streams are merged by all labels.

use std::sync::Arc;

use futures::stream::StreamExt;
use labels::{Labels, SortedBuilder};

use crate::{Select, Series, SeriesEvent, SeriesStream};

/// The name of the label that stands for those that were left out.
pub const PLACE: &str = "";
/// Bits in a character of a place, and characters: values of one length sort as their numbers do.
const BITS: u32 = 6;
const LEN: usize = u64::BITS.div_ceil(BITS) as usize;

/// The value of [`PLACE`] for the series of a number.
#[derive(Debug, Clone, Copy)]
pub struct Place([u8; LEN]);

impl Place {
    /// Places sort as their numbers do.
    pub fn new(number: u64) -> Self {
        let digit = |at: usize| b'0' + (number >> (BITS * (LEN - 1 - at) as u32) & ((1 << BITS) - 1)) as u8;
        Self(std::array::from_fn(digit))
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        // ASCII, as made above.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Leaves labels out of the series of one stream.
#[derive(Debug)]
pub struct Projection {
    /// Sorted.
    names: Arc<[String]>,
    before: Option<Labels>,
    number: u64,
    builder: SortedBuilder,
}

impl Projection {
    /// Keeps the labels of `names`, which are sorted.
    pub fn new(names: Arc<[String]>) -> Self {
        Self { names, before: None, number: 0, builder: SortedBuilder::new() }
    }

    /// What `want` leaves of `stream`, which is sorted by all labels.
    pub fn of(want: &Select, stream: SeriesStream) -> SeriesStream {
        let Some(names) = want.labels.clone() else { return stream };
        let mut projection = Self::new(names);
        stream
            .map(move |event| {
                event.map(|event| match event {
                    SeriesEvent::Batch(mut batch) => {
                        batch.iter_mut().for_each(|series| projection.apply(series));
                        SeriesEvent::Batch(batch)
                    }
                    warning => warning,
                })
            })
            .boxed()
    }

    /// Leaves labels out of the next series. One that goes on from the entry before does so afterwards, and one that has a
    /// place already keeps it.
    pub fn apply(&mut self, series: &mut Series) {
        if is_projected(&series.labels) {
            return;
        }
        if self.before.as_ref() != Some(&series.labels) {
            self.number += 1;
        }
        let labels = self.labels(&series.labels);
        self.before = Some(std::mem::replace(&mut series.labels, labels));
    }

    fn labels(&mut self, full: &Labels) -> Labels {
        let builder = &mut self.builder;
        builder.clear();
        // Names ascend, and the empty one is the first.
        let mut sorted = builder.push(PLACE, Place::new(self.number).as_str());
        let mut names = self.names.iter().peekable();
        for (name, value) in full.iter() {
            while names.next_if(|wanted| wanted.as_str() < name).is_some() {}
            if names.peek().is_some_and(|wanted| *wanted == name) {
                sorted = sorted.and_then(|()| builder.push(name, value));
            }
        }
        match sorted {
            Ok(()) => builder.finish(),
            // Not reached: labels are sorted.
            Err(_) => full.clone(),
        }
    }
}

/// Whether labels were left out.
pub fn is_projected(labels: &Labels) -> bool {
    labels.iter_bytes().next().is_some_and(|(name, _)| name.is_empty())
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::collect_series;

    #[test]
    fn places_sort_as_their_numbers() {
        let numbers = [0, 1, 63, 64, 4095, 4096, 1 << 32, u64::MAX - 1, u64::MAX];
        let places = numbers.map(|n| Place::new(n).as_str().to_owned());
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    }

    #[tokio::test]
    async fn series_stay_apart_and_together() {
        let series =
            |pairs: &[(&str, &str)]| Series { labels: Labels::from_pairs(pairs.iter().copied()), chunks: vec![] };
        let (a, b) = (
            series(&[("job", "a"), ("pod", "1"), ("zone", "x")]),
            series(&[("job", "a"), ("pod", "2"), ("zone", "x")]),
        );
        let batches = [vec![a.clone()], vec![a, b.clone(), b], vec![series(&[("pod", "9")])]];
        let stream = stream::iter(batches.map(|batch| Ok(SeriesEvent::Batch(batch)))).boxed();
        let mut want = Select::new(model::TimeRange::ALL, []);
        want.labels = Some(Arc::from(["job".to_owned(), "none".to_owned(), "zone".to_owned()]));
        // Twice is once.
        let got = collect_series(Projection::of(&want, Projection::of(&want, stream))).await.unwrap().value;
        let labels: Vec<Labels> = got.into_iter().map(|series| series.labels).collect();
        assert_eq!(labels.len(), 3);
        assert!(labels.is_sorted() && labels.iter().all(is_projected));
        let shown = labels.iter().map(|l| (l.value("job"), l.value("zone"), l.value("pod")));
        assert_eq!(shown.collect::<Vec<_>>(), [("a", "x", ""), ("a", "x", ""), ("", "", "")]);
    }
}
