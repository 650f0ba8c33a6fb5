//! Arrows between crates and modules run one way, and what is meant to be pure is pure. Each rule
//! says why it stands.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::site::repository;

/// What pure code does not name: I/O, async, clients, clocks that it was not given.
const IMPURE: &[&str] = &[
    "async fn",
    "async move",
    ".await",
    "tokio::",
    "futures::",
    "tonic::",
    "axum::",
    "std::fs",
    "std::env",
    "std::process",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "pingora",
    "notify::",
];

const RACE: &str = "what a race found is judged and shown by functions of it, so that golden files hold them";
const ALS: &str = "what an Envoy's report adds is tested without an Envoy, in any order and at any time";
const H1: &str = "parsing and framing are tested over every split of the bytes";

const CLUSTER: &str = "a simulation of a cluster drives it: what a list or an event does is a function";

const SCOPED: &str = "what a scope holds is compared with a naive oracle after any edits";
const AUTH: &str = "who is let in is a function of what was sent, of keys and of the time, and fuzzed as such";
const AUDIT: &str = "what is a gap is decided on plain values";

/// Pure places, and why they are.
const PURE: &[(&str, &str)] = &[
    ("config/src/kinds", "objects are read alike by the server, `weir check` and tests"),
    ("config/src/model", "the model is what both halves mean; it does nothing"),
    ("config/src/usage", "both halves count in the same values and choose the same series"),
    ("config/src/xds", "the codec is a function, so that decode(encode(x)) = x can be a property"),
    ("xds-server/src/index", "who owns what is a function of the objects, whatever their order"),
    ("xds-server/src/translate", "two servers that see the same objects give byte-equal resources"),
    (
        "xds-server/src/explain",
        "what is said of a host is a function of the objects, by the functions that translate them",
    ),
    ("xds-server/src/scope", "what a client may see is a function of who it proved to be and of the objects"),
    ("xds-server/src/status", "conditions are computed, then shown or written elsewhere"),
    ("xds-server/src/seen/mod", "whether a status must be written is decided on plain values"),
    ("xds-server/src/leader/election", "elections are simulated with lost answers and clocks of any speed"),
    ("xds-server/src/publish/queue", "what is written when is tested in virtual time"),
    ("xds-server/src/ads/acknowledged", "what replicas tell each other is a value that can be added and cut"),
    ("xds-server/src/ads/held", SCOPED),
    ("xds-server/src/ads/view", SCOPED),
    ("xds-server/src/ads/admission", "bounds and ages are tested in virtual time"),
    ("xds-server/src/ads/matching", "whom a question is about is a function of it"),
    ("xds-server/src/auth/keys", AUTH),
    ("xds-server/src/auth/life", AUTH),
    ("xds-server/src/auth/refusal", AUTH),
    ("xds-server/src/auth/roles", AUTH),
    ("xds-server/src/auth/token", AUTH),
    ("xds-server/src/ads/subscription", "subscriptions are simulated with lost and reordered messages"),
    ("xds-server/src/usage/als/entry", ALS),
    ("xds-server/src/usage/als/running", ALS),
    ("xds-server/src/usage/als/windows", ALS),
    ("xds-server/src/usage/batch", "what a proxy may send is checked alike by every reader"),
    ("xds-server/src/usage/book", "what is new, and to which hour it belongs, is decided again at every retry"),
    ("xds-server/src/usage/given", "what was given, and when, is tried at any time"),
    ("xds-server/src/usage/scope", "whose rows a sender may report does not depend on how they came"),
    ("xds-server/src/watch/kubernetes/gather", CLUSTER),
    ("xds-server/src/watch/kubernetes/known", CLUSTER),
    ("xds-server/src/watch/kubernetes/target", CLUSTER),
    ("xds-server/src/watch/kubernetes/trim", CLUSTER),
    ("xds-server/src/watch/kubernetes/wire", CLUSTER),
    ("proxy/src/request", "a decision is a function of tables and a request's head"),
    ("proxy/src/serve/h1/body", H1),
    ("proxy/src/serve/h1/classify", H1),
    ("proxy/src/serve/h1/request_head", H1),
    ("proxy/src/serve/h1/response_head", H1),
    ("proxy/src/serve/h1/rewrite", H1),
    ("proxy/src/serve/h1/scan", H1),
    ("proxy/src/serve/h1/target", H1),
    ("proxy/src/serve/h1/trailers", H1),
    ("proxy/src/meter/layout", "where what lies in a counters file is arithmetic, over every place"),
    ("proxy/src/meter/header", "which file it is, is read from bytes of which any may be wrong"),
    ("proxy/src/meter/ledger", "what is logged of the counters is simulated with kills at each step"),
    ("proxy/src/meter/log", "the usage log is simulated with kills, losses of power and full disks"),
    ("proxy/src/xds/warm", "what waits for what is tested without a network"),
    ("xds-server/src/usage/query", "a span split anywhere sums to the whole: a property over small stores"),
    ("xds-server/src/usage/span", "times are read and shown without a clock"),
    ("xds-server/src/usage/format", "rows become text and rows again"),
    ("xds-server/src/usage/audit/sequences", AUDIT),
    ("xds-server/src/usage/audit/proxies", AUDIT),
    ("xds-server/src/usage/audit/sums", AUDIT),
    ("xds-server/src/usage/audit/outside", AUDIT),
    ("xds-server/src/usage/events/make", "ids stay the same: events are a function of the batches"),
    ("xds-server/src/usage/events/answer", "what an answer means is tried status by status"),
    ("xds-server/src/usage/events/split", "refused events are found in any order, in few requests"),
    ("proxy/src/usage/state", "what is on its way is simulated with lost and reordered acknowledgements"),
    ("proxy/src/usage/retry", "when to try again is a function of what happened"),
    ("proxy/src/xds/client", "the client's state machine is simulated with lost and reordered messages"),
    ("load-tests/src/stats", RACE),
    ("load-tests/src/histogram", RACE),
    ("load-tests/src/rows", RACE),
    ("load-tests/src/report/table", RACE),
    ("load-tests/src/report/targets", RACE),
    ("load-tests/src/report/svg", RACE),
    ("load-tests/src/report/markdown", RACE),
    ("load-tests/src/load/schedule", "every proxy gets the same arrivals"),
    ("load-tests/src/http", "parsing is tested over every cut of the bytes"),
];

