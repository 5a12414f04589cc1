//! Downsampled chunks that overlap, window by window.
//!
//! In each window the aggregates of the lane are taken that has most samples there; of equals, the lane taken before. So
//! a window never counts a scrape twice, whatever the method. Chunks of which every window is taken go as they are. In
//! what is rewritten the counter goes on by the increase of the lane that is taken, over its own window before: a
//! reset counts where the lane saw one, and going from one lane to another is none. Where the first or last true value
//! of a counter is not known, one is written that makes readers see just that. Of histograms see `held`.

use chunkenc::TimedChunk;
use downsample::Downsampler;
use model::Resolution;

use super::chunk::{LaneChunk, MergeError, Merged};
use super::held::{Shown, held};
use super::windows::{Counter, Windows};
use super::windows_write::{Choice, Piece, write};

/// A window: which chunk, which of its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) chunk: usize,
    pub(crate) window: usize,
}

/// Merges a run of overlapping chunks, some or all of them downsampled.
pub(crate) fn merge(run: &[LaneChunk], out: &mut Vec<TimedChunk>, merged: &mut Merged) -> Result<(), MergeError> {
    let list = windows_of(run)?;
    let chosen = choose(&list);
    let all: usize = list.iter().map(Windows::len).sum();
    merged.samples_left_out += (all - chosen.len()) as u64;
    let increases = increases(&list, &chosen);
    let shown = held(&list, &chosen, resolution(&list));
    let pieces = pieces(&list, &chosen, &shown);
    write(&list, Choice { chosen: &chosen, increases: &increases, shown: &shown }, &pieces, out, merged)
}

/// All chunks as windows; raw ones are downsampled to the resolution of the others.
fn windows_of(run: &[LaneChunk]) -> Result<Vec<Windows>, MergeError> {
    let mut list = Vec::with_capacity(run.len());
    let mut raw: Vec<&LaneChunk> = Vec::new();
    for lane in run {
        match lane.chunk.encoding {
            chunkenc::Encoding::Aggregates => list.push(Windows::of(lane, true)?),
            _ => raw.push(lane),
        }
    }
    let resolution_ms = resolution(&list);
    let mut downsampler = Downsampler::new();
    for lane in raw {
        let mut chunks = Vec::new();
        downsampler.raw(std::slice::from_ref(&lane.chunk), resolution_ms, &mut chunks).map_err(|e| match e {
            downsample::Error::Chunk { min_time, max_time, source } => {
                MergeError::Chunk { min_time, max_time, replica: lane.replica, source }
            }
            downsample::Error::Encode(source) => MergeError::Write(source),
            other => MergeError::Write(chunkenc::Error::Header(other.to_string())),
        })?;
        for chunk in chunks {
            list.push(Windows::of(&LaneChunk { chunk, ..lane.clone() }, false)?);
        }
    }
    list.retain(|w| w.len() > 0);
    list.sort_by_key(|w| (w.times[0], w.times[w.len() - 1]));
    name_lanes(&mut list);
    Ok(list)
}

/// Gives each chunk a lane in which no two chunks overlap: a replica's, or one of a replica's where it overlaps itself.
fn name_lanes(list: &mut [Windows]) {
    struct End {
        replica: u64,
        order: u32,
        time: i64,
    }
    let resolution_ms = resolution(list);
    let mut lanes: Vec<End> = Vec::new();
    for windows in list {
        let (from, time) = (windows.times[0], windows.times[windows.len() - 1]);
        let first = windows.counter().map(|c| c.first.0);
        let goes_on = |end: &End| {
            // Two blocks that have part of one window each may have the same part.
            let same_window = end.time.div_euclid(resolution_ms) == from.div_euclid(resolution_ms);
            let apart = !same_window || end.order == windows.order || first.is_some_and(|first| first > end.time);
            end.replica == windows.replica && end.time < from && apart
        };
        let latest = lanes.iter().enumerate().filter(|(_, end)| goes_on(end)).max_by_key(|(_, end)| end.time);
        let latest = latest.map(|(lane, _)| lane);
        windows.lane = latest.unwrap_or(lanes.len());
        let end = End { replica: windows.replica, order: windows.order, time };
        match latest {
            Some(lane) => lanes[lane] = end,
            None => lanes.push(end),
        }
    }
}

