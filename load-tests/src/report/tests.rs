//! A small report in each of its forms.

use std::collections::BTreeMap;

use super::{Direct, Entry, Figure, Figures, Machine, Report, Row, json, markdown, svg, table, targets};
use crate::cores::Cores;
use crate::golden;

fn rounds(figures: &[(Figure, [f64; 3])]) -> Vec<Figures> {
    (0..3).map(|round| figures.iter().map(|(figure, values)| (*figure, values[round])).collect()).collect()
}

fn entry(who: &str, log: bool, cpu: f64, memory: f64) -> Entry {
    let rounds = rounds(&[
        (Figure::Cpu, [cpu, cpu * 1.125, cpu * 0.875]),
        (Figure::Rate, [(1e6 / cpu).round(); 3]),
        (Figure::P99, [cpu * 10.0, cpu * 20.0, cpu * 30.0]),
        (Figure::Memory, [memory; 3]),
        (Figure::LoadBusy, [80.0, 90.0, 70.0]),
        (Figure::Others, [1.0, 2.0, 0.0]),
        (Figure::Offered, [5000.0; 3]),
        (Figure::Late, [20.0, 10.0, 30.0]),
    ]);
    Entry { who: who.into(), log, failure: None, rounds }
}

fn row(name: &str, tenants: Option<u32>, entries: Vec<Entry>) -> Row {
    Row { name: name.into(), about: format!("a row <{name}>"), tenants, left_out: None, entries }
}

fn report() -> Report {
    let failed = Entry { failure: Some("it answers wrongly: no host".into()), ..entry("Envoy", false, 50.0, 80.0) };
    let left_out = Row { left_out: Some("the time was over (240 s)".into()), ..row("late", None, Vec::new()) };
    Report {
        quick: true,
        rounds: 3,
        seconds: 100,
        machine: Machine {
            processor: "a processor".into(),
            count: 2,
            memory_mib: 4096,
            kernel: "6.1".into(),
            cores: Cores { proxy: 0, upstream: 1, generator: 1 },
            load_before: 0.1,
        },
        versions: BTreeMap::from([("nginx".into(), "nginx/1.22.1".into()), ("Weir".into(), "weir 0.1.0".into())]),
        direct: Direct { rate: 80_000.0, cpu: 12.5 },
        rows: vec![
            row("plain", None, vec![entry("Weir", false, 10.0, 20.0), entry("nginx", false, 20.0, 10.0), failed]),
            row("h2-tls", None, vec![entry("Weir", false, 15.0, 21.0), entry("nginx", false, 20.0, 11.0)]),
            row("tenants-1000", Some(1000), vec![entry("Weir", false, 12.0, 22.0), entry("nginx", true, 40.0, 110.0)]),
            row(
                "tenants-10000",
                Some(10_000),
                vec![entry("Weir", false, 13.0, 40.0), entry("nginx", true, 45.0, 950.0)],
            ),
            left_out,
        ],
    }
}

#[test]
fn golden_terminal() {
    let report = report();
    let rows: String = report.rows.iter().map(table::row).collect();
    golden::same("report.txt", &format!("{rows}{}", table::summary(&report)));
}

#[test]
fn golden_page() {
    golden::same("report.md", &markdown::page(&report(), "chart.svg", "data.json"));
}

#[test]
fn golden_chart() {
    golden::same("report.svg", &svg::chart(&report()));
}

#[test]
fn json_holds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    json::write(&report(), &file).unwrap();
    assert_eq!(json::read(&file).unwrap(), report());
}

#[test]
fn who_failed_has_no_figure_and_who_is_ours_no_ratio() {
    let report = report();
    let [ours, nginx, envoy] = &report.rows[0].entries[..] else { panic!() };
    assert_eq!(ours.median(Figure::Cpu), Some(10.0));
    assert_eq!(envoy.median(Figure::Cpu), None);
    assert_eq!(report.rows[0].ratio(nginx, Figure::Cpu), Some(0.5));
    assert_eq!(report.rows[0].ratio(ours, Figure::Cpu), None);
    assert_eq!(report.rows[0].ratio(envoy, Figure::Cpu), None);
}

#[test]
fn a_machine_that_did_something_else_is_told() {
    let mut report = report();
    assert_eq!(report.disturbed(), None);
    for round in &mut report.rows[2].entries[0].rounds {
        round.insert(Figure::Others, 30.0);
    }
    assert_eq!(report.disturbed(), Some(30.0));
    assert!(table::summary(&report).contains("THE MACHINE WAS BUSY: up to 30 %"));
}

#[test]
fn memory_a_tenant_is_a_slope() {
    let slope = report().slope().unwrap();
    assert_eq!((slope.from, slope.to), (1000, 10_000));
    assert_eq!(slope.kib[0], ("Weir".into(), Some(18.0 * 1024.0 / 9000.0)));
}

#[test]
fn a_target_that_no_row_can_judge_is_not_judged() {
    let found = targets::judge(&report());
    let held: Vec<_> = found.iter().map(|t| (t.what.as_str(), t.held())).collect();
    assert!(held.contains(&("CPU a request, 1,000 tenants, over nginx with a log", true)), "{held:?}");
    assert!(held.contains(&("CPU a request, HTTP/2 over TLS, over nginx", true)), "{held:?}");
    assert!(held.contains(&("memory a tenant after traffic to each, KiB", true)), "{held:?}");
    assert!(!held.iter().any(|(what, _)| what.contains("HAProxy") || what.contains("HTTPS")), "{held:?}");
}