/// `(from, to, why)`: nothing below `from` names `to`.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("config/src/model", "crate::kinds", "what a proxy is told does not depend on how people write it"),
    ("config/src/model", "crate::xds", "the codec knows the model, never the other way"),
    ("config/src/kinds", "crate::model", "objects do not know what they become"),
    ("config/src/kinds", "crate::xds", "objects do not know what they become"),
    ("config/src", "weir_xds_server", "both halves depend on the vocabulary, not it on them"),
    ("config/src", "weir_proxy", "both halves depend on the vocabulary, not it on them"),
    ("xds-server/src", "weir_proxy", "each half can be adopted alone"),
    ("proxy/src", "weir_xds_server", "each half can be adopted alone"),
    ("proxy/src", "weir_config::kinds", "the proxy obeys xDS from any control plane; objects are the server's"),
    ("xds-server/src/ads", "kinds::", "the gRPC service never sees Kubernetes"),
    ("xds-server/src/translate", "crate::ads", "resources are made without knowing who asks"),
    ("xds-server/src/translate", "crate::explain", "resources are made without a view to how they are explained"),
    ("xds-server/src/index", "crate::translate", "the index says what changed; others make something of it"),
    ("xds-server/src/watch", "crate::translate", "a source yields objects, no more"),
    ("proxy/src/request", "crate::serve", "decisions do not know how bytes move"),
    ("proxy/src/request", "crate::xds", "decisions know tables; where those come from is live's"),
    ("proxy/src/request", "crate::live", "live compiles tables; tables do not know who made them"),
    ("proxy/src/xds", "crate::serve", "configuration reaches requests by one door, live"),
    ("proxy/src/xds", "crate::request", "configuration reaches requests by one door, live"),
    ("proxy/src/serve", "crate::xds", "the engine serves tables, whatever control plane they came from"),
    ("proxy/src/meter", "crate::serve", "counters do not know who counts"),
    ("proxy/src/meter", "crate::usage", "what is logged does not know how it is reported"),
    ("proxy/src/usage", "crate::xds", "usage reaches a server that need not be the one of the configuration"),
    ("proxy/src/connect", "crate::xds", "a connection does not know what is asked over it"),
];

/// Crates that a package must not list, and why.
const DEPENDENCIES: &[(&str, &[&str], &str)] = &[
    (
        "config",
        &["tokio", "tonic", "axum", "pingora", "notify", "weir-proxy", "weir-xds-server"],
        "it is the pure vocabulary",
    ),
    ("xds-server", &["weir-proxy", "pingora", "httparse"], "the control half serves without the data half"),
    (
        "proxy",
        &["weir-xds-server", "kube", "k8s-openapi", "notify", "serde-saphyr"],
        "the data half knows no Kubernetes",
    ),
];

