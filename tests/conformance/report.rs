//! The report: in the shape of the suite's own ConformanceReport, and a table for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::data::{Data, Test};
use crate::floor;
use crate::options::{Edge, Options, Tenancy};
use crate::suite::Outcome;

/// Version of the suite whose data this is.
const SUITE: &str = "v1.6.1";

/// A profile: its name, and its core features; all else of its kinds is extended.
struct Profile {
    name: &'static str,
    core: &'static [&'static str],
    /// What the names of its extended features begin with.
    extended: &'static [&'static str],
}

const PROFILES: &[Profile] = &[
    Profile {
        name: "GATEWAY-HTTP",
        core: &["Gateway", "ReferenceGrant", "HTTPRoute"],
        extended: &["Gateway", "HTTPRoute", "BackendTLSPolicy", "ListenerSet"],
    },
    Profile {
        name: "GATEWAY-GRPC",
        core: &["Gateway", "ReferenceGrant", "GRPCRoute"],
        extended: &["Gateway", "GRPCRoute", "ListenerSet"],
    },
    Profile {
        name: "GATEWAY-TLS",
        core: &["Gateway", "ReferenceGrant", "TLSRoute"],
        extended: &["Gateway", "TLSRoute", "ListenerSet"],
    },
    Profile {
        name: "GATEWAY-TCP",
        core: &["Gateway", "ReferenceGrant", "TCPRoute"],
        extended: &["Gateway", "TCPRoute", "ListenerSet"],
    },
    Profile {
        name: "GATEWAY-UDP",
        core: &["Gateway", "ReferenceGrant", "UDPRoute"],
        extended: &["Gateway", "UDPRoute", "ListenerSet"],
    },
];

impl Profile {
    /// Whether a test belongs to it.
    fn has(&self, test: &Test) -> bool {
        let ours = |feature: &String| {
            self.core.contains(&feature.as_str())
                || self.extended.iter().any(|prefix| feature.starts_with(prefix) && self.is_of_kind(feature, prefix))
        };
        !test.own && test.features.iter().all(ours)
    }

    /// `Gateway` begins features of Gateways only where nothing else does: `GatewayPort8080`.
    fn is_of_kind(&self, feature: &str, prefix: &str) -> bool {
        feature != "Gateway" && (prefix != "Gateway" || !feature.ends_with("Route"))
    }

    fn is_core(&self, test: &Test) -> bool {
        test.features.iter().all(|feature| self.core.contains(&feature.as_str()))
    }
}

/// What came of the tests of one level of one profile.
#[derive(Default)]
struct Level {
    passed: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Level {
    fn of<'o>(options: &Options, outcomes: impl Iterator<Item = &'o Outcome>) -> Self {
        let mut level = Self::default();
        for outcome in outcomes {
            let name = outcome.test.short.clone();
            match (&outcome.result, floor::skipped(&name, options.edge, options.tenancy)) {
                (Ok(()), _) => level.passed.push(name),
                (Err(_), Some(_)) => level.skipped.push(name),
                (Err(_), None) => level.failed.push(name),
            }
        }
        level
    }

    fn result(&self) -> &'static str {
        match (self.failed.len(), self.skipped.len()) {
            (0, 0) => "success",
            (0, _) => "partial",
            _ => "failure",
        }
    }

    fn summary(&self) -> String {
        match self.result() {
            "success" => "succeeded".to_owned(),
            "partial" => format!("partially succeeded with {} test skips", self.skipped.len()),
            _ => format!("failed with {} test failures", self.failed.len()),
        }
    }

    fn value(&self) -> Value {
        let mut value = json!({"result": self.result()});
        if !self.failed.is_empty() {
            value["failedTests"] = json!(self.failed);
        }
        if !self.skipped.is_empty() {
            value["skippedTests"] = json!(self.skipped);
        }
        value["statistics"] =
            json!({"Passed": self.passed.len(), "Failed": self.failed.len(), "Skipped": self.skipped.len()});
        value
    }

    fn cell(&self) -> String {
        let all = self.passed.len() + self.failed.len() + self.skipped.len();
        if all == 0 { "-".to_owned() } else { format!("{} of {all}", self.passed.len()) }
    }
}

