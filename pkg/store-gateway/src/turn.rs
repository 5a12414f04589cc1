//! How many Series calls work at a time. A call whose answer nobody takes is not at work: it gives its turn to the next
//! one and asks for another when its answer is taken again. So no number of unread streams keeps others waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use storage::{Ctx, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::GatewayMetrics;

/// A Series call and its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    gate: Arc<Semaphore>,
    ctx: Ctx,
    metrics: GatewayMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Parts of the call that are at work.
    working: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits for a turn, which lasts while parts of the call are at work.
    pub(crate) async fn wait(gate: &Arc<Semaphore>, ctx: &Ctx, metrics: &GatewayMetrics) -> Result<Arc<Self>> {
        let began = Instant::now();
        let turn = Self { gate: gate.clone(), ctx: ctx.clone(), metrics: metrics.clone(), state: Mutex::default() };
        turn.take().await?;
        metrics.gate_seconds.observe(began.elapsed().as_secs_f64());
        Ok(Arc::new(turn))
    }

    async fn take(&self) -> Result<()> {
        let wait = self.gate.clone().acquire_owned();
        let late = async {
            match self.ctx.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let permit = tokio::select! {
            permit = wait => permit.map_err(|_| Error::Cancelled)?,
            () = self.ctx.cancel.cancelled() => return Err(Error::Cancelled),
            () = late => {
                let text = "query timed out while waiting for its turn, see --store.grpc.series-max-concurrency";
                return Err(Error::Timeout(text.to_owned()));
            }
        };
        let mut state = self.state.lock();
        if state.permit.is_none() {
            state.permit = Some(permit);
            self.metrics.gate_in_flight.inc();
        }
        Ok(())
    }

    fn give_back(&self) {
        if self.state.lock().permit.take().is_some() {
            self.metrics.gate_in_flight.dec();
        }
    }

    /// A part of the call, at work.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.state.lock().working += 1;
        Work { turn: self.clone(), at_work: AtomicBool::new(true) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A part of a call, at work until it is dropped or rests.
#[derive(Debug)]
pub(crate) struct Work {
    turn: Arc<Turn>,
    at_work: AtomicBool,
}

impl Work {
    /// Nothing can be done for now. The turn is given back if no other part is at work.
    pub(crate) fn rest(&self) {
        if self.at_work.swap(false, Ordering::AcqRel) {
            let mut state = self.turn.state.lock();
            state.working -= 1;
            let idle = state.working == 0;
            drop(state);
            if idle {
                self.turn.give_back();
            }
        }
    }

    /// Goes on, once it is the call's turn.
    pub(crate) async fn resume(&self) -> Result<()> {
        let has_turn = {
            let mut state = self.turn.state.lock();
            if !self.at_work.swap(true, Ordering::AcqRel) {
                state.working += 1;
            }
            state.permit.is_some()
        };
        if has_turn { Ok(()) } else { self.turn.take().await }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    #[tokio::test]
    async fn a_turn_is_free_while_no_part_of_its_call_is_at_work() {
        let gate = Arc::new(Semaphore::new(1));
        let metrics = GatewayMetrics::new(&Metrics::new(), 1);
        let first = Turn::wait(&gate, &Ctx::background(), &metrics).await.unwrap();
        let (a, b) = (first.work(), first.work());
        a.rest();
        assert_eq!(gate.available_permits(), 0, "b is at work");
        b.rest();
        assert_eq!(gate.available_permits(), 1);
        let second = Turn::wait(&gate, &Ctx::background(), &metrics).await.unwrap();
        let c = second.work();
        let mut resumed = Box::pin(a.resume());
        assert!(futures::poll!(&mut resumed).is_pending());
        drop(c);
        resumed.await.unwrap();
        b.resume().await.unwrap();
        assert_eq!(gate.available_permits(), 0);
        drop((a, b));
        assert_eq!(gate.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_and_holds_nothing() {
        let gate = Arc::new(Semaphore::new(1));
        let metrics = GatewayMetrics::new(&Metrics::new(), 1);
        let turn = Turn::wait(&gate, &Ctx::background(), &metrics).await.unwrap();
        let _work = turn.work();
        let ctx = Ctx { deadline: Some(Instant::now()), ..Ctx::background() };
        let error = Turn::wait(&gate, &ctx, &metrics).await.unwrap_err();
        assert!(error.to_string().contains("--store.grpc.series-max-concurrency"), "{error}");
    }
}
