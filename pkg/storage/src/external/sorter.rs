//! Order by final labels.
//!
//! A server streams series in the order of their own labels. Putting the same external labels on all of them changes
//! that order in two ways only:
//!
//! - A series whose own labels are the beginning of another's (`{up}` and `{up, job="x"}`) comes first; with an external
//!   label that sorts behind `job` it belongs behind. So a series waits until the stream has left those that begin with
//!   its labels. This holds very few series.
//! - A series has a label of an external label's name itself, or one that is taken away. Then anything may happen: all
//!   series are held to the end, within the request's budget.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::{Chunk, Error, Result, Series, Shard};
use labels::Labels;

/// Series in, with labels as the server has them, with or without the external ones; series out, with final labels and in their order.
#[derive(Debug)]
pub struct Sorter {
    external: Labels,
    without: Arc<[String]>,
    shard: Option<Shard>,
    /// Whether series may go out before the last has come.
    streaming: bool,
    held: BinaryHeap<Reverse<Held>>,
    arrived: u64,
    held_bytes: usize,
    last_out: Option<Labels>,
}

#[derive(Debug)]
struct Held {
    series: Series,
    sent: Labels,
    arrived: u64,
}

impl Sorter {
    /// `streaming` = no series has labels of its own with the names of `external` or in `without`, as far as is known.
    pub fn new(external: Labels, without: Arc<[String]>, shard: Option<Shard>, streaming: bool) -> Self {
        Self { external, without, shard, streaming, held: BinaryHeap::new(), arrived: 0, held_bytes: 0, last_out: None }
    }

    /// Bytes of the series that wait.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes the next series of the stream; `out` gets those whose turn has come.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a series should have gone out before one that has.
    pub fn push(&mut self, sent: Labels, chunks: Vec<Chunk>, out: &mut Vec<Series>) -> Result<()> {
        if self.streaming && self.surprises(&sent) {
            self.streaming = false;
        }
        let mut series = Series { labels: sent.overlay(&self.external), chunks };
        if !self.without.is_empty() {
            series.strip_replica_labels(&self.without);
        }
        if self.shard.as_ref().is_some_and(|s| !s.matches(&series.labels)) {
            return Ok(());
        }
        if self.streaming {
            while self.held.peek().is_some_and(|Reverse(h)| !self.begins(&h.sent, &sent)) {
                self.release(out)?;
            }
        }
        self.held_bytes += series.size_bytes();
        self.arrived += 1;
        self.held.push(Reverse(Held { series, sent, arrived: self.arrived }));
        Ok(())
    }

    /// The stream has ended: everything goes out.
    ///
    /// # Errors
    /// As those of [`Sorter::push`].
    pub fn finish(&mut self, out: &mut Vec<Series>) -> Result<()> {
        let first = out.len();
        while !self.held.is_empty() {
            self.release(out)?;
            // Series that came to have the same labels are one.
            let at = out.len() - 1;
            if at > first && out[at].labels == out[at - 1].labels {
                let Some(same) = out.pop() else { break };
                out[at - 1].chunks.extend(same.chunks);
            }
        }
        for series in &mut out[first..] {
            if !series.chunks.is_sorted_by_key(|c| (c.min_time, c.max_time)) {
                series.chunks.sort_by_key(|c| (c.min_time, c.max_time));
            }
        }
        Ok(())
    }

    fn release(&mut self, out: &mut Vec<Series>) -> Result<()> {
        let Some(Reverse(held)) = self.held.pop() else { return Ok(()) };
        self.held_bytes = self.held_bytes.saturating_sub(held.series.size_bytes());
        if self.last_out.as_ref().is_some_and(|last| *last > held.series.labels) {
            // A label of an external label's name has appeared since the label names were last looked at.
            let text = format!("series {} came too late to be put in order: ask again", held.series.labels);
            return Err(Error::Unavailable(text));
        }
        self.last_out = Some(held.series.labels.clone());
        out.push(held.series);
        Ok(())
    }

    /// Whether the series has labels that were not expected.
    fn surprises(&self, sent: &Labels) -> bool {
        let differs = |(n, v): (&str, &str)| sent.get(n).is_some_and(|own| own != v);
        let taken = |n: &String| sent.get(n).is_some() && self.external.get(n).is_none();
        self.external.iter().any(differs) || self.without.iter().any(taken)
    }

