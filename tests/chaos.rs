//! Nothing that was metered is lost, and nothing is counted twice, whatever dies, stops, fills up or is
//! sent in another order, at any moment under load.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::chaos::fleet::Fleet;
use crate::support::chaos::guests::{self, Guest};
use crate::support::chaos::load::{Load, Seen, TENANTS};
use crate::support::counting::tally::Tally;
use crate::support::counting::{number, seed};
use crate::support::wait;

/// Rounds of a run; `WEIR_CHAOS_ROUNDS` or `WEIR_SOAK_SECONDS` make it longer.
const ROUNDS: u64 = 10;
/// Tenants that come and go in a round.
const GUESTS: u64 = 6;
/// How long a process stands still.
const STILL: Duration = Duration::from_millis(300);

/// What is done in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    KillProxy,
    KillServer,
    KillPostgres,
    KillAll,
    StopProxy,
    StopServer,
    StopPostgres,
    CutStreams,
    EndProxy,
    /// While it starts, too, several times: what recovery did half is done again.
    KillProxyAsItStarts,
    FillDisk,
    FillDiskAndKillProxy,
    /// Tenants come and go; then the proxy is killed.
    GuestsAndKillProxy,
}

/// In this order, so that a short run has the hardest.
const BLOWS: [Blow; 18] = [
    Blow::KillProxy,
    Blow::KillPostgres,
    Blow::FillDiskAndKillProxy,
    Blow::KillAll,
    Blow::GuestsAndKillProxy,
    Blow::KillServer,
    Blow::FillDisk,
    Blow::KillProxyAsItStarts,
    Blow::StopServer,
    Blow::KillProxy,
    Blow::CutStreams,
    Blow::StopPostgres,
    Blow::KillProxy,
    Blow::EndProxy,
    Blow::StopProxy,
    Blow::KillProxy,
    Blow::KillAll,
    Blow::KillProxy,
];

/// Of an embedded server: its SQLite file is as durable.
const EMBEDDED: [Blow; 4] = [Blow::KillServer, Blow::KillAll, Blow::CutStreams, Blow::StopServer];

#[test]
fn soak_chaos_loses_nothing_and_counts_nothing_twice() {
    let rounds = number("WEIR_CHAOS_ROUNDS").max(ROUNDS);
    chaos(true, &BLOWS, rounds);
}

#[test]
fn soak_chaos_with_sqlite() {
    chaos(false, &EMBEDDED, EMBEDDED.len() as u64);
}

