//! What a run of edits found, as values, and how it is shown: a table and `docs/control-plane-benchmarks.md`.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::Machine;

/// Longest time from an edit to the first changed answer, for 99 of 100, in milliseconds.
pub(crate) const LATEST: f64 = 30.0;
/// Most instructions of an edit in the largest fleet, over those in the smallest.
const GROWTH: f64 = 1.2;
/// Load above which times say more of the machine than of Weir.
pub(crate) const QUIET: f64 = 0.5;

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
    pub(crate) proxies: u8,
    pub(crate) edits: u32,
    pub(crate) per_second: f64,
    /// Edits whose instructions were counted.
    pub(crate) counted: u32,
    pub(crate) fleets: Vec<Fleet>,
}

/// A fleet of one size, with its objects in one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fleet {
    /// `directory` or `kubernetes`.
    pub(crate) source: String,
    pub(crate) tenants: u32,
    pub(crate) objects: u32,
    /// From the start of the server until it was ready, in milliseconds.
    pub(crate) ready: f64,
    /// From the start of all proxies at once until each served everything, in milliseconds.
    pub(crate) serving: f64,
    /// Resident memory, in KiB.
    pub(crate) server_memory: u64,
    pub(crate) server_memory_after: u64,
    /// The largest proxy's.
    pub(crate) proxy_memory: u64,
    /// How long the API server, or the rename, took of that.
    pub(crate) taken: Quantiles,
    /// From an edit to the first changed answer, over all proxies, in milliseconds.
    pub(crate) shown: Quantiles,
    /// From an edit until the last proxy had changed.
    pub(crate) everywhere: Quantiles,
    /// Time on a core an edit, in microseconds.
    pub(crate) server_cpu: f64,
    /// The same of a proxy, on average.
    pub(crate) proxy_cpu: f64,
    /// Instructions of the server in user space an edit; none where they were not counted.
    pub(crate) instructions: Option<u64>,
    /// Why they were not.
    pub(crate) uncounted: Option<String>,
}

/// Of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// Of some durations.
    pub(crate) fn of(mut values: Vec<Duration>) -> Self {
        values.sort();
        let at = |share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            values.get(rank.saturating_sub(1)).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
        };
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Report {
    /// Fleets by where their objects are, each from the smallest to the largest.
    fn by_source(&self) -> impl Iterator<Item = &[Fleet]> {
        self.fleets.chunk_by(|a, b| a.source == b.source)
    }
}

/// Instructions of an edit in the largest fleet over those in the smallest.
fn growth(fleets: &[Fleet]) -> Option<f64> {
    let [first, .., last] = fleets else { return None };
    Some(last.instructions? as f64 / first.instructions? as f64)
}

/// KiB of the server a tenant: the slope between the two largest fleets.
fn slope(fleets: &[Fleet]) -> Option<f64> {
    let [.., low, high] = fleets else { return None };
    let more = high.server_memory as f64 - low.server_memory as f64;
    (high.tenants > low.tenants).then(|| more / f64::from(high.tenants - low.tenants))
}