/// The name of a run: its files bear it.
pub fn name(options: &Options) -> String {
    let edge = if options.edge == Edge::Weir { "weir" } else { "envoy" };
    let tenancy = if options.tenancy == Tenancy::System { "system" } else { "tenants" };
    format!("{edge}-{tenancy}")
}

/// Writes a run's `<name>.yaml` and its part of the page.
pub fn write(out: &Path, options: &Options, outcomes: &[Outcome]) {
    fs::create_dir_all(out).unwrap();
    let report = report(options, outcomes);
    let text = format!("{HEAD}{}", yaml(&report, 0));
    fs::write(out.join(format!("{}.yaml", name(options))), text).unwrap();
    fs::write(out.join(format!("{}.md", name(options))), table(options, outcomes)).unwrap();
}

const HEAD: &str = "\
# Made by an independent harness (tests/conformance) from the suite's manifests and expectations, not by the suite's own\n\
# program: it is no official report. `make conformance` makes it anew.\n";

fn report(options: &Options, outcomes: &[Outcome]) -> Value {
    let profiles: Vec<Value> = PROFILES.iter().map(|profile| of_profile(options, profile, outcomes)).collect();
    let provisional: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.test.provisional && outcome.result.is_ok())
        .map(|outcome| outcome.test.short.as_str())
        .collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ConformanceReport",
        "metadata": {"annotations": {"weir.dev/harness": "independent"}},
        "implementation": {
            "organization": "weir",
            "project": "weir",
            "url": "https://weir.dev",
            "version": env!("CARGO_PKG_VERSION"),
            "contact": ["https://weir.dev"],
        },
        "date": now(),
        "gatewayAPIVersion": SUITE,
        "gatewayAPIChannel": "experimental",
        "mode": name(options),
        "profiles": profiles,
        "succeededProvisionalTests": provisional,
    })
}

/// The time as RFC 3339 has it.
fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn of_profile(options: &Options, profile: &Profile, outcomes: &[Outcome]) -> Value {
    let (core, extended) = levels(options, profile, outcomes);
    let ours = outcomes.iter().filter(|outcome| profile.has(&outcome.test));
    let mut features: BTreeMap<&str, bool> = BTreeMap::new();
    for outcome in ours {
        for feature in outcome.test.features.iter().filter(|feature| !profile.core.contains(&feature.as_str())) {
            let holds = features.entry(feature).or_insert(true);
            *holds &= outcome.result.is_ok();
        }
    }
    let chosen = |wanted: bool| -> Vec<&str> {
        features.iter().filter(|(_, holds)| **holds == wanted).map(|(name, _)| *name).collect()
    };
    let mut extended_value = extended.value();
    extended_value["supportedFeatures"] = json!(chosen(true));
    extended_value["unsupportedFeatures"] = json!(chosen(false));
    json!({
        "name": profile.name,
        "summary": format!("Core tests {}. Extended tests {}.", core.summary(), extended.summary()),
        "core": core.value(),
        "extended": extended_value,
    })
}

fn levels(options: &Options, profile: &Profile, outcomes: &[Outcome]) -> (Level, Level) {
    let ours = || outcomes.iter().filter(|outcome| profile.has(&outcome.test));
    let core = Level::of(options, ours().filter(|outcome| profile.is_core(&outcome.test)));
    (core, Level::of(options, ours().filter(|outcome| !profile.is_core(&outcome.test))))
}

