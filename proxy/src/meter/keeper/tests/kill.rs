//! A process that counts and logs all the time is killed, again and again, on one directory.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::testing::soak;

use super::*;

/// Where the child keeps its log.
const DIR: &str = "WEIR_KEEPER_TEST_DIR";
/// Kills on one directory.
const ROUNDS: usize = 4;

#[test]
#[ignore = "the other starts it"]
fn the_process_that_is_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let site = start(Path::new(&dir));
    let lease = site.meter.tenant("acme");
    let mut out = std::io::stdout().lock();
    for n in 1u64.. {
        site.meter.add(0, lease.id(), Metric::Requests, 1);
        // What was said was counted before.
        writeln!(out, "counted {n}").unwrap();
        site.keeper.close();
    }
}

#[test]
fn soak_sigkill_inside_an_append_loses_nothing_and_doubles_nothing() {
    soak::seeds(|seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = TempDir::new().unwrap();
        let (mut least, mut most) = (0, 0);
        for _ in 0..ROUNDS {
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["meter::keeper::tests::kill::the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
                .env(DIR, dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let until = rng.random_range(1..30);
            let mut last = 0;
            while last < until {
                last = counted(&lines.next().expect("it goes on")).unwrap_or(last);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            last = lines.filter_map(|line| counted(&line)).last().unwrap_or(last);
            least += last;
            // One more may have been counted and not said.
            most += last + 1;
        }
        let site = start(dir.path());
        let all = batches(&site.outbox);
        let sum = sum(&all)["acme"];
        assert!((least..=most).contains(&sum), "{sum} of {least} to {most}");
        assert_eq!(all.iter().filter(|batch| batch.last).count(), ROUNDS, "each epoch has an end");
        assert!(site.outbox.state().alarms.is_empty(), "{:?}", site.outbox.state().alarms);
        for pair in all.windows(2).filter(|pair| pair[0].epoch == pair[1].epoch) {
            assert_eq!(pair[1].first_sequence, pair[0].sequence + 1, "no sequence is left out");
        }
    });
}

/// What a line of the child says; other lines are the test program's.
fn counted(line: &str) -> Option<u64> {
    line.rsplit_once("counted ")?.1.parse().ok()
}