/// The resolution, as the windows' ends show it; ends of chunks may be at a last sample instead.
fn resolution(list: &[Windows]) -> i64 {
    let ends = || list.iter().flat_map(|w| w.times.split_last().map_or(&[][..], |(_, whole)| whole));
    let all = ends().count();
    for usual in Resolution::DOWNSAMPLED.into_iter().rev().map(Resolution::ms) {
        let fit = ends().filter(|t| t.saturating_add(1) % usual == 0).count();
        if all > 0 && fit * 2 >= all {
            return usual;
        }
    }
    // Some other one: what all ends are multiples of.
    let common = ends().fold(0i64, |a, t| {
        let (mut a, mut b) = (a, t.saturating_add(1).saturating_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    if common > 1 { common } else { Resolution::FiveMinutes.ms() }
}

/// The windows to show, ascending.
fn choose(list: &[Windows]) -> Vec<Place> {
    let resolution_ms = resolution(list);
    let mut all: Vec<(i64, usize, Place)> = Vec::new();
    for (chunk, windows) in list.iter().enumerate() {
        let places = windows.times.iter().enumerate();
        all.extend(places.map(|(window, t)| (t.div_euclid(resolution_ms), windows.lane, Place { chunk, window })));
    }
    all.sort_by_key(|(key, lane, place)| (*key, *lane, list[place.chunk].times[place.window]));
    let mut out = Vec::with_capacity(all.len());
    let mut current: Option<(usize, u64)> = None;
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let rank = |of: &&[(i64, usize, Place)]| {
            let windows = &list[of[0].2.chunk];
            let stays = current.map(|(lane, replica)| (windows.lane == lane, windows.replica == replica));
            let count: f64 = of.iter().map(|(.., p)| list[p.chunk].count(p.window)).sum();
            (count, stays, windows.order)
        };
        let best = same.chunk_by(|a, b| a.1 == b.1).max_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2)))
        });
        let Some(taken) = best else { continue };
        let windows = &list[taken[0].2.chunk];
        current = Some((windows.lane, windows.replica));
        out.extend(taken.iter().map(|(.., place)| *place));
    }
    out
}

/// How much the counter rises up to each chosen window from the one before; the first rises by nothing.
fn increases(list: &[Windows], chosen: &[Place]) -> Vec<f64> {
    let time = |p: Place| list[p.chunk].times[p.window];
    let mut risen = 0.0;
    // Of each chosen window so far: its time and what the counter rose in all.
    let mut shown: Vec<(i64, f64)> = Vec::with_capacity(chosen.len());
    let mut out = Vec::with_capacity(chosen.len());
    // The value that is reached by what was shown since the last reset.
    let mut level: Option<f64> = None;
    for (i, place) in chosen.iter().copied().enumerate() {
        let value = true_value(list, place);
        let own = previous(list, place).map(|own| (own, own_increase(list, own, place), true_value(list, own)));
        let before = i.checked_sub(1).map(|before| chosen[before]);
        let (increase, reset) = match (before, own) {
            (None, _) => (0.0, true),
            (Some(before), Some((own, rise, from))) if own == before => match (level, from, value) {
                (_, Some(from), Some(value)) if exceeds(rise, value - from) => (rise, true),
                // The lane may be behind what another has shown: that is not counted again.
                (Some(level), Some(from), Some(value)) if level > from => ((value - level).max(0.0), false),
                (_, Some(_), Some(_)) => (rise, false),
                _ => (rise, true),
            },
            (Some(_), own) => {
                let increase = match own {
                    // The lane's own window before lies further back: what was shown since then is part of its increase.
                    Some((own, rise, _)) => {
                        let from = shown.partition_point(|(t, _)| *t <= time(own));
                        let since = from.checked_sub(1).map_or(0.0, |at| shown[at].1);
                        (rise - (risen - since)).max(0.0)
                    }
                    None => list[place.chunk].counter().map_or(0.0, inner),
                };
                match (level, value) {
                    (Some(level), Some(value)) => {
                        from_other_lane(level, value, own.map(|(_, rise, from)| (rise, from)), increase)
                    }
                    _ => (increase, true),
                }
            }
        };
        let increase = if increase.is_finite() { increase } else { 0.0 };
        level = if reset { value } else { level.map(|level| level + increase) };
        risen += increase;
        shown.push((time(place), risen));
        out.push(increase);
    }
    out
}

