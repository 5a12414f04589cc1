//! What is going on, for people: kept while it happens, shown by the API and the progress line.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use merge::Progress;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::decision::Kind;
use crate::task::Task;

/// Ended tasks that are remembered.
const RECENT_MAX: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Status {
    next: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    recent: Mutex<VecDeque<Ended>>,
    /// Bytes of inputs, and the ms they took: for estimates.
    done_bytes: AtomicU64,
    done_ms: AtomicU64,
}

#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) kind: Kind,
    pub(crate) group: String,
    pub(crate) selector: String,
    pub(crate) lease: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) began_ms: i64,
    pub(crate) progress: Arc<Progress>,
}

#[derive(Debug, Clone)]
struct Ended {
    kind: Kind,
    selector: String,
    inputs: Vec<String>,
    outcome: String,
    ended_ms: i64,
    took_ms: i64,
}

impl Running {
    /// Share of the input that has been read, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        let (done, total) = (&self.progress.bytes_done, &self.progress.bytes_total);
        match total.load(Ordering::Relaxed) {
            0 => 0.0,
            total => (done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0),
        }
    }

    fn json(&self, now_ms: i64) -> Value {
        let (elapsed_ms, share) = (now_ms.saturating_sub(self.began_ms), self.share());
        let eta_ms = (share > 0.01).then(|| (elapsed_ms as f64 / share * (1.0 - share)) as i64);
        json!({
            "kind": self.kind.name(),
            "group": self.group,
            "labels": self.selector,
            "lease": self.lease,
            "inputs": self.inputs,
            "bytes": self.bytes,
            "began": model::format_rfc3339_ms(self.began_ms),
            "bytesDone": self.progress.bytes_done.load(Ordering::Relaxed),
            "bytesTotal": self.progress.bytes_total.load(Ordering::Relaxed),
            "seriesDone": self.progress.series_done.load(Ordering::Relaxed),
            "share": share,
            "etaSeconds": eta_ms.map(|ms| ms / 1000),
        })
    }
}

impl Status {
    /// A task has begun; gives the name to end it by.
    pub(crate) fn begin(&self, task: &Task, progress: Arc<Progress>, now_ms: i64) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let running = Running {
            kind: task.kind,
            group: task.group.clone(),
            selector: task.selector.clone(),
            lease: task.lease.clone(),
            inputs: task.inputs().iter().map(ToString::to_string).collect(),
            bytes: task.bytes,
            began_ms: now_ms,
            progress,
        };
        self.running.lock().insert(number, running);
        number
    }

    pub(crate) fn end(&self, number: u64, outcome: String, is_done: bool, now_ms: i64) {
        let Some(running) = self.running.lock().remove(&number) else { return };
        let took_ms = now_ms.saturating_sub(running.began_ms);
        if is_done {
            self.done_bytes.fetch_add(running.bytes, Ordering::Relaxed);
            self.done_ms.fetch_add(took_ms.max(0) as u64, Ordering::Relaxed);
        }
        let (kind, selector, inputs) = (running.kind, running.selector, running.inputs);
        let mut recent = self.recent.lock();
        recent.push_front(Ended { kind, selector, inputs, outcome, ended_ms: now_ms, took_ms });
        recent.truncate(RECENT_MAX);
    }

    pub(crate) fn running(&self) -> Vec<Running> {
        self.running.lock().values().cloned().collect()
    }

    /// Input bytes per second of one task, as measured so far.
    pub(crate) fn bytes_per_second(&self) -> Option<f64> {
        let (bytes, ms) = (self.done_bytes.load(Ordering::Relaxed), self.done_ms.load(Ordering::Relaxed));
        (bytes > 0 && ms > 0).then(|| bytes as f64 / (ms as f64 / 1000.0))
    }

    /// Tasks under way, and the last that ended.
    pub(crate) fn json(&self, now_ms: i64) -> (Value, Value) {
        let running: Vec<Value> = self.running().iter().map(|r| r.json(now_ms)).collect();
        let recent: Vec<Value> = self
            .recent
            .lock()
            .iter()
            .map(|e| {
                json!({
                    "kind": e.kind.name(),
                    "labels": e.selector,
                    "inputs": e.inputs,
                    "outcome": e.outcome,
                    "ended": model::format_rfc3339_ms(e.ended_ms),
                    "seconds": e.took_ms as f64 / 1000.0,
                })
            })
            .collect();
        (Value::Array(running), Value::Array(recent))
    }
}
