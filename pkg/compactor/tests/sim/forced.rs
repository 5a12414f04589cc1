//! Deaths and sleeps at each failpoint, one by one and in pairs, with one, two and three compactors; deaths, sleeps and
//! failures of the store at each change of the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::gate::Trouble;
use super::script::{Action, Arm, Site};
use super::steps::Strike;
use super::world::{Plan, World};
use super::{DAY, HOUR, env, simulate};

/// Long enough for all work on the few blocks.
const LIFE_MS: i64 = 14 * DAY;
/// Pairs tried unless `AION_SIM_SEEDS` says otherwise.
const PAIRS: u64 = 6;

/// Cases of something at a change, as well.
const CHANGES: usize = 6;

/// What was met and what took place in one life.
struct Lived {
    hits: BTreeMap<Site, u64>,
    fired: usize,
    checks: u64,
}

fn life(seed: u64, compactors: usize) -> Plan {
    Plan {
        seed,
        compactors,
        kills: false,
        pauses: false,
        split: false,
        delete_series: true,
        retention: true,
        faults: false,
        unconditional: false,
        jumps: false,
        life: true,
    }
}

fn live(seed: u64, compactors: usize, arms: Vec<Arm>) -> Lived {
    simulate(async {
        let mut world = World::new(life(seed, compactors)).await;
        world.script.lock().arms = arms;
        world.until(LIFE_MS).await;
        world.converge().await;
        let script = world.script.lock();
        Lived {
            hits: script.hits.clone(),
            fired: script.arms.iter().filter(|a| a.fired).count(),
            checks: world.checker.checks,
        }
    })
}

/// All places that a life without deaths comes by, and those of recovery after one.
fn sites() -> &'static [Site] {
    static SITES: OnceLock<Vec<Site>> = OnceLock::new();
    SITES.get_or_init(|| {
        let mut sites: BTreeSet<Site> = live(0, 1, Vec::new()).hits.into_keys().collect();
        let died = ("compact.after_commit".to_owned(), "compaction");
        sites.extend(live(0, 1, vec![Arm::new(&died, 1, Action::Kill)]).hits.into_keys());
        println!("{sites:?}");
        sites.into_iter().collect()
    })
}

/// One of each failpoint's sites, of other kinds for others.
fn some_sites() -> Vec<Site> {
    let mut by_name: BTreeMap<&str, Vec<&Site>> = BTreeMap::new();
    for site in sites() {
        by_name.entry(&site.0).or_default().push(site);
    }
    by_name.values().enumerate().map(|(at, sites)| sites[at % sites.len()].clone()).collect()
}

/// Runs a life for each list of arms; gives how many there were and how many arms fired.
fn all(lives: &[(usize, Vec<Arm>)]) -> (usize, usize) {
    let (mut wanted, mut fired, mut checks) = (0, 0, 0);
    for (at, (compactors, arms)) in lives.iter().enumerate() {
        wanted += arms.len();
        let lived = live(at as u64, *compactors, arms.clone());
        fired += lived.fired;
        checks += lived.checks;
    }
    println!("{} lives, {fired} of {wanted} arms fired, {checks} states checked", lives.len());
    (wanted, fired)
}

/// With recovery armed something must die before there is any.
fn with_a_death(arms: Vec<Arm>) -> Vec<Arm> {
    if arms.iter().all(|a| a.site.1 != super::RECOVERY) {
        return arms;
    }
    let death = Arm::new(&("compact.after_commit".to_owned(), "compaction"), 1, Action::Kill);
    arms.into_iter().chain([death]).collect()
}

