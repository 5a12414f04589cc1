//! The loop of one target: scrapes when they are due, one after the other.

use model::Clock;
use telemetry::Histogram;
use telemetry::Summary;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::ScrapeMetrics;
use crate::schedule::Schedule;
use crate::worker::Worker;

/// What a loop is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// End behind the scrape that is running: another loop goes on with the worker.
    HandOver,
    /// The target is gone: end, and mark its series once nobody else can have taken them over.
    End,
    /// The server stops: end now.
    Shutdown,
}

/// The intervals between scrapes, of all targets that have the same one.
#[derive(Debug)]
pub(crate) struct Intervals {
    length: Summary,
    spread: Histogram,
}

impl Intervals {
    pub(crate) fn new(metrics: &ScrapeMetrics, interval: &str) -> Self {
        Self { length: metrics.interval_length.with(interval), spread: metrics.interval_spread.with(&[interval]) }
    }

    fn observe(&self, length: Duration) {
        self.length.observe(length.as_secs_f64());
        self.spread.observe(length.as_secs_f64());
    }
}

/// Runs until it is told to end. Gives the worker back if another loop is to go on with it.
pub(crate) async fn run(
    mut worker: Worker,
    schedule: Schedule,
    mut orders: watch::Receiver<Order>,
    intervals: Intervals,
) -> Option<Worker> {
    let shared = worker.job.shared.clone();
    let (clock, options) = (&*shared.deps.clock, &shared.options);
    let tolerance_ms = if options.adjust_timestamps { options.timestamp_tolerance_ms } else { 0 };
    let mut due_ms = schedule.after(clock.now_ms());
    let mut last: Option<Instant> = None;
    let order = loop {
        if let Some(order) = wait(clock, &mut due_ms, schedule, &mut orders).await {
            break order;
        }
        if worker.status.is_left_out() {
            (due_ms, last) = (schedule.after(clock.now_ms().max(due_ms)), None);
            continue;
        }
        let time_ms = schedule.stamp(due_ms, clock.now_ms(), tolerance_ms);
        let began = Instant::now();
        if let Some(last) = last.replace(began) {
            intervals.observe(began - last);
        }
        let forced = worker.status.forced_error.lock().clone();
        let answer = tokio::select! {
            biased;
            order = ended(&mut orders) => break order,
            answer = worker.ask(forced) => answer,
        };
        worker.store(answer, time_ms, began).await;
        let next_ms = schedule.after(clock.now_ms().max(due_ms));
        let skipped = (next_ms - due_ms) / schedule.interval_ms() - 1;
        shared.metrics.late.inc_by(skipped.max(0).unsigned_abs());
        due_ms = next_ms;
    };
    match order {
        Order::HandOver => return Some(worker),
        // Its series are those of another target, which goes on with them.
        Order::End if worker.status.is_left_out() => {}
        Order::End => end(&mut worker, schedule, clock, &shared.shutdown).await,
        Order::Run | Order::Shutdown => {}
    }
    None
}

/// Waits until a scrape is due; an order ends the wait. A clock that jumps makes it due at another time.
async fn wait(
    clock: &dyn Clock,
    due_ms: &mut i64,
    schedule: Schedule,
    orders: &mut watch::Receiver<Order>,
) -> Option<Order> {
    loop {
        let now_ms = clock.now_ms();
        if now_ms >= *due_ms {
            return order(orders);
        }
        if *due_ms - now_ms > schedule.interval_ms() {
            *due_ms = schedule.after(now_ms);
        }
        let rest = Duration::from_millis((*due_ms - now_ms).unsigned_abs());
        let told = orders.wait_for(|order| *order != Order::Run);
        match tokio::time::timeout(rest, told).await {
            Ok(Ok(order)) => return Some(*order),
            // Whoever gave orders is gone.
            Ok(Err(_)) => return Some(Order::Shutdown),
            Err(_) => {}
        }
    }
}

fn order(orders: &watch::Receiver<Order>) -> Option<Order> {
    let order = *orders.borrow();
    (order != Order::Run).then_some(order)
}

/// Completes with an order that ends a scrape that is running.
async fn ended(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| matches!(order, Order::End | Order::Shutdown)).await {
        Ok(order) => *order,
        // Whoever gave orders is gone.
        Err(_) => Order::Shutdown,
    }
}

/// Marks the end of the series at the time of the scrape that is not made any more, after the one behind it would have been
/// made, and a little more: another target that goes on with the series has written by then, and the markers are refused.
async fn end(worker: &mut Worker, schedule: Schedule, clock: &dyn Clock, shutdown: &CancellationToken) {
    let interval_ms = schedule.interval_ms();
    let now_ms = clock.now_ms();
    let end_ms = schedule.after(now_ms);
    let wait_ms = (end_ms - now_ms) + interval_ms + interval_ms / 10;
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = sleep(Duration::from_millis(wait_ms.unsigned_abs())) => worker.end(end_ms).await,
    }
}

#[cfg(test)]
mod tests;
