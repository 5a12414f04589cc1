//! Targets with the same labels: their series collide. They are told, and if it is wanted one of them alone is scraped.

use std::collections::HashMap;

use labels::Labels;
use telemetry::{Gauge, Occasionally};
use tracing::warn;

use crate::pool::{Pool, Running};
use crate::status::Twin;

/// Looks for twins whenever targets change.
#[derive(Debug)]
pub(crate) struct Twins {
    keeps_one: bool,
    count: Gauge,
    told: Occasionally,
}

impl Twins {
    /// `keeps_one`: of several targets with the same labels, the first one alone is scraped.
    pub(crate) fn new(keeps_one: bool, count: Gauge) -> Self {
        Self { keeps_one, count, told: Occasionally::minutely() }
    }

    /// Notes for each target whether it has a twin. The order is that of jobs and labels, so that it stays the same one that
    /// is scraped.
    pub(crate) fn look<'a>(&self, pools: impl Iterator<Item = &'a Pool>) {
        let mut first: HashMap<&Labels, &Running> = HashMap::new();
        let (mut twins, mut example) = (0, None);
        let all: Vec<&Running> = pools.flat_map(|pool| pool.running.values()).collect();
        for running in &all {
            let before = *first.entry(&running.target.public).or_insert(running);
            let is_first = std::ptr::eq(before, *running);
            if !is_first {
                twins += 1;
                self.note(running, &before.target.url, self.keeps_one);
                self.note(before, &running.target.url, false);
                example.get_or_insert((before, *running));
            } else {
                running.status.twin.lock().take();
            }
        }
        self.count.set(f64::from(twins));
        let Some((a, b)) = example else { return };
        let Some(times) = self.told.count() else { return };
        let (a, b, labels, keeps_one) = (&a.target.url, &b.target.url, &a.target.public, self.keeps_one);
        warn!(
            a, b, %labels, twins, times, keeps_one,
            "two targets have the same labels, so that their series collide: relabel one of them"
        );
    }

    fn note(&self, running: &Running, other: &str, is_left_out: bool) {
        let text = match (is_left_out, self.keeps_one) {
            (true, _) => format!("not scraped: {other} has the same labels, and one of them alone is scraped"),
            (false, true) => format!("{other} has the same labels, and is not scraped"),
            (false, false) => format!("{other} has the same labels: the series of both collide, relabel one of them"),
        };
        *running.status.twin.lock() = Some(Twin { text: text.into(), is_left_out });
    }
}
