//! Whose turn it is: a bounded number run at one time; those that wait go in the order in which they came, the tenants in
//! turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::tenants::Tenants;

/// How many may run and wait; 0 = any number.
#[derive(Debug, Default)]
pub(crate) struct LineLimits {
    pub running_max: usize,
    pub waiting_max: usize,
    pub tenants: Arc<Tenants>,
}

/// Why somebody gets no place: this many waited, of whom so many were the tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub waiting: usize,
    pub of_tenant: usize,
    /// The limit that was met is the tenant's own.
    pub own: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Line {
    limits: LineLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    tenants: HashMap<Arc<str>, Tenant>,
    /// Tenants that wait, the next first.
    turns: VecDeque<Arc<str>>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Result<(), Full>>)>,
}

/// A place among those that run, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    tenant: Arc<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.state.lock();
        state.left(&self.tenant);
        state.admit(&self.line.limits);
    }
}

/// Somebody who waits; who drops this waits no longer.
#[derive(Debug)]
struct Waiting {
    line: Arc<Line>,
    tenant: Arc<str>,
    ticket: u64,
    called: Option<oneshot::Receiver<Result<(), Full>>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut called) = self.called.take() else { return };
        let mut state = self.line.state.lock();
        if let Ok(Ok(())) = called.try_recv() {
            state.left(&self.tenant);
            state.admit(&self.line.limits);
        } else {
            state.forget(&self.tenant, self.ticket);
        }
    }
}

impl Line {
    pub fn new(limits: LineLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// How many run, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.running, state.waiting)
    }

    /// Waits for a place. Dropping the future ends the wait.
    ///
    /// # Errors
    /// [`Full`] when too many wait. It meets those first whose tenant has the most waiting.
    pub async fn enter(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Place, Full> {
        let place = || Place { line: self.clone(), tenant: tenant.clone() };
        let mut waiting = {
            let mut state = self.state.lock();
            // Whoever waits while there is room waits because its tenant has no more.
            if state.may_run(tenant, &self.limits) {
                state.running += 1;
                state.tenants.entry(tenant.clone()).or_default().running += 1;
                return Ok(place());
            }
            state.make_room(tenant, &self.limits)?;
            let (call, called) = oneshot::channel();
            let ticket = state.queue(tenant, call);
            Waiting { line: self.clone(), tenant: tenant.clone(), ticket, called: Some(called) }
        };
        // Taken out only once it has its answer: who is dropped before gives back what it was given.
        let answer = match &mut waiting.called {
            Some(called) => called.await,
            None => return Ok(place()),
        };
        waiting.called = None;
        match answer {
            Ok(Ok(())) => Ok(place()),
            Ok(Err(full)) => Err(full),
            Err(_) => Err(Full { waiting: 0, of_tenant: 0, own: false }),
        }
    }
}

impl State {
    fn may_run(&self, tenant: &str, limits: &LineLimits) -> bool {
        let of_tenant = self.tenants.get(tenant).map_or(0, |t| t.running);
        let below = |n, max| max == 0 || n < max;
        below(self.running, limits.running_max) && below(of_tenant, limits.tenants.of(tenant).running_max)
    }

    /// Makes room for one more that waits: where the line is full, the newest of the tenant with the most gives way to one
    /// of a tenant that has clearly fewer.
    fn make_room(&mut self, tenant: &str, limits: &LineLimits) -> Result<(), Full> {
        let of_tenant = self.tenants.get(tenant).map_or(0, |t| t.waiting.len());
        let own_max = limits.tenants.of(tenant).waiting_max;
        if own_max > 0 && of_tenant >= own_max {
            return Err(Full { waiting: self.waiting, of_tenant, own: true });
        }
        if limits.waiting_max == 0 || self.waiting < limits.waiting_max {
            return Ok(());
        }
        let longest = self.tenants.iter().max_by_key(|(_, t)| t.waiting.len()).map(|(name, _)| name.clone());
        let longest = longest.filter(|name| self.tenants[name].waiting.len() > of_tenant + 1);
        let Some(name) = longest else { return Err(Full { waiting: self.waiting, of_tenant, own: false }) };
        if let Some(one) = self.tenants.get_mut(&name) {
            let of_tenant = one.waiting.len();
            if let Some((_, call)) = one.waiting.pop_back() {
                // One that is gone has nothing to be told.
                let _ = call.send(Err(Full { waiting: self.waiting, of_tenant, own: false }));
                self.waiting -= 1;
            }
        }
        Ok(())
    }

    fn queue(&mut self, tenant: &Arc<str>, call: oneshot::Sender<Result<(), Full>>) -> u64 {
        self.tickets += 1;
        self.waiting += 1;
        let of_tenant = self.tenants.entry(tenant.clone()).or_default();
        if of_tenant.waiting.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        of_tenant.waiting.push_back((self.tickets, call));
        self.tickets
    }

    /// One that ran has ended.
    fn left(&mut self, tenant: &str) {
        self.running -= 1;
        if let Some(of_tenant) = self.tenants.get_mut(tenant) {
            of_tenant.running -= 1;
        }
        self.tidy(tenant);
    }

    /// One that waited is gone.
    fn forget(&mut self, tenant: &str, ticket: u64) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        let before = of_tenant.waiting.len();
        of_tenant.waiting.retain(|(t, _)| *t != ticket);
        self.waiting -= before - of_tenant.waiting.len();
        if before > 0 && of_tenant.waiting.is_empty() {
            self.turns.retain(|name| **name != *tenant);
        }
        self.tidy(tenant);
    }

