//! The series of a selector. Selectors that read the same series share them as long as there is memory to spare.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use labels::Labels;
use storage::{Reservation, Select, Series};

use crate::eval::{Cx, Result};
use crate::read::Read;
use crate::select_plan::SelectPlan;

/// The series of one select, in label order, each once.
pub(crate) enum Fetch {
    Own(Read),
    Shared(Place),
}

/// A read for several selectors.
struct SharedRead {
    /// Of the selectors.
    number: u32,
    select: Select,
    read: Read,
    queues: Vec<Queue>,
    is_read: bool,
}

/// The most that is kept for a selector that falls behind; reading again costs less than more memory.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// What one selector has still to take.
#[derive(Default)]
struct Queue {
    series: VecDeque<(Series, Reservation)>,
    bytes: u64,
    /// It fell so far behind that it reads for itself, or is gone.
    is_left: bool,
}

impl Queue {
    fn push(&mut self, series: &Series, cx: &Cx) {
        let bytes = series.size_bytes() as u64;
        let fits = self.bytes.saturating_add(bytes) <= KEPT_BYTES_MAX;
        match cx.ctx.budget.reserve_spare(bytes).filter(|_| fits) {
            Some(held) => {
                self.bytes += bytes;
                self.series.push_back((series.clone(), held));
            }
            None => self.leave(),
        }
    }

    fn pop(&mut self) -> Option<Series> {
        let (series, held) = self.series.pop_front()?;
        self.bytes -= held.bytes();
        Some(series)
    }

    fn leave(&mut self) {
        *self = Self { is_left: true, ..Self::default() };
    }
}

/// One of the selectors.
pub(crate) struct Place {
    shared: Rc<RefCell<SharedRead>>,
    number: usize,
    /// The series that it took last.
    last: Option<Labels>,
    /// Once it is left.
    own: Option<Read>,
}

impl Fetch {
    pub fn start(cx: &mut Cx, plan: &SelectPlan, select: Select) -> Self {
        let Some(number) = plan.shared.get().copied() else { return Self::Own(Read::start(cx, select)) };
        let same = |shared: &Rc<RefCell<SharedRead>>| {
            let shared = shared.borrow();
            shared.number == number && !shared.is_read && reads_same(&shared.select, &select)
        };
        let mut started = cx.kept.iter().filter_map(|kept| kept.clone().downcast::<RefCell<SharedRead>>().ok());
        let shared = match started.find(same) {
            Some(shared) => shared,
            None => {
                let read = Read::start(cx, select.clone());
                let shared = SharedRead { number, select, read, queues: Vec::new(), is_read: false };
                let shared = Rc::new(RefCell::new(shared));
                cx.kept.push(shared.clone());
                shared
            }
        };
        let number = shared.borrow().queues.len();
        shared.borrow_mut().queues.push(Queue::default());
        Self::Shared(Place { shared, number, last: None, own: None })
    }

    /// The next series; its chunks are complete, however many entries of the stream had parts of them.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<Series>> {
        match self {
            Self::Own(read) => read.next(cx),
            Self::Shared(place) => place.next(cx),
        }
    }
}

/// Whether the answers to both serve both.
fn reads_same(a: &Select, b: &Select) -> bool {
    let downsampled = a.max_resolution_ms > 0 || a.coarser;
    let counter = |select: &Select| {
        let name = select.function.as_deref().unwrap_or("");
        promql_syntax::function(name).is_some_and(|f| f.counter)
    };
    a.range == b.range
        && a.matchers == b.matchers
        && (a.max_resolution_ms, a.coarser, a.coarsest_ms) == (b.max_resolution_ms, b.coarser, b.coarsest_ms)
        && (!downsampled || a.aggregates == b.aggregates)
        && a.step_ms == b.step_ms
        // Replicas are merged in another way for counters.
        && counter(a) == counter(b)
}

impl Place {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<Series>> {
        if self.own.is_none()
            && let Some(next) = self.next_of_shared(cx)?
        {
            self.last = next.as_ref().map(|series| series.labels.clone());
            return Ok(next);
        }
        let read = match &mut self.own {
            Some(read) => read,
            None => {
                let select = self.shared.borrow().select.clone();
                self.own.insert(Read::start(cx, select))
            }
        };
        while let Some(series) = read.next(cx)? {
            if self.last.as_ref().is_none_or(|last| series.labels > *last) {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }

    /// `None` when this place is left.
    fn next_of_shared(&self, cx: &mut Cx) -> Result<Option<Option<Series>>> {
        let shared = &mut *self.shared.borrow_mut();
        shared.is_read = true;
        let own = &mut shared.queues[self.number];
        if own.is_left {
            return Ok(None);
        }
        if let Some(series) = own.pop() {
            return Ok(Some(Some(series)));
        }
        let Some(series) = shared.read.next(cx)? else { return Ok(Some(None)) };
        let others =
            shared.queues.iter_mut().enumerate().filter(|(number, queue)| *number != self.number && !queue.is_left);
        others.for_each(|(_, queue)| queue.push(&series, cx));
        Ok(Some(Some(series)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut shared) = self.shared.try_borrow_mut() {
            shared.queues[self.number].leave();
        }
    }
}
