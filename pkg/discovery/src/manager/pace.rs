//! How often snapshots come: the first one at once, then ever slower while changes go on.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first of several snapshots.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pace {
    pause_max: Duration,
    pause: Duration,
    last: Option<Instant>,
    /// Whether there is something to publish.
    waiting: bool,
}

impl Pace {
    pub(super) fn new(pause_max: Duration) -> Self {
        Self { pause_max, pause: FIRST_PAUSE.min(pause_max), last: None, waiting: false }
    }

    /// Something is to be published.
    pub(super) fn changed(&mut self) {
        let quiet = self.last.is_none_or(|last| last.elapsed() > self.pause_max);
        if !self.waiting && quiet {
            self.pause = FIRST_PAUSE.min(self.pause_max);
        }
        self.waiting = true;
    }

    /// When it is to be published.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.then(|| self.last.map_or_else(Instant::now, |last| last + self.pause))
    }

    /// It was published.
    pub(super) fn published(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.pause = (self.pause * 2).min(self.pause_max);
        }
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_changes_go_on() {
        let begin = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1));
        let mut times = Vec::new();
        assert_eq!(pace.due(), None);
        for _ in 0..7 {
            pace.changed();
            tokio::time::sleep_until(pace.due().unwrap()).await;
            times.push((Instant::now() - begin).as_millis());
            pace.published();
            assert_eq!(pace.due(), None);
        }
        assert_eq!(times, [0, 200, 600, 1400, 2400, 3400, 4400]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        pace.changed();
        assert!(pace.due().unwrap() <= Instant::now(), "a change after a quiet time is shown at once");
    }
}
