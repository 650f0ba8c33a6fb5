//! What growing fleets found, as values, and how it is shown: a table and `docs/route-scale.md`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::edits::report::{LATEST, QUIET, Quantiles, date, mib};
use crate::report::Machine;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) quick: bool,
    /// When it began, seconds since 1970.
    pub(crate) began: u64,
    /// How long it took.
    pub(crate) seconds: u64,
    pub(crate) machine: Machine,
    pub(crate) tenants: u32,
    pub(crate) proxies: u8,
    /// New routes of each fleet.
    pub(crate) added: u32,
    /// Changes a second.
    pub(crate) per_second: f64,
    pub(crate) scales: Vec<Scale>,
    pub(crate) takeover: Option<Takeover>,
}

/// A fleet of one size, with its objects in one place. Times in milliseconds, memory in KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scale {
    /// `directory` or `kubernetes`.
    pub(crate) source: String,
    pub(crate) routes: u32,
    pub(crate) objects: u32,
    /// From the start of the server until it was ready.
    pub(crate) ready: f64,
    /// From the start of all proxies at once until each served.
    pub(crate) serving: f64,
    pub(crate) server_memory: u64,
    pub(crate) server_memory_after: u64,
    /// The largest proxy's, in the end.
    pub(crate) proxy_memory: u64,
    /// How long the API server, or the rename, took.
    pub(crate) taken: Quantiles,
    /// From a new route until an answer is its, over all proxies.
    pub(crate) shown: Quantiles,
    /// Time on a core a change, in microseconds.
    pub(crate) server_cpu: f64,
    /// The same of a proxy, on average.
    pub(crate) proxy_cpu: f64,
}

/// A leader that was killed. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Takeover {
    pub(crate) routes: usize,
    /// That have a status of Weir's.
    pub(crate) objects: usize,
    /// From the start of the first leader until all statuses stood.
    pub(crate) rested: f64,
    /// From the kill until the other held the Lease.
    pub(crate) leads: f64,
    /// From the kill until a route that was made just after it had its status.
    pub(crate) correct: f64,
    /// Objects that were written from the kill on.
    pub(crate) written: usize,
    /// Those of them whose status was right already.
    pub(crate) needless: Vec<String>,
    /// The new leader's time on cores from the kill until it was at rest.
    pub(crate) cpu: f64,
}

/// Heads of the table, and how a figure reads.
type Column = (&'static str, fn(&Scale) -> String);

const COLUMNS: &[Column] = &[
    ("objects in", |scale| scale.source.clone()),
    ("routes", |scale| scale.routes.to_string()),
    ("objects", |scale| scale.objects.to_string()),
    ("ready ms", |scale| format!("{:.0}", scale.ready)),
    ("proxies serve ms", |scale| format!("{:.0}", scale.serving)),
    ("server MiB", |scale| mib(scale.server_memory)),
    ("after changes", |scale| mib(scale.server_memory_after)),
    ("proxy MiB", |scale| mib(scale.proxy_memory)),
    ("taken p99 ms", |scale| format!("{:.1}", scale.taken.p99)),
    ("p50 ms", |scale| format!("{:.1}", scale.shown.p50)),
    ("p99 ms", |scale| format!("{:.1}", scale.shown.p99)),
    ("max ms", |scale| format!("{:.1}", scale.shown.max)),
    ("server µs/change", |scale| format!("{:.0}", scale.server_cpu)),
    ("proxy µs/change", |scale| format!("{:.0}", scale.proxy_cpu)),
];

/// The table, and what a takeover took, as text that is Markdown too.
pub(crate) fn table(report: &Report) -> String {
    let mut text = COLUMNS.iter().fold("|".to_owned(), |text, (head, _)| text + &format!(" {head} |"));
    text += "\n|";
    text += &" ---: |".repeat(COLUMNS.len());
    for scale in &report.scales {
        text += "\n|";
        for (_, show) in COLUMNS {
            // Writing to a String cannot fail, here and below.
            let _ = write!(text, " {} |", show(scale));
        }
    }
    text.push('\n');
    if let Some(taken) = &report.takeover {
        let _ = writeln!(
            text,
            "
### A new leader

| routes | statuses | first written s | leads s | correct s | objects written | needless | CPU s |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| {} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {:.2} |",
            taken.routes,
            taken.objects,
            taken.rested / 1e3,
            taken.leads / 1e3,
            taken.correct / 1e3,
            taken.written,
            taken.needless.len(),
            taken.cpu / 1e3
        );
        if let Some(first) = taken.needless.first() {
            let _ = writeln!(text, "\nWritten though nothing differed, among others: {first}.");
        }
    }
    text
}

/// The targets and what was found.
fn targets(report: &Report) -> String {
    let mut text = "| what | at most | found | held |\n| --- | ---: | ---: | --- |\n".to_owned();
    let mut add = |what: String, most: f64, found: f64| {
        let held = if found <= most { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {what} | {most} | {found:.2} | {held} |");
    };
    for scales in report.scales.chunk_by(|a, b| a.source == b.source) {
        let Some(last) = scales.last() else { continue };
        let what = format!("from a new route to its first answer, p99 in ms, {} routes, {}", last.routes, last.source);
        add(what, LATEST, last.shown.p99);
    }
    if let Some(taken) = &report.takeover {
        add("statuses that a new leader writes though nothing differs".into(), 0.0, taken.needless.len() as f64);
    }
    text
}

/// The page.
pub(crate) fn page(report: &Report, data: &str) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "# Many routes, measured

<!-- Made by `make bench-routes`; edit load-tests/src/routes/report.rs instead. -->

{tenants} tenants, each with a ListenerSet of its own at the platform's Gateway: a hostname, an HTTPS listener and a
certificate. A control server over a directory of manifests, and one over an API server (`litek8s`) on the same
machine; {proxies} proxies in processes of their own; {rate} changes a second, of which one in five is a new route and
the others are edits of routes from all over the fleet.

## Targets

{targets}",
        tenants = report.tenants,
        proxies = report.proxies,
        rate = report.per_second,
        targets = targets(report),
    );
    if machine.load_before > QUIET {
        let _ = writeln!(
            text,
            "\n**The machine was busy** (load {:.1} on {} CPUs before it began): times are those of a machine that does \
             other work, and preliminary. Memory does not depend on that.",
            machine.load_before, machine.count
        );
    }
    let _ = writeln!(text, "\n## Fleets\n\n{}", table(report));
    text.push_str(&how(report, data));
    text
}