#[test]
fn every_failpoint_is_met() {
    let met: BTreeSet<String> = sites().iter().map(|(name, _)| name.clone()).collect();
    let listed: BTreeSet<String> = crate::failpoints().iter().map(|f| (*f).to_owned()).collect();
    assert_eq!(met, listed);
    let kinds: BTreeSet<&str> = sites().iter().map(|(_, kind)| *kind).collect();
    let all = ["cleaning", "compaction", "deletion", "downsampling", super::RECOVERY, "retention"];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[test]
fn a_death_at_each() {
    let full = env("AION_SIM_SEEDS").is_some();
    let mut lives = Vec::new();
    for (at, site) in (if full { sites().to_vec() } else { some_sites() }).iter().enumerate() {
        for compactors in 1..=3 {
            if full || at % 3 + 1 == compactors {
                lives.push((compactors, with_a_death(vec![Arm::new(site, 1, Action::Kill)])));
            }
        }
    }
    let (wanted, fired) = all(&lives);
    assert_eq!(wanted, fired);
}

#[test]
fn a_sleep_at_each() {
    let full = env("AION_SIM_SEEDS").is_some();
    let mut lives = Vec::new();
    for (at, site) in sites().iter().enumerate() {
        // longer than a lease, and longer than from mark to deletion
        let actions = [
            Action::Sleep(400_000),
            Action::SleepAtChange(400_000),
            Action::Sleep(99 * HOUR),
            Action::SleepAtChange(99 * HOUR),
            Action::SleepAtChange(250 * HOUR),
        ];
        for (nth, action) in actions.into_iter().enumerate() {
            for compactors in 2..=3 {
                if full || (at + nth) % 24 == 0 && at % 2 + 2 == compactors {
                    lives.push((compactors, with_a_death(vec![Arm::new(site, 1, action)])));
                }
            }
        }
    }
    let (wanted, fired) = all(&lives);
    assert_eq!(wanted, fired);
}

#[test]
fn deaths_at_each_two() {
    let sites = sites();
    let mut lives = Vec::new();
    for (at, first) in sites.iter().enumerate() {
        for second in &sites[at..] {
            for compactors in 1..=3 {
                let nth = if first == second { 2 } else { 1 };
                let arms = vec![Arm::new(first, 1, Action::Kill), Arm::new(second, nth, Action::Kill)];
                lives.push((compactors, with_a_death(arms)));
            }
        }
    }
    let wanted = env("AION_SIM_SEEDS").unwrap_or(PAIRS).min(lives.len() as u64) as usize;
    let every = lives.len() / wanted.max(1);
    let chosen: Vec<_> = lives.into_iter().step_by(every.max(1)).collect();
    let (wanted, fired) = all(&chosen);
    // a recovery may meet its failpoints less often than deaths are wanted there
    assert!(fired * 10 >= wanted * 9, "{fired} of {wanted}");
}

/// A life in which one thing happens at one change; gives how many changes there were.
fn struck(compactors: usize, strike: Option<(u64, Strike)>) -> u64 {
    simulate(async {
        let mut world = World::new(life(9, compactors)).await;
        world.strike = strike;
        world.until(LIFE_MS).await;
        world.converge().await;
        world.changes
    })
}

#[test]
fn something_at_each_change() {
    let strikes = [
        Strike::KillBefore,
        Strike::KillAfter,
        Strike::Sleep(400_000),
        Strike::Sleep(99 * HOUR),
        Strike::Sleep(250 * HOUR),
        Strike::Fail(Trouble::Timeout),
        Strike::FailAfter(Trouble::Timeout),
        Strike::FailAfter(Trouble::Precondition),
    ];
    let mut cases = Vec::new();
    for compactors in 1..=2 {
        for at in 1..=struck(compactors, None) {
            cases.extend(strikes.iter().map(|strike| (compactors, (at, *strike))));
        }
    }
    let wanted = env("AION_SIM_SEEDS").map_or(CHANGES, |n| n as usize).clamp(1, cases.len());
    let (all, every) = (cases.len(), cases.len() as f64 / wanted as f64);
    for n in 0..wanted {
        let (compactors, strike) = cases[(n as f64 * every) as usize];
        struck(compactors, Some(strike));
    }
    println!("{wanted} of {all} cases");
}

#[test]
fn a_clock_that_is_wrong_all_the_time() {
    for off_ms in [49 * HOUR, -49 * HOUR, 400 * DAY] {
        for compactors in if env("AION_SIM_SEEDS").is_some() { 1..=3 } else { 2..=2 } {
            simulate(async {
                let mut world = World::new(life(3, compactors)).await;
                world.slots[0].clock.off_ms.store(off_ms, Ordering::Relaxed);
                world.log.push(format!("the clock of c0 is {} h off", off_ms / HOUR));
                world.until(LIFE_MS).await;
                world.converge().await;
            });
        }
    }
}

/// A partial upload goes on while it is cleaned up: at each step of the one, after each step of the other.
#[test]
fn an_upload_that_goes_on_at_each_step_of_cleaning() {
    let lived = |compactors: usize, come_back: Option<(u64, u32)>| {
        simulate(async {
            let mut world = World::new(life(5, compactors)).await;
            world.come_back = come_back;
            world.until(LIFE_MS).await;
            world.converge().await;
            (world.touches, world.partial.is_none())
        })
    };
    let most = if env("AION_SIM_SEEDS").is_some() { 3 } else { 1 };
    for compactors in 1..=most {
        let (touches, is_done) = lived(compactors, None);
        // a mark, the files, the mark
        assert!(touches >= 4 && !is_done, "{touches}");
        for nth in 1..=touches {
            for steps in 0..=4 {
                let (_, is_done) = lived(compactors, Some((nth, steps)));
                assert!(is_done, "the upload came to no end: change {nth}, {steps} steps");
            }
        }
    }
}
