//! Nothing that was metered is lost, and nothing is counted twice, whatever dies, stops, fills up or is
//! sent in another order, at any moment under load.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::chaos::fleet::Fleet;
use crate::support::chaos::load::{Load, Seen, TENANTS};
use crate::support::counting::tally::Tally;
use crate::support::wait;

/// Rounds of a run; `WEIR_CHAOS_ROUNDS` or `WEIR_SOAK_SECONDS` make it longer.
const ROUNDS: u64 = 9;
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
}

/// In this order, so that a short run has the hardest.
const BLOWS: [Blow; 17] = [
    Blow::KillProxy,
    Blow::KillPostgres,
    Blow::FillDiskAndKillProxy,
    Blow::KillAll,
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

#[test]
fn soak_chaos_loses_nothing_and_counts_nothing_twice() {
    let seed = number("WEIR_SEED", 0);
    let (rounds, end) = (number("WEIR_CHAOS_ROUNDS", ROUNDS), Instant::now() + soak());
    let mut fleet = Fleet::start(seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut stored, mut failures, mut round) = (Tally::default(), Vec::new(), 0);
    while round < rounds || Instant::now() < end {
        let blow = BLOWS[(round % BLOWS.len() as u64) as usize];
        let began = Instant::now();
        let load = Load::start(seed + round, |tls, host| fleet.target(tls, host));
        let strike_at = rng.random_range(20..200);
        wait::until("some exchanges", || (load.completed() >= strike_at).then_some(()));
        if rng.random_bool(0.5) {
            std::thread::sleep(Duration::from_micros(rng.random_range(0..20_000)));
        }
        load.await_the_next();
        strike(&mut fleet, blow, &load, &mut rng);
        let after = load.completed() + rng.random_range(1..100);
        wait::until("exchanges after the blow", || (load.completed() >= after).then_some(()));
        let completed = load.completed();
        let seen = load.finish();
        fleet.settle();
        let now = fleet.usage();
        let metered = now.since(&stored);
        stored = now;
        let cuts: u64 = seen.iter().map(|seen| seen.cuts).sum();
        let wrong: Vec<String> = judge(&metered, &seen, blow);
        eprintln!("round {round}: {blow:?}: {completed} exchanges, {cuts} cut, {:?}: {wrong:?}", began.elapsed());
        failures.extend(wrong.into_iter().map(|why| format!("round {round}, {blow:?}: {why}")));
        fleet.audit();
        round += 1;
    }
    let [passed, again, lost] = fleet.relay.counts();
    eprintln!("{round} rounds; the relay passed on {passed} batches, {again} again, and lost {lost} acknowledgements");
    assert!(
        failures.is_empty(),
        "{} findings in {round} rounds, seed {seed}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn strike(fleet: &mut Fleet, blow: Blow, load: &Load, rng: &mut StdRng) {
    match blow {
        Blow::KillProxy => {
            fleet.proxy.kill();
            fleet.restart_proxy();
        }
        Blow::KillServer => {
            fleet.server.kill();
            fleet.restart_server();
        }
        Blow::KillPostgres => {
            fleet.postgres.kill();
            fleet.postgres.launch();
        }
        Blow::KillAll => {
            fleet.postgres.kill();
            fleet.proxy.kill();
            fleet.server.kill();
            // The proxy serves without them, by its last good configuration.
            fleet.restart_proxy();
            fleet.postgres.launch();
            fleet.restart_server();
        }
        Blow::StopProxy => still(|name| fleet.proxy.signal(name)),
        Blow::StopServer => still(|name| fleet.server.signal(name)),
        Blow::StopPostgres => still(|name| fleet.postgres.signal(name)),
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

fn soak() -> Duration {
    Duration::from_secs(number("WEIR_SOAK_SECONDS", 0))
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}
