//! Counters of downsampled native histograms where the choice goes from one lane to another.
//!
//! Histograms cannot be shifted as totals of floats can: chunks that follow as they are would not fit. Instead a lane
//! that is behind the counter shown last shows that counter again until it has caught up.

use std::cmp::Ordering;

use histogram::{FloatHistogram, ResetHint};

use super::aggregates::{Place, previous};
use super::windows::{Values, Windows};

/// Whose counter a chosen window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The window's own counter.
    Own,
    /// Its own, but for a reset that its chunk tells of: another lane has shown that one already.
    NoReset,
    /// That of this window, which was chosen before.
    Held(Place),
}

/// For each chosen window what it shows.
pub(crate) fn held(list: &[Windows], chosen: &[Place], resolution_ms: i64) -> Vec<Shown> {
    let mut out: Vec<Shown> = Vec::with_capacity(chosen.len());
    // The window whose counter was shown last, and the last one at which readers saw a reset.
    let (mut last, mut reset): (Option<Place>, Option<Place>) = (None, None);
    for (i, place) in chosen.iter().copied().enumerate() {
        let Some(counter) = counter(list, place).filter(|c| c.reset_hint != ResetHint::Gauge) else {
            (last, reset) = (None, None);
            out.push(Shown::Own);
            continue;
        };
        let before = i.checked_sub(1).map(|before| chosen[before]);
        let goes_on = before.is_some() && previous(list, place) == before;
        let hinted = counter.reset_hint == ResetHint::Reset;
        let behind = last.is_some_and(|at| fell(list, at, place));
        let shown = match last {
            None => Shown::Own,
            Some(at) if goes_on && Some(at) == before => Shown::Own,
            Some(at) => {
                let real = || match before {
                    Some(before) if goes_on => fell(list, before, place) || hinted,
                    _ => is_real(list, Past { at, reset, resolution_ms }, place, behind),
                };
                match () {
                    () if behind && !real() => Shown::Held(at),
                    () if !behind && hinted && !real() => Shown::NoReset,
                    () => Shown::Own,
                }
            }
        };
        if !matches!(shown, Shown::Held(_)) {
            if last.is_some() && (behind || hinted && shown == Shown::Own) {
                reset = Some(place);
            }
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

/// Whether a reader would see a reset from one counter to another, whatever their reset hints say. Not where the kind of
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

/// What readers have been shown so far.
#[derive(Clone, Copy)]
struct Past {
    /// The last window whose counter was shown.
    at: Place,
    /// The last one at which readers saw a reset.
    reset: Option<Place>,
    resolution_ms: i64,
}

/// Whether there was a reset between the window shown last and `to` of another lane, which counts less (`behind`) or is
/// hinted to follow a reset.
fn is_real(list: &[Windows], past: Past, to: Place, behind: bool) -> bool {
    let Past { at, reset, resolution_ms } = past;
    let time = |p: Place| list[p.chunk].times[p.window];
    let key = |p: Place| time(p).div_euclid(resolution_ms);
    let reach = resolution_ms.saturating_add(resolution_ms / 2);
    let hinted = |p: Place| counter(list, p).is_some_and(|c| c.reset_hint == ResetHint::Reset);
    if let Some(own) = previous(list, to) {
        // Since its own window before, the lane saw a reset: it is real, unless it is the one that has been shown since
        // then.
        let saw = fell(list, own, to) || hinted(to);
        let since = |reset| match key(reset).cmp(&key(own)) {
            Ordering::Greater => true,
            Ordering::Equal => fell(list, own, reset),
            Ordering::Less => false,
        };
        if saw && !fell(list, own, at) && !reset.is_some_and(since) {
            return true;
        }
        if !behind || time(at).saturating_sub(time(own)) <= reach {
            return false;
        }
    }
    // Else the next window of the lane shown before tells. Failing that: who restarts begins near zero.
    let tells = |next: &Place| match behind {
        true => time(*next).saturating_sub(time(to)) <= reach,
        // A reset there may be a later one.
        false => key(*next) <= key(to),
    };
    match next(list, at).filter(tells) {
        Some(next) => fell(list, at, next) || hinted(next),
        None => match (counter(list, at), counter(list, to)) {
            (Some(shown), Some(to)) => behind && to.count < shown.count / 2.0,
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