    /// Tenants with nothing to do are forgotten: any number of names may come.
    fn tidy(&mut self, tenant: &str) {
        if self.tenants.get(tenant).is_some_and(|t| t.running == 0 && t.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }

    /// Calls as many as may run.
    fn admit(&mut self, limits: &LineLimits) {
        let mut passed = 0;
        while passed < self.turns.len() && (limits.running_max == 0 || self.running < limits.running_max) {
            let Some(name) = self.turns.pop_front() else { return };
            if !self.may_run(&name, limits) {
                passed += 1;
                self.turns.push_back(name);
                continue;
            }
            let Some(of_tenant) = self.tenants.get_mut(&name) else { continue };
            if let Some((_, call)) = of_tenant.waiting.pop_front() {
                self.waiting -= 1;
                if call.send(Ok(())).is_ok() {
                    of_tenant.running += 1;
                    self.running += 1;
                    passed = 0;
                }
            }
            match of_tenant.waiting.is_empty() {
                true => self.tidy(&name),
                false => self.turns.push_back(name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::tenants::TenantLimits;

    type Entering = BoxFuture<'static, Result<Place, Full>>;

    fn line(running_max: usize, running_of_tenant_max: usize, waiting_max: usize) -> Arc<Line> {
        let of_tenant = TenantLimits { running_max: running_of_tenant_max, ..TenantLimits::default() };
        Line::new(LineLimits { running_max, waiting_max, tenants: Arc::new(Tenants::new(of_tenant)) })
    }

    /// Asks for a place; `Err` is one who waits.
    fn enter(line: &Arc<Line>, tenant: &str) -> Result<Result<Place, Full>, Entering> {
        let (line, tenant) = (line.clone(), Arc::from(tenant));
        let mut entering = async move { line.enter(&tenant).await }.boxed();
        match (&mut entering).now_or_never() {
            Some(answer) => Ok(answer),
            None => Err(entering),
        }
    }

    fn waits(line: &Arc<Line>, tenant: &str) -> Entering {
        enter(line, tenant).expect_err("does not wait")
    }

    fn place(entered: Result<Result<Place, Full>, Entering>) -> Place {
        entered.unwrap_or_else(|_| panic!("waits")).unwrap()
    }

    #[test]
    fn tenants_take_turns() {
        let line = line(1, 0, 0);
        let mut running = place(enter(&line, "a"));
        let mut waiting: Vec<_> = ["a", "a", "a", "b", "c", "b"].iter().map(|t| (*t, waits(&line, t))).collect();
        let mut order = String::new();
        while !waiting.is_empty() {
            drop(running);
            let at = waiting.iter_mut().position(|(_, w)| {
                w.now_or_never().is_some_and(|r| {
                    // Kept below, in place of what ran.
                    std::mem::forget(r.unwrap());
                    true
                })
            });
            let (tenant, _) = waiting.remove(at.unwrap());
            order += tenant;
            running = Place { line: line.clone(), tenant: tenant.into() };
        }
        assert_eq!(order, "abcaba");
        drop(running);
        assert_eq!((line.counts(), line.state.lock().tenants.len()), ((0, 0), 0));
    }

    #[test]
    fn one_tenant_does_not_take_all_places() {
        let line = line(3, 2, 0);
        let a = [place(enter(&line, "a")), place(enter(&line, "a"))];
        let mut third = waits(&line, "a");
        let b = place(enter(&line, "b"));
        let mut c = waits(&line, "c");
        drop(b);
        assert!((&mut third).now_or_never().is_none(), "a has its two");
        let c = (&mut c).now_or_never().unwrap().unwrap();
        drop(a);
        assert!(third.now_or_never().unwrap().is_ok());
        drop(c);
        assert_eq!(line.counts(), (0, 0));
    }

    #[test]
    fn a_full_line_refuses_the_greediest() {
        let line = line(1, 0, 3);
        let running = place(enter(&line, "a"));
        let (_first, second, third) = (waits(&line, "a"), waits(&line, "a"), waits(&line, "a"));
        assert_eq!(enter(&line, "a").ok().unwrap().unwrap_err(), Full { waiting: 3, of_tenant: 3, own: false });
        let _b = waits(&line, "b");
        assert_eq!(third.now_or_never().unwrap().unwrap_err(), Full { waiting: 3, of_tenant: 3, own: false });
        // Two of a, one of b: now all have their share.
        assert_eq!(enter(&line, "b").ok().unwrap().unwrap_err(), Full { waiting: 3, of_tenant: 1, own: false });
        let _c = enter(&line, "c").ok();
        assert!(second.now_or_never().unwrap().is_err());
        drop(running);
    }

    #[test]
    fn a_tenant_at_its_own_limit_is_refused_while_there_is_room_for_others() {
        let of_tenant = TenantLimits { waiting_max: 2, ..TenantLimits::default() };
        let tenants = Arc::new(Tenants::new(of_tenant));
        let line = Line::new(LineLimits { running_max: 1, waiting_max: 10, tenants });
        let running = place(enter(&line, "a"));
        let (_first, second) = (waits(&line, "a"), waits(&line, "a"));
        let refused = Full { waiting: 2, of_tenant: 2, own: true };
        assert_eq!(enter(&line, "a").ok().unwrap().unwrap_err(), refused);
        let _b = waits(&line, "b");
        drop(second);
        let _third = waits(&line, "a");
        drop(running);
    }

    #[test]
    fn who_leaves_gives_the_place_to_the_next() {
        let line = line(1, 0, 0);
        let running = place(enter(&line, "a"));
        let (gone, called, mut last) = (waits(&line, "a"), waits(&line, "b"), waits(&line, "b"));
        drop(gone);
        assert_eq!(line.counts(), (1, 2));
        drop(running);
        // It was called, and leaves before it looks.
        drop(called);
        assert!((&mut last).now_or_never().unwrap().is_ok());
        assert_eq!((line.counts(), line.state.lock().turns.len()), ((0, 0), 0));
    }
}
