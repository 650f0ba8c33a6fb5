//! The suite's data: its tests, their manifests, their requests and expected responses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::support::site::repository;

/// A test of the suite.
#[derive(Clone, Debug, Deserialize)]
pub struct Test {
    /// Its name in reports.
    pub short: String,
    /// Key of its expectations.
    pub file: String,
    /// Files that it applies, in order.
    pub manifests: Vec<String>,
    /// What an implementation must support for it to be run.
    pub features: Vec<String>,
    /// Whether reports count it as provisional.
    #[serde(default)]
    pub provisional: bool,
    /// Whether it is the harness's own, written from the specification.
    #[serde(skip)]
    pub own: bool,
}

/// What the first document of a test of the harness's own says; the other documents are its manifests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    short: String,
    features: Vec<String>,
    #[serde(default)]
    rows: Vec<Value>,
}

/// Where tests of the harness's own lie.
const OWN: &str = "tests/conformance/own";

/// The directory of the suite's data.
pub struct Data {
    root: PathBuf,
    /// Its tests, in the suite's order.
    pub tests: Vec<Test>,
    expectations: BTreeMap<String, Vec<Value>>,
}

impl Data {
    /// Reads it from `GATEWAY_API_CONFORMANCE`, by default `../shared/gateway-api-conformance`. None where it is not
    /// there: why, and how to get it, is printed.
    pub fn open() -> Option<Self> {
        let root = std::env::var_os("GATEWAY_API_CONFORMANCE");
        let root = root.map_or_else(|| repository("../shared/gateway-api-conformance"), PathBuf::from);
        if !root.join("tests-index.json").exists() {
            eprintln!(
                "skipped: there is no conformance data at {}. It is the directory conformance/ of \
                 kubernetes-sigs/gateway-api at v1.6.1 (base/, tests/) with tests-index.json and expectations.json \
                 made from its Go tests; name it by GATEWAY_API_CONFORMANCE",
                root.display()
            );
            return None;
        }
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tests = serde_json::from_str(&read("tests-index.json")).expect("tests-index.json");
        let expectations = serde_json::from_str(&read("expectations.json")).expect("expectations.json");
        let mut data = Self { root, tests, expectations };
        data.add_own();
        Some(data)
    }

    /// Adds the tests that the harness has beside the suite's.
    fn add_own(&mut self) {
        let mut files: Vec<PathBuf> =
            fs::read_dir(repository(OWN)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let head = documents(&file).swap_remove(0);
            let own: Own = serde_json::from_value(head).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let key = file.to_str().unwrap().to_owned();
            let test = Test {
                short: own.short,
                file: key.clone(),
                manifests: vec![key.clone()],
                features: own.features,
                provisional: false,
                own: true,
            };
            self.tests.push(test);
            self.expectations.insert(key, own.rows);
        }
    }

    /// A test, by its short name.
    pub fn test(&self, short: &str) -> &Test {
        self.tests.iter().find(|test| test.short == short).unwrap_or_else(|| panic!("the suite has no test {short}"))
    }

    /// The objects of a manifest.
    pub fn manifest(&self, file: impl AsRef<Path>) -> Vec<Value> {
        // A path of the harness's own is absolute, and so stays what it is.
        let mut objects = documents(&self.root.join(file.as_ref()));
        objects.retain(|object| !object["kind"].is_null());
        objects
    }

    /// The requests of a test with what they must give; empty where the suite builds them in a loop.
    pub fn rows(&self, test: &Test) -> &[Value] {
        self.expectations.get(&test.file).map_or(&[], Vec::as_slice)
    }
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let said = |part: &&str| part.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let read = |part: &str| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.split("\n---").map(|part| part.trim_start_matches("---")).filter(said).map(read).collect()
}
