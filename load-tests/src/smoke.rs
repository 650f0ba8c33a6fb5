//! A tiny race of whatever is installed, so that this program cannot rot. Nothing in it is timed.

use std::path::Path;
use std::time::Duration;

use crate::load::Span;
use crate::measure::Pace;
use crate::peers::{self, Peer, Programs};
use crate::race::{self, Options};
use crate::report::{Figure, Report, table};
use crate::routes;
use crate::rows::{Config, Load, Logs, ROWS, Row};

/// Beside this test's own program, in the same build.
fn weir() -> std::path::PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("weir")
}

/// Three tenants with two routes each; a new leader where there is an API server.
#[test]
fn smoke_a_small_fleet_grows_and_has_a_new_leader() {
    let litek8s = std::env::var_os("WEIR_LITEK8S").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/litek8s/bin/litek8s"),
        std::path::PathBuf::from,
    );
    let options = routes::Options {
        weir: weir(),
        litek8s: litek8s.exists().then_some(litek8s),
        directory: true,
        tenants: 3,
        routes: vec![6],
        proxies: 1,
        added: 2,
        per_second: 50.0,
        takeover: true,
        quick: true,
    };
    let report = routes::run(&options, &|_: &routes::report::Report| {}).unwrap();
    let sources: Vec<_> = report.scales.iter().map(|scale| (scale.source.as_str(), scale.routes)).collect();
    assert_eq!(sources, [("directory", 6), ("kubernetes", 6)][..sources.len()]);
    assert_eq!(report.takeover.is_some(), options.litek8s.is_some());
    if let Some(taken) = report.takeover {
        assert_eq!(taken.routes, 6);
        assert!(taken.written >= 1, "the new route's status is written: {taken:?}");
        assert_eq!(taken.needless, Vec::<String>::new(), "nothing else differs");
    }
}

fn named(name: &str) -> Row {
    *ROWS.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn smoke_a_tiny_race_is_run_to_its_end() {
    let weir = weir();
    assert!(weir.exists(), "{} is missing: cargo build -p weir", weir.display());
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::set_current_dir(repository).unwrap();
    let programs = Programs::find(&weir).unwrap();
    let there: Vec<Peer> = peers::ALL.into_iter().filter(|peer| programs.path(*peer).is_some()).collect();
    let short = Span { warm: Duration::from_millis(10), measured: Duration::from_millis(100) };
    let few = Load::Kept { body: 1024, connections: 4 };
    let streams = Load::Streams { body: 1024, connections: 2, streams: 3 };
    let options = Options {
        weir,
        rows: vec![
            Row { load: few, ..named("plain") },
            Row { config: Config::Tenants(3), load: few, logs: Logs::Both, open: false, ..named("tenants-1000") },
            Row { load: Load::Handshakes { resumed: true, connections: 2 }, ..named("tls-resumed") },
            Row { load: streams, ..named("h2-tls") },
            Row { load: streams, ..named("h2c") },
            Row { load: streams, ..named("grpc") },
            Row { load: Load::Idle { connections: 50 }, ..named("idle") },
        ],
        peers: there.clone(),
        pace: Pace { rounds: 1, closed: short, open: short },
        quick: true,
        instructions: false,
        profiles: None,
        at_most: Duration::MAX,
    };
    let report = race::run(&options, &|_: &Report| {}).unwrap();
    let text: String = report.rows.iter().map(table::row).collect();
    for row in &report.rows {
        assert_eq!(row.left_out, None, "{text}");
        let figure = if row.name == "idle" { Figure::PerConnection } else { Figure::Cpu };
        for entry in &row.entries {
            assert_eq!(entry.failure, None, "{}: {}\n{text}", row.name, entry.label());
            assert!(entry.median(figure).is_some(), "{}: {}\n{text}", row.name, entry.label());
        }
    }
    let open = |row: &&crate::report::Row| ["plain", "h2-tls", "grpc"].contains(&row.name.as_str());
    let mut timed = report.rows.iter().filter(open).flat_map(|row| &row.entries);
    assert!(timed.all(|entry| entry.median(Figure::P99).is_some()), "{text}");
}
