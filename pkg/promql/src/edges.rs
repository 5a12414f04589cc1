//! Functions of ranges over counters of native histograms, of whose windows only the first and the last sample matter.

use std::sync::Arc;

use chunkenc::{EdgeChunk, EdgeNumbers, HistogramEdges};
use histogram::{FloatHistogram, ResetHint};

use crate::eval::{Cx, Result};
use crate::mixed::{HistogramKernel, Sample, put, window};
use crate::native::{as_samples, is_clear_of_zero};
use crate::notes::Notes;
use crate::samples::HistogramSamples;
use crate::window::Windows;
use crate::{QueryError, StepColumn};

/// A window of at least two samples of one layout, between which no counter was reset.
pub(crate) struct EdgeWindow<'a> {
    pub times: &'a [i64],
    pub start_ms: i64,
    pub end_ms: i64,
    pub first: EdgeNumbers<'a>,
    pub last: EdgeNumbers<'a>,
    /// What all of its histograms have in common.
    pub layout: &'a FloatHistogram,
    /// Buckets that come out empty may stay.
    pub loose: bool,
}

/// Makes any histogram the value of a window.
pub(crate) type EdgeKernel = fn(&EdgeWindow<'_>, &mut FloatHistogram);

/// What the windows of a chunk's samples have to know of it.
struct Course {
    /// What its histograms have in common: with count and sum only, no more than the schema.
    layout: FloatHistogram,
    /// As how many samples a histogram counts, and all of the chunks before do.
    weight: usize,
    weight_before: usize,
    /// Whether a counter was reset since the chunk before.
    reset: bool,
    /// The first chunk from which on all have one layout and no counter was reset; one behind it where its own layout is none
    /// that edges do for.
    steady_since: usize,
}

/// Calculates all steps of the series in `windows`: where edges are all that matters by `edge_kernel`, else by `kernel`. Of a
/// single histogram nothing follows.
pub(crate) fn run(
    windows: &mut Windows,
    edge_kernel: EdgeKernel,
    kernel: HistogramKernel,
    loose: bool,
    metric: &str,
    column: &mut StepColumn,
    cx: &mut Cx,
) -> Result<()> {
    let courses = courses(&windows.samples.edges);
    let (mut resets, mut held) = (Vec::new(), 0);
    if courses.last().is_some_and(|course| course.steady_since > 0) {
        held = whole_bytes(&windows.samples.edges, &courses);
        cx.hold(0, held)?;
        (windows.samples.histograms, resets) = whole(&windows.samples.edges, &courses);
    }
    let edges = &windows.samples.edges;
    let (places, distance) = windows.places(&edges.times, cx.lookback_ms);
    let steps = windows.grid.steps();
    let mut notes = Notes::default();
    let (mut first_chunk, mut last_chunk, mut looked_at) = (0, 0, 0);
    for (step, (low, high)) in places.iter().take(steps).zip(&places[distance..]).enumerate() {
        let (low, high) = (*low as usize, *high as usize);
        if low >= high {
            continue;
        }
        first_chunk = chunk_of(edges, first_chunk, low);
        last_chunk = chunk_of(edges, last_chunk, high - 1);
        let weight = |chunk: usize, i: usize| {
            courses[chunk].weight_before + (i - edges.chunks[chunk].first) * courses[chunk].weight
        };
        let seen = weight(last_chunk, high) - weight(first_chunk, low);
        cx.work(seen + 1)?;
        looked_at += seen as u64;
        if let Some(counts) = cx.step_counters(windows.grid) {
            counts[step] += seen as u64;
        }
        let (start_ms, end_ms) = windows.bounds(step);
        let value = if courses[last_chunk].steady_since > first_chunk {
            kernel(&window(windows, &resets, step, 0..0, low..high), &mut notes)
        } else if low + 1 < high {
            let numbers = |i: usize, chunk: usize| edges.numbers(i, &edges.chunks[chunk]).ok_or_else(not_kept);
            let (first, last) = (numbers(low, first_chunk)?, numbers(high - 1, last_chunk)?);
            let (times, layout) = (&edges.times[low..high], &courses[last_chunk].layout);
            let window = EdgeWindow { times, start_ms, end_ms, first, last, layout, loose };
            Some(Sample::Histogram(cx.histograms.make(|out| edge_kernel(&window, out))))
        } else {
            None
        };
        held += put(value, step, column, cx)?;
    }
    // Who keeps the column counts it.
    cx.release(0, held);
    windows.samples.histograms.clear();
    cx.stats.total_samples += looked_at;
    cx.annotations.notes(notes, metric, windows.first_span);
    Ok(())
}

fn not_kept() -> QueryError {
    QueryError::Execution("a native histogram at the edge of a window was not decoded".to_owned())
}

/// The chunk of sample `i`, going on from `chunk`.
fn chunk_of(edges: &HistogramEdges, mut chunk: usize, i: usize) -> usize {
    while edges.chunks[chunk].last < i {
        chunk += 1;
    }
    chunk
}

fn courses(edges: &HistogramEdges) -> Vec<Course> {
    let mut all: Vec<Course> = Vec::with_capacity(edges.chunks.len());
    let (mut steady_since, mut weight_before) = (0, 0);
    for (at, chunk) in edges.chunks.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &edges.chunks[before]);
        let goes_on = before.is_some_and(|before| before.layout == chunk.layout);
        let reset = before.is_some_and(|before| is_reset(edges, before, chunk, goes_on));
        if !is_clear_of_zero(&chunk.layout) {
            steady_since = at + 1;
        } else if reset || !goes_on {
            steady_since = at;
        }
        let layout = match edges.stats_only {
            true => FloatHistogram { schema: chunk.layout.schema, ..FloatHistogram::default() },
            false => chunk.layout.clone(),
        };
        let buckets = if edges.stats_only { 0 } else { chunk.positive + chunk.negative };
        let weight = as_samples(&layout, buckets);
        all.push(Course { layout, weight, weight_before, reset, steady_since });
        weight_before += weight * (chunk.last + 1 - chunk.first);
    }
    all
}

