//! Counters of downsampled native histograms where the choice goes from one lane to another.
//!
//! Histograms cannot be shifted as totals of floats can: chunks that follow as they are would not fit. Instead a lane
//! that is behind the counter shown last shows that counter again until it has caught up.

use histogram::{FloatHistogram, ResetHint};

use super::aggregates::{Place, previous};
use super::windows::{Values, Windows};

/// Whose counter a chosen window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Its own.
    Own,
    /// Its own, but for a reset that its chunk tells of: another lane has shown that one already.
    NoReset,
    /// That of this window, which was chosen before.
    Held(Place),
}

/// For each chosen window what it shows.
pub(crate) fn held(list: &[Windows], chosen: &[Place], resolution_ms: i64) -> Vec<Shown> {
    let mut out: Vec<Shown> = Vec::with_capacity(chosen.len());
    // The window whose counter was shown last.
    let mut last: Option<Place> = None;
    for (i, place) in chosen.iter().copied().enumerate() {
        let Some(counter) = counter(list, place).filter(|c| c.reset_hint != ResetHint::Gauge) else {
            last = None;
            out.push(Shown::Own);
            continue;
        };
        let before = i.checked_sub(1).map(|before| chosen[before]);
        let goes_on = before.is_some() && previous(list, place) == before;
        let shown = match last {
            None => Shown::Own,
            Some(at) if goes_on && Some(at) == before => Shown::Own,
            Some(at) => {
                let behind = fell(list, at, place);
                let real = || match before {
                    Some(before) if goes_on => fell(list, before, place) || counter.reset_hint == ResetHint::Reset,
                    _ => is_real(list, at, place, resolution_ms),
                };
                match () {
                    () if behind && !real() => Shown::Held(at),
                    () if !behind && counter.reset_hint == ResetHint::Reset && !real() => Shown::NoReset,
                    () => Shown::Own,
                }
            }
        };
        if !matches!(shown, Shown::Held(_)) {
            last = Some(place);
        }
        out.push(shown);
    }
    out
}

/// The counter of a window of histograms.
pub(crate) fn counter(list: &[Windows], place: Place) -> Option<&FloatHistogram> {
    match &list[place.chunk].values {
        Values::Histograms(_, counters) => counters.get(place.window),
        Values::Floats(..) => None,
    }
}

/// Whether a reader would see a reset from one counter to another, whatever is told beside them. Not where the kind of
/// buckets changes: such counters cannot stand in for one another.
fn fell(list: &[Windows], from: Place, to: Place) -> bool {
    let (Some(from), Some(to)) = (counter(list, from), counter(list, to)) else { return false };
    if from.has_custom_buckets() != to.has_custom_buckets() || !from.has_same_bounds(to) {
        return false;
    }
    let mut to = to.clone();
    to.reset_hint = ResetHint::Unknown;
    to.is_reset_since(from)
}

/// Whether the reset from the window shown last to one of another lane is one that has not been shown yet.
fn is_real(list: &[Windows], shown: Place, to: Place, resolution_ms: i64) -> bool {
    let time = |p: Place| list[p.chunk].times[p.window];
    let reach = resolution_ms.saturating_add(resolution_ms / 2);
    let told = |p: Place| counter(list, p).is_some_and(|c| c.reset_hint == ResetHint::Reset);
    // The lane saw both sides: a reset there is real, unless the other lane fell since then too.
    if let Some(own) = previous(list, to).filter(|own| time(shown).saturating_sub(time(*own)) <= reach) {
        return (fell(list, own, to) || told(to)) && !fell(list, own, shown);
    }
    // Else the next window of the lane shown before tells. Failing that: who restarts begins near zero.
    match next(list, shown).filter(|next| time(*next).saturating_sub(time(to)) <= reach) {
        Some(next) => fell(list, shown, next) || told(next),
        None => match (counter(list, shown), counter(list, to)) {
            (Some(shown), Some(to)) => to.count < shown.count / 2.0,
            _ => false,
        },
    }
}

/// The window after in the same lane.
fn next(list: &[Windows], place: Place) -> Option<Place> {
    let windows = &list[place.chunk];
    if place.window + 1 < windows.len() {
        return Some(Place { window: place.window + 1, ..place });
    }
    let behind = list.iter().enumerate().skip(place.chunk + 1);
    behind.filter(|(_, w)| w.lane == windows.lane).map(|(chunk, _)| Place { chunk, window: 0 }).next()
}