fn chaos(postgres: bool, blows: &[Blow], rounds: u64) {
    let seed = seed();
    let end = Instant::now() + Duration::from_secs(number("WEIR_SOAK_SECONDS"));
    let mut fleet = Fleet::start(seed, postgres);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut stored, mut wrong, mut round) = (Tally::default(), Vec::new(), 0);
    while round < rounds || Instant::now() < end {
        let blow = blows[(round % blows.len() as u64) as usize];
        let began = Instant::now();
        let guests = if blow == Blow::GuestsAndKillProxy { GUESTS } else { 0 };
        let (seen, guests) = under_load(&mut fleet, blow, (seed, round, guests), &mut rng);
        fleet.settle();
        let now = fleet.usage();
        let mut found = judge(&now.since(&stored), &seen, blow);
        found.extend(guests.iter().filter_map(|guest| now.of(guest.tenant).difference(&guest.counted).err()));
        stored = now;
        let cuts: u64 = seen.iter().map(|seen| seen.cuts).sum();
        eprintln!("round {round}: {blow:?}: {cuts} exchanges cut, {:?}: {found:?}", began.elapsed());
        wrong.extend(found.into_iter().map(|why| format!("round {round}, {blow:?}: {why}")));
        fleet.audit();
        round += 1;
    }
    eprintln!("{round} rounds; at the relay {}", fleet.relay.deeds());
    assert!(wrong.is_empty(), "{} findings in {round} rounds, seed {seed}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Strikes at a random moment, or the moment that an answer has come, and goes on for a while.
fn under_load(
    fleet: &mut Fleet,
    blow: Blow,
    (seed, round, guests): (u64, u64, u64),
    rng: &mut StdRng,
) -> (Vec<Seen>, Vec<Guest>) {
    let load = Load::start(seed + round, |tls, host| fleet.target(tls, host));
    let exchanges = |n: u64| wait::until("exchanges", || (load.completed() >= n).then_some(()));
    exchanges(rng.random_range(20..200));
    let guests = guests::visit(fleet, round, guests, rng);
    if rng.random_bool(0.5) {
        std::thread::sleep(Duration::from_micros(rng.random_range(0..20_000)));
    }
    load.await_the_next();
    strike(fleet, blow, &load, rng);
    exchanges(load.completed() + rng.random_range(1..100));
    (load.finish(), guests)
}

fn strike(fleet: &mut Fleet, blow: Blow, load: &Load, rng: &mut StdRng) {
    match blow {
        Blow::KillProxy | Blow::GuestsAndKillProxy => {
            fleet.proxy.kill();
            fleet.restart_proxy();
        }
        Blow::KillServer => {
            fleet.server.kill();
            fleet.restart_server();
        }
        Blow::KillPostgres => fleet.kill_postgres(),
        Blow::KillAll => {
            fleet.proxy.kill();
            fleet.server.kill();
            // The proxy serves without them, by its last good configuration.
            fleet.restart_proxy();
            fleet.kill_postgres();
            fleet.restart_server();
        }
        Blow::StopProxy => still(|name| fleet.proxy.signal(name)),
        Blow::StopServer => still(|name| fleet.server.signal(name)),
        Blow::StopPostgres => still(|name| fleet.postgres.iter().for_each(|postgres| postgres.signal(name))),
        Blow::CutStreams => fleet.relay.cut(),
        Blow::EndProxy => {
            assert!(fleet.proxy.terminate().success());
            fleet.restart_proxy();
        }
        Blow::KillProxyAsItStarts => {
            fleet.proxy.kill();
            for _ in 0..rng.random_range(1..5) {
                fleet.begin_proxy();
                std::thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
                fleet.proxy.kill();
            }
            fleet.restart_proxy();
        }
        Blow::FillDisk | Blow::FillDiskAndKillProxy => {
            let Some(disk) = &fleet.disk else { return };
            disk.fill();
            fleet.await_unlogged();
            let full = load.completed() + 50;
            wait::until("exchanges while the disk is full", || (load.completed() >= full).then_some(()));
            if blow == Blow::FillDiskAndKillProxy {
                fleet.proxy.kill();
                fleet.restart_proxy();
            }
            if let Some(disk) = &fleet.disk {
                disk.empty();
            }
        }
    }
}

fn still(signal: impl Fn(&str)) {
    signal("STOP");
    std::thread::sleep(STILL);
    signal("CONT");
}

/// What is wrong with a round.
///
/// Where nothing of a tenant was cut, every metric is exact. Where one exchange was, because its proxy died:
/// at least what was completed and what came of the cut answer, at most that and what was sent, one
/// request, and the rest of that answer (the proxy may have announced a write that its socket never took).
fn judge(metered: &Tally, seen: &[Seen], blow: Blow) -> Vec<String> {
    let mut wrong = Vec::new();
    let dies = !matches!(blow, Blow::KillServer | Blow::KillPostgres | Blow::CutStreams | Blow::FillDisk)
        && !matches!(blow, Blow::StopProxy | Blow::StopServer | Blow::StopPostgres);
    for ((tenant, _), seen) in TENANTS.iter().zip(seen) {
        let mine = metered.of(tenant);
        if seen.cuts == 0 {
            wrong.extend(mine.difference(&seen.completed).err());
            continue;
        }
        if !dies {
            wrong.push(format!("{tenant}: {} exchanges failed, though its proxy lived", seen.cuts));
        }
        let sides = [
            ("requests", &["requests"][..], 0, seen.cuts),
            ("request side", &["request_bytes", "tunnel_request_bytes"], 0, seen.cut_sent),
            ("response side", &["response_bytes", "tunnel_response_bytes"], seen.cut_received, seen.cut_answers),
        ];
        for (name, metrics, least, most) in sides {
            let sum = |tally: &Tally| metrics.iter().map(|metric| tally.get(tenant, metric)).sum::<u64>();
            let (metered, completed) = (sum(&mine), sum(&seen.completed));
            let bounds = completed + least..=completed + most.max(least);
            if !bounds.contains(&metered) {
                wrong.push(format!("{tenant}: {name}: metered {metered}, not within {bounds:?}"));
            }
        }
    }
    wrong
}