fn how(report: &Report, data: &str) -> String {
    let machine = &report.machine;
    format!(
        "## How to read it

- **ready**: from the start of the server's process until `/ready` says yes, with all objects read and translated.
  **proxies serve**: from the start of all proxies at once, with nothing stored, until each answers over TLS for tenants
  from all over the fleet.
- **server, after changes, proxy MiB**: resident memory when everything is served; the server's after the changes; of
  the largest proxy after them.
- **p50, p99, max**: from just before the rename that puts a new route's file in its place, or just before the request
  to the API server, until a proxy answers by that route; **taken** is the rename's or the API server's own part. Over
  {added} new routes and {proxies} proxies, on connections that were there. Each proxy is asked every millisecond.
- **µs/change**: time on a core, over all changes, of everything that the process did meanwhile. A proxy's has the
  requests in it by which it was asked.
- **A new leader**: two servers write statuses, one of them leads and is killed (SIGKILL) when all statuses stand.
  **first written**: from the first leader's start until they did. **leads**: from the kill until the other holds the
  Lease, which it may only once the old one has expired (15 s). **correct**: until a route that was made just after the
  kill has its status. **objects written**: whose version is another than before the kill, once nothing changes any
  more; **needless** are those besides the new route and the ListenerSet that counts it. **CPU**: the new leader's, in
  all that time.

## Run it

    make bench-routes          # about 15 minutes, on a machine that does nothing else
    make bench-routes QUICK=1  # about 6; writes target/bench, not this page

This one: {processor}, {count} CPUs, {memory} MiB, Linux {kernel}; load {load} before it began, on {date}; it took
{seconds} s. [{data}]({data}) has the figures.
",
        added = report.added,
        proxies = report.proxies,
        processor = machine.processor,
        count = machine.count,
        memory = machine.memory_mib,
        kernel = machine.kernel,
        load = machine.load_before,
        date = date(report.began),
        seconds = report.seconds,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;

    fn report() -> Report {
        let scale = |source: &str, routes: u32, p99: f64| Scale {
            source: source.into(),
            routes,
            objects: routes + 6000,
            ready: 1234.5,
            serving: 2345.6,
            server_memory: 10_240,
            server_memory_after: 20_480,
            proxy_memory: 10_240,
            taken: Quantiles::default(),
            shown: Quantiles { p50: 2.0, p99, max: 40.0 },
            server_cpu: 900.0,
            proxy_cpu: 400.0,
        };
        Report {
            quick: false,
            began: 1_795_572_000,
            seconds: 100,
            machine: Machine {
                processor: "one".into(),
                count: 2,
                memory_mib: 1024,
                kernel: "6".into(),
                cores: Cores { proxy: 0, upstream: 1, generator: 1 },
                load_before: 3.0,
            },
            tenants: 1000,
            proxies: 2,
            added: 200,
            per_second: 10.0,
            scales: vec![
                scale("directory", 1000, 31.0),
                scale("directory", 10_000, 12.0),
                scale("kubernetes", 10_000, 35.0),
            ],
            takeover: Some(Takeover {
                routes: 10_000,
                objects: 12_003,
                rested: 20_000.0,
                leads: 15_500.0,
                correct: 15_600.0,
                written: 3,
                needless: vec!["tenants /t7".into()],
                cpu: 250.0,
            }),
        }
    }

    #[test]
    fn the_page_judges_the_largest_fleet_of_each_source_and_the_new_leader() {
        let page = page(&report(), "data.json");
        assert!(page.contains("p99 in ms, 10000 routes, directory | 30 | 12.00 | yes |"), "{page}");
        assert!(page.contains("p99 in ms, 10000 routes, kubernetes | 30 | 35.00 | **no** |"), "{page}");
        assert!(page.contains("though nothing differs | 0 | 1.00 | **no** |"), "{page}");
        assert!(page.contains("| 10000 | 12003 | 20.0 | 15.5 | 15.6 | 3 | 1 | 0.25 |"), "{page}");
        assert!(page.contains("among others: tenants /t7"), "{page}");
        assert!(page.contains("**The machine was busy** (load 3.0"), "{page}");
    }
}