/// Heads of the table, and how a fleet's figure reads.
type Column = (&'static str, fn(&Fleet) -> String);

const COLUMNS: &[Column] = &[
    ("objects in", |fleet| fleet.source.clone()),
    ("tenants", |fleet| fleet.tenants.to_string()),
    ("ready ms", |fleet| format!("{:.0}", fleet.ready)),
    ("proxies serve ms", |fleet| format!("{:.0}", fleet.serving)),
    ("server MiB", |fleet| mib(fleet.server_memory)),
    ("after edits", |fleet| mib(fleet.server_memory_after)),
    ("proxy MiB", |fleet| mib(fleet.proxy_memory)),
    ("taken p99 ms", |fleet| format!("{:.1}", fleet.taken.p99)),
    ("p50 ms", |fleet| format!("{:.1}", fleet.shown.p50)),
    ("p99 ms", |fleet| format!("{:.1}", fleet.shown.p99)),
    ("max ms", |fleet| format!("{:.1}", fleet.shown.max)),
    ("all proxies p99 ms", |fleet| format!("{:.1}", fleet.everywhere.p99)),
    ("server µs/edit", |fleet| format!("{:.0}", fleet.server_cpu)),
    ("proxy µs/edit", |fleet| format!("{:.0}", fleet.proxy_cpu)),
    ("server k instr/edit", |fleet| fleet.instructions.map_or("-".into(), |count| (count / 1000).to_string())),
];

pub(crate) fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

/// The table, as text that is Markdown too.
pub(crate) fn table(report: &Report) -> String {
    let mut text = COLUMNS.iter().fold("|".to_owned(), |text, (head, _)| text + &format!(" {head} |"));
    text += "\n|";
    text += &" ---: |".repeat(COLUMNS.len());
    for fleet in &report.fleets {
        text += "\n|";
        for (_, show) in COLUMNS {
            // Writing to a String cannot fail, here and below.
            let _ = write!(text, " {} |", show(fleet));
        }
    }
    text.push('\n');
    for fleet in &report.fleets {
        if let Some(reason) = &fleet.uncounted {
            let _ = writeln!(text, "\nInstructions with {} tenants were not counted: {reason}.", fleet.tenants);
        }
    }
    text
}

/// The targets and what was found.
fn targets(report: &Report) -> String {
    let held = |found: Option<f64>, most: f64| match found {
        None => ("not measured".to_owned(), "-"),
        Some(found) if found <= most => (format!("{found:.2}"), "yes"),
        Some(found) => (format!("{found:.2}"), "**no**"),
    };
    let mut text = "| objects in | what | at most | found | held |\n| --- | --- | ---: | ---: | --- |\n".to_owned();
    for fleets in report.by_source() {
        let [first, .., last] = fleets else { continue };
        let (source, least, most) = (&first.source, first.tenants, last.tenants);
        let (p99, p99_held) = held(Some(last.shown.p99), LATEST);
        let (growth, growth_held) = held(growth(fleets), GROWTH);
        let _ = writeln!(
            text,
            "| {source} | from an edit to the first changed answer, p99 in ms, {most} tenants | {LATEST} | {p99} | {p99_held} |
| {source} | the server's instructions an edit with {most} tenants, over those with {least} | {GROWTH} | {growth} | {growth_held} |"
        );
    }
    text
}

/// The page.
pub(crate) fn page(report: &Report, data: &str) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "# The control plane, measured

<!-- Made by `make bench-edits`; edit load-tests/src/edits/report.rs instead. -->

A control server over a directory of manifests, and one over an API server (`litek8s`) on the same machine,
{proxies} proxies in processes of their own, and {rate} edits a second: each gives a route of one tenant, chosen from
all over the fleet, another response header.

## Targets

{targets}",
        proxies = report.proxies,
        rate = report.per_second,
        targets = targets(report),
    );
    if machine.load_before > QUIET {
        let _ = writeln!(
            text,
            "\n**The machine was busy** (load {:.1} on {} CPUs before it began): times are those of a machine that does \
             other work, and preliminary. Instructions and memory do not depend on that.",
            machine.load_before, machine.count
        );
    }
    let _ = writeln!(text, "\n## Fleets\n\n{}", table(report));
    for fleets in report.by_source() {
        let (Some(slope), [fleet, ..]) = (slope(fleets), fleets) else { continue };
        let _ = writeln!(
            text,
            "With objects in {}, the server's memory grows by {slope:.1} KiB a tenant, of {} objects, between the two \
             largest fleets.\n",
            fleet.source,
            super::manifests::OBJECTS
        );
    }
    text.push_str(&how(report, data));
    text
}