/// Whether a rise is more than the difference of two values, but for rounding: there was a reset in between.
fn exceeds(rise: f64, difference: f64) -> bool {
    rise - difference > 1e-9 * (rise.abs() + difference.abs())
}

/// How often the rise of a window a lane may be behind another to count as one that scrapes the same, only later.
const BEHIND_MAX: f64 = 4.0;

/// The rise from the value `reached` in another lane to `value`, where the lane's own windows tell of `increase`. `own` is
/// the rise from the lane's own window before, and the value there. The second value tells whether counting begins anew
/// at `value`.
fn from_other_lane(reached: f64, value: f64, own: Option<(f64, Option<f64>)>, increase: f64) -> (f64, bool) {
    match own {
        // Who restarts begins near zero, who lags is close by.
        None if value < reached / 2.0 => (value, true),
        None if value >= reached => (value - reached, false),
        // The lane was reset, and the other one had not been.
        Some((rise, Some(from))) if exceeds(rise, value - from) && reached >= from => {
            (increase.min(rise - (reached - from)).max(0.0), true)
        }
        Some(_) if value >= reached => (increase.min(value - reached), false),
        // What is further behind counts something else.
        Some((rise, _)) if reached - value > BEHIND_MAX * rise => (increase, true),
        None | Some(_) => (0.0, false),
    }
}

/// The counter's value as it was scraped last in a window, where that is known.
fn true_value(list: &[Windows], place: Place) -> Option<f64> {
    list[place.chunk].counter()?.values.get(place.window).copied().flatten()
}

/// The window before in the same lane.
pub(crate) fn previous(list: &[Windows], place: Place) -> Option<Place> {
    if place.window > 0 {
        return Some(Place { window: place.window - 1, ..place });
    }
    let lane = list[place.chunk].lane;
    let chunk = list[..place.chunk].iter().rposition(|w| w.lane == lane)?;
    Some(Place { chunk, window: list[chunk].len() - 1 })
}

/// The rise from one window of a lane to its next.
fn own_increase(list: &[Windows], from: Place, to: Place) -> f64 {
    let (Some(a), Some(b)) = (list[from.chunk].counter(), list[to.chunk].counter()) else { return 0.0 };
    if from.chunk == to.chunk {
        return b.totals[to.window] - a.totals[from.window];
    }
    rise(a.last, b.first.1) + inner(b)
}

/// The rise from the true first value to the first window's total.
pub(crate) fn inner(counter: &Counter) -> f64 {
    counter.totals[0] - counter.first.1
}

/// What a reader takes for the rise from the last true value of one chunk to the first of the next.
pub(crate) fn rise(last: f64, first: f64) -> f64 {
    if first < last { first } else { first - last }
}

/// Consecutive chosen windows: whole chunks by themselves, and between them parts of one kind.
fn pieces(list: &[Windows], chosen: &[Place], shown: &[Shown]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < chosen.len() {
        let place = chosen[at];
        let windows = &list[place.chunk];
        let next = chosen.get(at..at + windows.len()).unwrap_or(&[]);
        let whole = windows.data.is_some()
            && next.len() == windows.len()
            && shown[at..at + windows.len()].iter().all(|s| !matches!(s, Shown::Held(_)))
            && next.iter().enumerate().all(|(i, p)| *p == Place { window: i, ..place });
        if whole {
            out.push(Piece { range: at..at + windows.len(), whole: true });
            at += windows.len();
            continue;
        }
        let goes_on = out.last_mut().filter(|piece| {
            let before = &list[chosen[piece.range.start].chunk];
            !piece.whole && piece.range.len() < super::write::SAMPLES_MAX && before.shape() == windows.shape()
        });
        match goes_on {
            Some(piece) => piece.range.end = at + 1,
            None => out.push(Piece { range: at..at + 1, whole: false }),
        }
        at += 1;
    }
    out
}
