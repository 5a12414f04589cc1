//! Operators that count what they take.

use std::time::Instant;

use labels::Labels;

use crate::describe;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::plan::Plan;
use crate::result::RangeSamples;
use crate::series::StepSeries;
use crate::tree::Node;

/// What was counted when an operator began to work.
struct Before {
    began: Instant,
    total_samples: u64,
    decoded_samples: u64,
    series_read: u64,
    chunk_bytes: u64,
}

impl Before {
    fn now(cx: &Cx) -> Self {
        Self {
            began: Instant::now(),
            total_samples: cx.stats.total_samples,
            decoded_samples: cx.stats.decoded_samples,
            series_read: cx.stats.series,
            chunk_bytes: cx.stats.chunk_bytes,
        }
    }

    fn add_to(&self, at: usize, given: (u64, u64), cx: &mut Cx) {
        let (stats, held) = (&cx.stats, cx.held_samples() as u64);
        let counted = [
            stats.total_samples - self.total_samples,
            stats.decoded_samples - self.decoded_samples,
            stats.series - self.series_read,
            stats.chunk_bytes - self.chunk_bytes,
        ];
        let Some(node) = cx.profile.as_mut().and_then(|profile| profile.node(at)) else { return };
        node.seconds += self.began.elapsed().as_secs_f64();
        node.series += given.0;
        node.samples += given.1;
        node.total_samples += counted[0];
        node.decoded_samples += counted[1];
        node.series_read += counted[2];
        node.chunk_bytes += counted[3];
        node.peak_samples = node.peak_samples.max(held);
    }
}

/// Opens the operator of `plan` by `open`, measured if that was asked for.
pub(crate) fn open(plan: &Plan, cx: &mut Cx, open: impl FnOnce(&mut Cx) -> Result<Stream>) -> Result<Stream> {
    let Some(at) = begin(plan, cx) else { return open(cx) };
    let before = Before::now(cx);
    let stream = open(cx)?;
    before.add_to(at, (0, 0), cx);
    end(cx);
    Ok(Box::new(Measured { stream, at }))
}

/// The samples of a range selector at the top of a query, measured if that was asked for.
pub(crate) fn matrix(
    plan: &Plan,
    cx: &mut Cx,
    read: impl FnOnce(&mut Cx) -> Result<Vec<(Labels, RangeSamples)>>,
) -> Result<Vec<(Labels, RangeSamples)>> {
    let Some(at) = begin(plan, cx) else { return read(cx) };
    let before = Before::now(cx);
    let all = read(cx)?;
    let samples = all.iter().map(|(_, samples)| samples.len() as u64).sum();
    before.add_to(at, (all.len() as u64, samples), cx);
    end(cx);
    Ok(all)
}

fn begin(plan: &Plan, cx: &mut Cx) -> Option<usize> {
    let profile = cx.profile.as_mut()?;
    let node = Node::Vector(plan);
    let name = match describe::range_select(node) {
        Some(select) => format!("{} {select}", describe::name(node)),
        None => describe::name(node),
    };
    Some(profile.begin(name))
}

fn end(cx: &mut Cx) {
    if let Some(profile) = &mut cx.profile {
        profile.end();
    }
}

struct Measured {
    stream: Stream,
    at: usize,
}

impl Operator for Measured {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let before = Before::now(cx);
        let next = self.stream.next(cx)?;
        let given = next.as_ref().map_or((0, 0), |series| (1, series.column.count() as u64));
        before.add_to(self.at, given, cx);
        Ok(next)
    }
}