fn how(report: &Report, data: &str) -> String {
    let machine = &report.machine;
    format!(
        "## How to read it

- **ready**: from the start of the server's process until `/ready` says yes, with all manifests read and
  translated. **proxies serve**: from the start of all proxies at once, with nothing stored, until each answers
  for tenants from all over the fleet.
- **server, after edits, proxy MiB**: resident memory when everything is served; the server's after the edits; of
  the largest proxy after the edits.
- **p50, p99, max**: from just before the rename that puts an edited file in its place, or just before the request
  to the API server, until an answer of a proxy is the changed one; **taken** is the rename's or the API server's
  own part of it. Over {edits} edits and {proxies} proxies. Each proxy is asked every millisecond while it owes one, so
  figures are up to a millisecond too long. **all proxies**: until the last of them has changed.
- **µs/edit**: time on a core, over the edits, of everything that the process did meanwhile. A proxy's has the
  requests in it by which it was asked.
- **instr/edit**: instructions of the server in user space, by callgrind, over {counted} edits one after the other:
  reading the file, translation, encoding, a stream to each proxy and its acknowledgement.

A proxy writes what it accepted to disk meanwhile, the server what was last good. A stock Envoy is another matter:
it is sent its whole RouteConfiguration with each edit, whose size is that of the fleet ([why](../ARCHITECTURE.md)).

## Run it

    make bench-edits          # about 12 minutes, on a machine that does nothing else
    make bench-edits QUICK=1  # less than 6; writes target/bench, not this page

This one: {processor}, {count} CPUs, {memory} MiB, Linux {kernel}; load {load} before it began, on {date}; it took
{seconds} s. [{data}]({data}) has the figures.
",
        edits = report.edits,
        proxies = report.proxies,
        counted = report.counted,
        processor = machine.processor,
        count = machine.count,
        memory = machine.memory_mib,
        kernel = machine.kernel,
        load = machine.load_before,
        date = date(report.began),
        seconds = report.seconds,
    )
}

/// The day, in UTC, of seconds since 1970 (civil calendar from days).
pub(crate) fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;

    fn report() -> Report {
        let fleet = |tenants: u32, instructions: Option<u64>| Fleet {
            source: "directory".into(),
            tenants,
            objects: tenants * 8,
            ready: 1234.5,
            serving: 2345.6,
            server_memory: 10_240 + 20 * u64::from(tenants),
            server_memory_after: 20_480,
            proxy_memory: 10_240,
            taken: Quantiles::default(),
            shown: Quantiles { p50: 2.0, p99: 12.0, max: 20.0 },
            everywhere: Quantiles { p50: 3.0, p99: 13.0, max: 20.0 },
            server_cpu: 900.0,
            proxy_cpu: 400.0,
            instructions,
            uncounted: instructions.is_none().then(|| "there is no valgrind".to_owned()),
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
            proxies: 4,
            edits: 1000,
            per_second: 10.0,
            counted: 50,
            fleets: vec![fleet(100, Some(1_000_000)), fleet(10_000, Some(1_300_000))],
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let values = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(Quantiles::of(values), Quantiles { p50: 100.0, p99: 198.0, max: 200.0 });
        assert!(Quantiles::of(Vec::new()).max.is_nan());
    }

    #[test]
    fn the_page_judges_its_targets_and_says_when_the_machine_was_busy() {
        let page = page(&report(), "data.json");
        assert!(
            page.contains(
                "| directory | from an edit to the first changed answer, p99 in ms, 10000 tenants | 30 | 12.00 | yes |"
            ),
            "{page}"
        );
        assert!(page.contains("over those with 100 | 1.2 | 1.30 | **no** |"), "{page}");
        assert!(page.contains("**The machine was busy** (load 3.0"), "{page}");
        assert!(page.contains("grows by 20.0 KiB a tenant"), "{page}");
    }

    #[test]
    fn what_was_not_counted_is_not_judged() {
        let mut report = report();
        report.fleets[1] =
            Fleet { instructions: None, uncounted: Some("no valgrind".into()), ..report.fleets[1].clone() };
        report.machine.load_before = 0.1;
        let page = page(&report, "data.json");
        assert!(page.contains("1.2 | not measured | - |"), "{page}");
        assert!(page.contains("with 10000 tenants were not counted: no valgrind"), "{page}");
        assert!(!page.contains("busy"), "{page}");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_795_564_800), "2026-11-25");
    }
}