#[test]
fn pure_modules_have_no_io_and_no_async() {
    let mut faults = Vec::new();
    for (place, why) in PURE {
        let files = sources(place);
        assert!(!files.is_empty(), "{place} is not there: the rule about it ({why}) holds nothing");
        for file in files {
            for (n, line) in code(&file) {
                for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                    faults.push(format!("{}:{n}: `{word}` in a pure module: {why}", short(&file)));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn arrows_run_one_way() {
    let mut faults = Vec::new();
    for (from, to, why) in FORBIDDEN {
        let files = sources(from);
        assert!(!files.is_empty(), "{from} is not there: the rule about it ({why}) holds nothing");
        for file in files {
            for (n, _) in code(&file).into_iter().filter(|(_, line)| line.contains(to)) {
                faults.push(format!("{}:{n}: names `{to}`: {why}", short(&file)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn modules_of_a_crate_make_no_circle() {
    for package in ["config", "xds-server", "proxy", "load-tests", "."] {
        let root = repository(package).join("src");
        let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in sources(&format!("{package}/src")) {
            let inside = file.strip_prefix(&root).unwrap();
            let module = top(inside);
            if matches!(module.as_str(), "lib" | "main") {
                continue;
            }
            for (_, line) in code(&file) {
                for rest in line.split("crate::").skip(1) {
                    let target: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let exists = root.join(&target).is_dir() || root.join(format!("{target}.rs")).is_file();
                    if target != module && exists {
                        arrows.entry(module.clone()).or_default().insert(target);
                    }
                }
            }
        }
        for start in arrows.keys() {
            let circle = path_back(&arrows, start);
            assert!(circle.is_none(), "{package}/src: modules in a circle: {}", circle.unwrap().join(" -> "));
        }
    }
}

#[test]
fn crates_depend_one_way() {
    for (package, forbidden, why) in DEPENDENCIES {
        let text = fs::read_to_string(repository(package).join("Cargo.toml")).unwrap();
        let own = text.split("[dependencies]").nth(1).unwrap_or_default();
        let own = own.split("\n[").next().unwrap_or_default();
        for line in own.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(!forbidden.contains(&name), "{package}/Cargo.toml depends on {name}: {why}");
        }
    }
}

#[test]
fn only_the_engine_names_pingora() {
    let allowed = ["proxy/src/serve", "proxy/src/tls", "proxy/src/run", "src"];
    for place in ["config/src", "xds-server/src", "proxy/src", "src"] {
        for file in sources(place) {
            let path = short(&file);
            if allowed.iter().any(|a| path.starts_with(a)) {
                continue;
            }
            for (n, line) in code(&file) {
                assert!(
                    !line.contains("pingora"),
                    "{path}:{n}: names pingora; only serve/, tls/ and the program's start do, so that the engine can change"
                );
            }
        }
    }
}

#[test]
fn files_are_rooms_not_halls() {
    for place in ["src", "config/src", "xds-server/src", "proxy/src", "load-tests/src", "tests"] {
        for file in sources(place) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 500, "{} has {lines} lines; over 500 a file is split by what it does", short(&file));
        }
    }
}

/// The way from `start` back to itself, if there is one.
fn path_back(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut open = vec![vec![start.to_string()]];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        for next in arrows.get(path.last()?).into_iter().flatten() {
            let longer = [path.clone(), vec![next.clone()]].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                open.push(longer);
            }
        }
    }
    None
}

/// First part of a path inside `src`: `ads/store.rs` is `ads`, `live.rs` is `live`.
fn top(inside: &Path) -> String {
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// Rust files of a place (a folder, or the first part of a file's name), tests left out.
fn sources(place: &str) -> Vec<PathBuf> {
    let place = repository(place);
    let mut files = Vec::new();
    for root in [place.clone(), place.with_extension("rs")] {
        collect(&root, &mut files);
    }
    files
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap().path();
            if !entry.ends_with("tests") {
                collect(&entry, files);
            }
        }
    } else if path.is_file() && name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "fuzz.rs" {
        files.push(path.to_path_buf());
    }
}

/// Lines of code with their numbers: no comments, no inline tests.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = body.lines().enumerate().map(|(n, line)| (n + 1, line.trim_start()));
    lines
        .filter(|(_, line)| !line.starts_with("//"))
        .map(|(n, line)| (n, line.split(" // ").next().unwrap_or_default().to_string()))
        .collect()
}

fn short(file: &Path) -> String {
    file.strip_prefix(repository("")).unwrap_or(file).to_string_lossy().trim_start_matches("./").to_string()
}
