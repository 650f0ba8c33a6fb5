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
    pub provisional: bool,
}

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
        Some(Self { root, tests, expectations })
    }

    /// A test, by its short name.
    pub fn test(&self, short: &str) -> &Test {
        self.tests.iter().find(|test| test.short == short).unwrap_or_else(|| panic!("the suite has no test {short}"))
    }

    /// The documents of a manifest.
    pub fn manifest(&self, file: impl AsRef<Path>) -> Vec<Value> {
        let path = self.root.join(file.as_ref());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let said = |part: &&str| part.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let read = |part: &str| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.split("\n---").map(|part| part.trim_start_matches("---")).filter(said).map(read).collect()
    }

    /// The requests of a test with what they must give; empty where the suite builds them in a loop.
    pub fn rows(&self, test: &Test) -> &[Value] {
        self.expectations.get(&test.file).map_or(&[], Vec::as_slice)
    }
}
