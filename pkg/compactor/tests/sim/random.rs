//! Anything may happen at any time.

use super::world::{Plan, World};
use super::{env, simulate};

/// What must have taken place for a test to have shown anything.
const COUNTED: [&str; 6] = [
    "thanos_compact_group_compactions_total",
    "thanos_compact_downsample_total",
    "aion_compact_recovered_total",
    "aion_compact_leases_lost_total",
    "thanos_compact_blocks_cleaned_total",
    "aion_compact_rewrites_total",
];
const SEEDS: u64 = 2;

async fn run(plan: Plan) -> Vec<u64> {
    let mut world = World::new(plan).await;
    let full = env("AION_SIM_SEEDS").or(env("AION_SIM_SEED")).is_some();
    let steps = if full { 2500 } else { 800 };
    for _ in 0..steps {
        world.step().await;
    }
    world.converge().await;
    let text = world.metrics.encode();
    let sum = |name: &str| {
        let lines = text.lines().filter(|l| l.starts_with(name));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    };
    COUNTED.iter().map(|name| sum(name)).collect()
}

#[test]
fn a_seed_tells_all_that_happens() {
    let lived = || {
        simulate(async {
            let plan = Plan { compactors: 3, kills: true, pauses: true, faults: true, jumps: true, ..plan(99) };
            let mut world = World::new(plan).await;
            for _ in 0..600 {
                world.step().await;
            }
            world.log
        })
    };
    assert_eq!(lived(), lived());
}

/// Runs all seeds; `least` is what must have taken place in all together, by [`COUNTED`].
fn all(name: u64, least: [u64; 6], plan: impl Fn(u64) -> Plan) {
    let mut counts = vec![0; COUNTED.len()];
    let seeds: Vec<u64> = match env("AION_SIM_SEED") {
        Some(seed) => [seed % 1_000_000].into_iter().filter(|_| seed / 1_000_000 == name).collect(),
        None => (0..env("AION_SIM_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    for seed in &seeds {
        let plan = plan(name * 1_000_000 + seed);
        let counted = simulate(run(plan));
        counts.iter_mut().zip(counted).for_each(|(sum, n)| *sum += n);
    }
    println!("{} seeds: {:?}", seeds.len(), COUNTED.iter().zip(&counts).collect::<Vec<_>>());
    for ((name, count), least) in COUNTED.iter().zip(&counts).zip(least) {
        assert!(seeds.is_empty() || *count >= least, "{name}: {count}, at least {least} expected");
    }
}

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        compactors: 2,
        kills: false,
        pauses: false,
        split: false,
        delete_series: false,
        retention: false,
        faults: false,
        unconditional: false,
        jumps: false,
        life: false,
    }
}

#[test]
fn one_alone() {
    all(1, [3, 1, 0, 0, 3, 0], |seed| Plan { compactors: 1, ..plan(seed) });
}

#[test]
fn three_in_any_order() {
    all(2, [3, 1, 0, 0, 3, 0], |seed| Plan { compactors: 3, ..plan(seed) });
}

#[test]
fn two_that_die() {
    all(3, [3, 1, 0, 0, 3, 0], |seed| Plan { kills: true, ..plan(seed) });
}

#[test]
fn three_that_sleep() {
    all(4, [3, 1, 0, 0, 3, 0], |seed| Plan { compactors: 3, pauses: true, ..plan(seed) });
}

#[test]
fn three_that_sleep_and_die_and_split_and_delete() {
    all(5, [3, 1, 0, 0, 3, 0], |seed| Plan {
        compactors: 3,
        kills: true,
        pauses: true,
        split: seed % 2 == 0,
        delete_series: seed % 3 != 0,
        retention: seed % 5 > 2,
        ..plan(seed)
    });
}

#[test]
fn two_on_a_store_that_fails() {
    all(6, [3, 1, 0, 0, 3, 1], |seed| Plan { faults: true, delete_series: true, retention: true, ..plan(seed) });
}

#[test]
fn one_that_dies_on_a_store_without_conditions() {
    all(9, [3, 1, 0, 0, 3, 1], |seed| Plan {
        compactors: 1,
        kills: true,
        delete_series: true,
        retention: seed % 2 == 1,
        unconditional: true,
        ..plan(seed)
    });
}

#[test]
fn two_whose_clocks_jump() {
    all(7, [3, 1, 0, 0, 3, 0], |seed| Plan { jumps: true, retention: true, ..plan(seed) });
}

#[test]
fn three_with_everything() {
    all(8, [3, 1, 0, 0, 3, 1], |seed| Plan {
        compactors: 3,
        kills: true,
        pauses: true,
        split: seed % 2 == 1,
        delete_series: true,
        retention: seed % 3 > 0,
        faults: true,
        jumps: true,
        ..plan(seed)
    });
}
