//! The books, on a disk and with counters that are simulated, against a server that is: kills between
//! any two steps, losses of power, full disks, copies of the directory, old snapshots, a network that loses,
//! doubles and reorders, clocks that are set. After each: nothing is counted twice; in the end: nothing is missing
//! but what the loss of power, the copy or the snapshot explains, and that is said.

mod counters;
mod disk;
mod fate;
mod server;
mod world;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::testing::soak;

use world::{Trouble, World};

/// One schedule: what happens is drawn from the seed.
fn schedule(seed: u64, troubles: &[Trouble]) {
    let rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(rng);
    let steps = world.rng.random_range(20..90);
    for _ in 0..steps {
        world.step(troubles);
        world.check();
    }
    world.settle();
    world.check_settled();
}

#[test]
fn soak_kills_and_full_disks_lose_nothing_and_double_nothing() {
    soak::seeds(|seed| schedule(seed, &[Trouble::Kill, Trouble::Full]));
}

#[test]
fn soak_a_loss_of_power_takes_the_open_window_and_says_so() {
    soak::seeds(|seed| schedule(seed, &[Trouble::Kill, Trouble::Full, Trouble::Power]));
}

#[test]
fn soak_copies_and_old_snapshots_never_count_twice() {
    let all = [Trouble::Kill, Trouble::Full, Trouble::Power, Trouble::Copy, Trouble::Snapshot];
    soak::seeds(|seed| schedule(seed, &all));
}