    /// Whether `a`'s own labels are the beginning of `b`'s, and not all of them.
    fn begins(&self, a: &Labels, b: &Labels) -> bool {
        let mut a = a.iter().filter(|(n, _)| self.external.get(n).is_none());
        let mut b = b.iter().filter(|(n, _)| self.external.get(n).is_none());
        loop {
            match (a.next(), b.next()) {
                (None, Some(_)) => return true,
                (Some(x), Some(y)) if x == y => {}
                _ => return false,
            }
        }
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.series.labels.cmp(&other.series.labels).then(self.arrived.cmp(&other.arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chunkenc::Encoding;

    /// `a=1,b=2` as labels.
    fn set(text: &str) -> Labels {
        Labels::from_pairs(text.split(',').filter_map(|p| p.split_once('=')))
    }

    /// Sends `own` (sorted here, external labels put beneath, as Prometheus does); gives final labels and how many
    /// series were held at most.
    fn run(own: &[&str], external: &str, without: &[&str], streaming: bool) -> Result<(Vec<String>, usize)> {
        let mut own: Vec<_> = own.iter().map(|t| set(t)).collect();
        own.sort();
        let external = set(external);
        let without: Arc<[String]> = without.iter().map(|t| (*t).to_owned()).collect();
        let mut sorter = Sorter::new(external.clone(), without, None, streaming);
        let (mut out, mut most) = (Vec::new(), 0);
        for (n, labels) in own.iter().enumerate() {
            let t = n as i64;
            let chunk = Chunk::raw(t, t, Encoding::Xor, Bytes::new());
            sorter.push(external.overlay(labels), vec![chunk], &mut out)?;
            most = most.max(sorter.held.len());
        }
        sorter.finish(&mut out)?;
        assert!(out.is_sorted_by(|a, b| a.labels < b.labels), "{out:?}");
        assert_eq!(out.iter().map(|s| s.chunks.len()).sum::<usize>(), own.len());
        Ok((out.iter().map(|s| s.labels.to_string()).collect(), most))
    }

    #[test]
    fn beginnings_wait() {
        let own = ["n=up", "n=up,b=1", "n=up,z=1", "n=down,b=1", "n=down,b=1,c=2", "n=up,b=1,c=2", "n=x"];
        for external in ["m=e", "a=e", "y=e", "o=e", "b1=e", "zz=e", ""] {
            let (got, most) = run(&own, external, &[], true).unwrap();
            let mut want: Vec<_> = own.iter().map(|t| set(t).overlay(&set(external))).collect();
            want.sort();
            assert_eq!(got, want.iter().map(Labels::to_string).collect::<Vec<_>>(), "{external}");
            assert!(most <= 3, "{most} held");
        }
    }

    #[test]
    fn taken_away_external_label() {
        let (got, most) = run(&["n=a,b=1", "n=a,b=2", "n=b"], "r=1,c=eu", &["r"], true).unwrap();
        assert_eq!(got, [r#"{b="1", c="eu", n="a"}"#, r#"{b="2", c="eu", n="a"}"#, r#"{c="eu", n="b"}"#]);
        assert!(most <= 2);
    }

    #[test]
    fn own_labels_of_that_name() {
        // The external label replaces `c`, which orders the stream.
        let own = ["n=a,c=1,d=9", "n=a,c=2,d=1", "n=a,d=5"];
        let (got, _) = run(&own, "c=eu", &[], false).unwrap();
        assert_eq!(got.len(), 3);
        // Seen only after a series went out: an error, or the right order, never a wrong one.
        let _ = run(&own, "c=eu", &[], true);
    }

    #[test]
    fn equal_after_taking_away() {
        let (got, _) = run(&["n=a,r=1", "n=a,r=2", "n=b,r=1"], "x=e", &["r"], false).unwrap();
        assert_eq!(got, [r#"{n="a", x="e"}"#, r#"{n="b", x="e"}"#]);
    }

    #[test]
    fn replicas_are_told_apart() {
        let mut sorter = Sorter::new(set("r=1"), Arc::from(["r".to_owned()]), None, true);
        let mut out = Vec::new();
        sorter.push(set("n=a"), vec![Chunk::raw(0, 1, Encoding::Xor, Bytes::new())], &mut out).unwrap();
        sorter.finish(&mut out).unwrap();
        assert_eq!((out[0].labels.to_string().as_str(), out[0].chunks[0].replica != 0), (r#"{n="a"}"#, true));
    }
}
