//! Databases that are written to, saved, cut, killed and corrupted at random: a start finds what was acknowledged, and the same
//! with the saved open chunks as without them.
//!
//! `AION_SIM_SEED` runs one seed, `AION_SIM_SEEDS` so many.

mod damage;
mod disk;
mod given;
mod random;
mod read;
mod samples;
mod world;

use testkit::setting;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_find_what_was_acknowledged() {
    let seeds = match setting("AION_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..setting("AION_SIM_SEEDS").unwrap_or(5) + 1,
    };
    let (mut starts, mut used, mut samples) = (0, 0, 0);
    for seed in seeds.clone() {
        let mut world = World::new(seed).await;
        for _ in 0..120 {
            world.step().await;
        }
        world.end().await;
        (starts, used, samples) = (starts + world.starts, used + world.used, samples + world.model.len());
    }
    println!("{seeds:?}: {starts} starts, {used} took saved open chunks, {samples} samples");
    // Where nothing is taken nothing is tried.
    let is_one = setting("AION_SIM_SEED").is_some();
    assert!(is_one || used * 4 > starts, "only {used} of {starts} starts took saved open chunks");
}
