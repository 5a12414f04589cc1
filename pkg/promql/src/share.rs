//! One stream of series for several readers: a subtree that several places of a query have.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::eval::{Cx, Operator, Result, Stream};
use crate::plan::SharedPlan;
use crate::series::StepSeries;
use crate::{Grid, QueryError, open};

/// A subtree that was opened, and what each place has still to read of it.
struct Source {
    number: u32,
    grid: Grid,
    stream: Stream,
    queues: Vec<VecDeque<StepSeries>>,
    is_read: bool,
}

/// A place that reads the subtree.
struct Place {
    source: Rc<RefCell<Source>>,
    number: usize,
}

pub(crate) fn open(shared: &SharedPlan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    let same = |source: &Rc<RefCell<Source>>| {
        let source = source.borrow();
        // What was read before would be missing.
        source.number == shared.number && source.grid == grid && !source.is_read
    };
    let opened = cx.kept.iter().filter_map(|kept| kept.clone().downcast::<RefCell<Source>>().ok());
    let source = match opened.into_iter().find(same) {
        Some(source) => source,
        None => {
            let Some(plan) = shared.plan() else {
                return Err(QueryError::Execution(format!("unexpected error: no subtree {}", shared.number)));
            };
            let stream = open::open(plan, grid, cx)?;
            let source = Rc::new(RefCell::new(Source {
                number: shared.number,
                grid,
                stream,
                queues: Vec::new(),
                is_read: false,
            }));
            cx.kept.push(source.clone());
            source
        }
    };
    let number = source.borrow().queues.len();
    source.borrow_mut().queues.push(VecDeque::new());
    Ok(Box::new(Place { source, number }))
}

impl Operator for Place {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let source = &mut *self.source.borrow_mut();
        source.is_read = true;
        if let Some(series) = source.queues[self.number].pop_front() {
            cx.release_series(&series);
            return Ok(Some(series));
        }
        let Some(series) = cx.next(&mut source.stream)? else { return Ok(None) };
        for (number, queue) in source.queues.iter_mut().enumerate() {
            if number != self.number {
                cx.hold_series(&series)?;
                queue.push_back(series.clone());
            }
        }
        Ok(Some(series))
    }
}
