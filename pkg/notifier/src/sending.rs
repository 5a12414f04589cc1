//! The task of one Alertmanager: sends what waits, and waits itself after a failure.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use telemetry::Occasionally;
use tokio::time::{Instant, sleep, timeout_at};

use crate::alert::Alert;
use crate::config::NotifierOptions;
use crate::endpoint::{Endpoint, Failure};
use crate::queue::Waiting;

/// Sends what is put into the queue of one Alertmanager.
pub(crate) struct Sending {
    pub endpoint: Arc<Endpoint>,
    pub options: NotifierOptions,
    pub clock: Arc<dyn Clock>,
    pub told: Occasionally,
}

impl Sending {
    /// Works until the endpoint is stopped, then sends what is left if it is to be sent.
    pub async fn run(self) {
        let mut batch = Vec::new();
        let stop = self.endpoint.stop.clone();
        stop.run_until_cancelled(self.work(&mut batch)).await;
        match self.options.drain {
            true => self.drain(batch).await,
            false => self.dropped(batch.len()),
        }
        let left = self.endpoint.queue.lock().clear();
        self.dropped(left);
        self.endpoint.metrics.queue_length.set(0.0);
    }

    /// What is in `batch` is not in the queue any more.
    async fn work(&self, batch: &mut Vec<Waiting>) {
        let mut pause = self.options.backoff_min;
        loop {
            self.forget_old(batch);
            if batch.is_empty() {
                *batch = self.next();
            }
            if batch.is_empty() {
                self.endpoint.wake.notified().await;
                continue;
            }
            match self.send(batch).await {
                Err(Failure::Unavailable(_)) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(self.options.backoff_max);
                }
                _ => {
                    pause = self.options.backoff_min;
                    batch.clear();
                }
            }
        }
    }

    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.endpoint.queue.lock();
        let old = queue.expire(self.clock.now_ms());
        let taken = queue.take(self.options.batch_size.max(1));
        self.endpoint.metrics.queue_length.set(queue.len() as f64);
        drop(queue);
        self.dropped(old);
        taken
    }

    fn forget_old(&self, batch: &mut Vec<Waiting>) {
        let (before, now_ms) = (batch.len(), self.clock.now_ms());
        batch.retain(|waiting| waiting.is_current(now_ms));
        self.dropped(before - batch.len());
    }

    /// Sends and counts.
    async fn send(&self, batch: &[Waiting]) -> Result<(), Failure> {
        let alerts: Vec<Arc<Alert>> = batch.iter().map(|waiting| waiting.alert.clone()).collect();
        let sent = self.endpoint.post(&alerts).await;
        let (count, metrics) = (alerts.len() as u64, &self.endpoint.metrics);
        let (alertmanager, times) = (&self.endpoint.url, || self.told.count());
        match &sent {
            Ok(()) => {
                metrics.sent(count);
            }
            Err(Failure::Refused(why)) => {
                metrics.failed(count);
                metrics.dropped(count);
                if let Some(times) = times() {
                    tracing::error!(%alertmanager, alerts = count, why, times, "alerts are refused and dropped");
                }
            }
            Err(Failure::Unavailable(why)) => {
                metrics.failed(count);
                if let Some(times) = times() {
                    tracing::warn!(%alertmanager, alerts = count, why, times, "alerts cannot be sent, they are kept");
                }
            }
        }
        sent
    }

    /// Sends what is left, each alert once; all is dropped with the first failure that another try could mend.
    async fn drain(&self, mut batch: Vec<Waiting>) {
        let end = Instant::now() + self.options.drain_timeout;
        loop {
            if batch.is_empty() {
                batch = self.next();
            }
            if batch.is_empty() {
                return;
            }
            match timeout_at(end, self.send(&batch)).await {
                Ok(Ok(()) | Err(Failure::Refused(_))) => batch.clear(),
                Ok(Err(Failure::Unavailable(_))) | Err(_) => return self.dropped(batch.len()),
            }
        }
    }

    fn dropped(&self, count: usize) {
        self.endpoint.metrics.dropped(count as u64);
    }
}

/// How long a notifier may take to end.
pub(crate) fn longest_end(options: &NotifierOptions) -> Duration {
    if options.drain { options.drain_timeout } else { Duration::ZERO }
}
