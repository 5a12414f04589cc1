//! Alerts that wait for one Alertmanager.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::alert::Alert;

/// How long an alert that has ended may wait: rules tell of it again so long.
const ENDED_WAITS_MS: i64 = 15 * 60_000;

/// An alert, and until when it is worth sending. One that fires and comes after its end would be taken for one that has
/// ended.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub alert: Arc<Alert>,
    until_ms: i64,
}

impl Waiting {
    pub fn is_current(&self, now_ms: i64) -> bool {
        self.until_ms >= now_ms
    }
}

/// In order, at most so many; the oldest goes where there is no room.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    capacity: usize,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Adds alerts; how many others there is no room for any more.
    pub fn push(&mut self, alerts: &[Arc<Alert>], now_ms: i64) -> usize {
        let too_many = (self.waiting.len() + alerts.len()).saturating_sub(self.capacity);
        let old = too_many.min(self.waiting.len());
        self.waiting.drain(..old);
        let new = alerts.get(too_many - old..).unwrap_or_default();
        self.waiting.extend(new.iter().map(|alert| {
            let fires = alert.ends_at_ms > now_ms;
            let until_ms = if fires { alert.ends_at_ms } else { now_ms.saturating_add(ENDED_WAITS_MS) };
            Waiting { alert: alert.clone(), until_ms }
        }));
        too_many
    }

    /// Drops those that are out of date; how many.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.is_current(now_ms));
        before - self.waiting.len()
    }

    /// Takes the first ones.
    pub fn take(&mut self, max: usize) -> Vec<Waiting> {
        let len = max.min(self.waiting.len());
        self.waiting.drain(..len).collect()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Drops all; how many.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }
}

#[cfg(test)]
mod tests {
    use labels::Labels;

    use super::*;

    fn alert(name: usize, ends_at_ms: i64) -> Arc<Alert> {
        Arc::new(Alert {
            labels: Labels::from_pairs([("alertname", name.to_string())]),
            annotations: Labels::empty(),
            starts_at_ms: 0,
            ends_at_ms,
            generator_url: String::new(),
        })
    }

    fn names(taken: &[Waiting]) -> Vec<&str> {
        taken.iter().map(|waiting| waiting.alert.labels.value("alertname")).collect()
    }

    #[test]
    fn the_oldest_go_where_there_is_no_room() {
        let mut queue = Queue::new(3);
        let alerts: Vec<_> = (0..9).map(|name| alert(name, 100)).collect();
        assert_eq!(queue.push(&alerts[..2], 0), 0);
        assert_eq!(queue.push(&alerts[2..4], 0), 1);
        assert_eq!(names(&queue.take(2)), ["1", "2"]);
        assert_eq!(queue.push(&alerts[4..9], 0), 3);
        assert_eq!(names(&queue.take(9)), ["6", "7", "8"]);
    }

    #[test]
    fn an_alert_that_fires_does_not_arrive_as_one_that_has_ended() {
        let mut queue = Queue::new(9);
        queue.push(&[alert(0, 100), alert(1, 10), alert(2, 300)], 50);
        assert_eq!(queue.expire(100), 0);
        assert_eq!(queue.expire(101), 1);
        assert_eq!(names(&queue.take(9)), ["1", "2"]);
    }
}