/// A table of profiles, then every test that did not pass and why.
fn table(options: &Options, outcomes: &[Outcome]) -> String {
    let mut text = format!("## {}\n\n| profile | core | extended |\n| --- | --- | --- |\n", title(options));
    for profile in PROFILES {
        let (core, extended) = levels(options, profile, outcomes);
        text += &format!("| {} | {} | {} |\n", profile.name, core.cell(), extended.cell());
    }
    let own: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.test.own).collect();
    if !own.is_empty() {
        let passed = own.iter().filter(|outcome| outcome.result.is_ok()).count();
        text += &format!("| written from the specification, beside the suite's | {passed} of {} | |\n", own.len());
    }
    let missed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
    if !missed.is_empty() {
        text += "\n| did not pass | why |\n| --- | --- |\n";
    }
    for outcome in missed {
        let told = outcome.result.as_ref().err().map(String::as_str).unwrap_or_default();
        let why = floor::skipped(&outcome.test.short, options.edge, options.tenancy)
            .map_or_else(|| clean(told), |reason| format!("skipped: {reason}"));
        text += &format!("| {} | {why} |\n", outcome.test.short);
    }
    text
}

fn title(options: &Options) -> String {
    let edge = if options.edge == Edge::Weir { "Weir's edge" } else { "Stock Envoy 1.40, fed by Weir's server" };
    let tenancy = match options.tenancy {
        Tenancy::System => "the suite's namespaces are the platform's own",
        Tenancy::Tenants => "each of the suite's namespaces is a Tenant",
    };
    format!("{edge}; {tenancy}")
}

/// Text that can stand in a table: one line, and no address that is another in each run.
fn clean(text: &str) -> String {
    let line = text.replace('\n', " ").replace('|', "\\|").replace("gateway-conformance-infra/", "");
    let words = line.split(' ').map(|word| if word.starts_with("127.") { "ADDRESS" } else { word });
    let joined = words.collect::<Vec<_>>().join(" ");
    joined.chars().take(240).collect()
}

/// The part of the page that stands still, and each run's table.
pub fn write_page(out: &Path, data: &Data) {
    let names = ["weir-system", "weir-tenants", "envoy-system", "envoy-tenants"];
    let runs = names.iter().filter_map(|name| fs::read_to_string(out.join(format!("{name}.md"))).ok());
    let runs: Vec<String> = runs.collect();
    let kinds: BTreeSet<&str> = data.tests.iter().flat_map(|test| test.features.iter().map(String::as_str)).collect();
    let head = format!(
        "# Conformance to the Gateway API\n\nGateway API {SUITE}, experimental channel. An independent harness \
         (`tests/conformance`) applies the suite's own\nmanifests to a real API server, runs `weir server` and an edge as \
         processes, plays the backends, and checks traffic,\nstatus and changes as the suite does. It is no official \
         report. `make conformance` makes these files anew: the\n`.yaml` files have the shape of the suite's \
         `ConformanceReport`. {} tests, {} features; a profile's core tests are\nthose that need nothing beyond its core \
         features. Tests named `Own...` (`tests/conformance/own`) are the harness's own, for what the\nselection of the \
         suite's data leaves out.\n",
        data.tests.iter().filter(|test| !test.own && !test.short.starts_with("Mesh")).count(),
        kinds.len()
    );
    fs::write(out.join("README.md"), format!("{head}\n{}", runs.join("\n"))).unwrap();
}

/// JSON as block-style YAML: what a report is read as.
fn yaml(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::Object(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", yaml(value, depth + 1)),
                Value::Array(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", yaml(value, depth)),
                _ => format!("{indent}{key}: {}\n", scalar(value)),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Object(_) => {
                    let block = yaml(item, depth + 1);
                    format!("{indent}- {}", block.trim_start())
                }
                _ => format!("{indent}- {}\n", scalar(item)),
            })
            .collect(),
        _ => format!("{indent}{}\n", scalar(value)),
    }
}

fn scalar(value: &Value) -> String {
    let plain = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || "-./ ".contains(c))
            && text.chars().any(|c| c.is_ascii_alphabetic())
    };
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string(),
    }
}