/// Whether a counter was reset between two chunks.
fn is_reset(edges: &HistogramEdges, before: &EdgeChunk, chunk: &EdgeChunk, same_layout: bool) -> bool {
    let (Some([_, last]), Some([first, _])) = (edges.ends(before), edges.ends(chunk)) else { return true };
    let falls = |now: &[f64], before: &[f64]| now.iter().zip(before).any(|(now, before)| now < before);
    // As most often, for which no bounds have to be looked at.
    let rises = same_layout
        && !falls(&[first.count, first.zero_count], &[last.count, last.zero_count])
        && !falls(first.positive, last.positive)
        && !falls(first.negative, last.negative);
    !rises && histogram(&chunk.layout, first).is_reset_since(&histogram(&before.layout, last))
}

fn histogram(layout: &FloatHistogram, numbers: EdgeNumbers<'_>) -> FloatHistogram {
    FloatHistogram {
        count: numbers.count,
        sum: numbers.sum,
        zero_count: numbers.zero_count,
        positive_buckets: numbers.positive.to_vec(),
        negative_buckets: numbers.negative.to_vec(),
        ..layout.clone()
    }
}

/// What [`whole`] makes takes so many bytes at most.
fn whole_bytes(edges: &HistogramEdges, courses: &[Course]) -> usize {
    let of_samples = edges.times.len() * (size_of::<(i64, Arc<FloatHistogram>)>() + size_of::<bool>());
    let of_chunk = |(chunk, course): (&EdgeChunk, &Course)| {
        let kept = (chunk.first..=chunk.last).filter(|i| edges.numbers(*i, chunk).is_some()).count();
        (kept + 1) * (course.weight + 1) * 16
    };
    of_samples + edges.chunks.iter().zip(courses).map(of_chunk).sum::<usize>()
}

/// All histograms, in the place of those that were left out the first one of their chunk; and which were reset since the one
/// before.
fn whole(edges: &HistogramEdges, courses: &[Course]) -> (HistogramSamples, Vec<bool>) {
    let mut out = HistogramSamples::default();
    let mut resets = vec![false; edges.times.len()];
    for (chunk, course) in edges.chunks.iter().zip(courses) {
        let built = |i: usize, reset_hint: ResetHint| {
            let numbers = edges.numbers(i, chunk)?;
            Some(Arc::new(FloatHistogram { reset_hint, ..histogram(&course.layout, numbers) }))
        };
        resets[chunk.first] = course.reset;
        let left_out = built(chunk.first, ResetHint::NotReset).unwrap_or_default();
        for i in chunk.first..=chunk.last {
            let hint = if i == chunk.first { ResetHint::Unknown } else { ResetHint::NotReset };
            out.push(edges.times[i], built(i, hint).unwrap_or_else(|| left_out.clone()));
        }
    }
    (out, resets)
}
