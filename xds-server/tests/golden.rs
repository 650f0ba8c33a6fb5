//! Translation by example: one file of `tests/golden` holds manifests, the resources that they
//! become, and the conditions. `WEIR_REGENERATE=1` writes the second and third part anew; the
//! review is reading the difference.
//!
//! A file that begins with `# with NAME` stands on the manifests of `golden/with/NAME.yaml`, and
//! shows only what is not there without it. A line `# class NAME: PATTERN, PATTERN` is a proxy class;
//! without any there is one edge, `edge`. A line `# maxFilterChains NAME: N` is its setting.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use weir_config::model::{Resource, Snapshot};
use weir_config::xds;
use weir_xds_server::translate::{Classes, Settings, World};

const RESOURCES: &str = "# ---- resources\n";
const CONDITIONS: &str = "# ---- conditions\n";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn world(manifests: &str, settings: &Settings) -> World {
    let mut world = World::new(settings.clone());
    world.apply(&support::applied(&support::objects(manifests)));
    world
}

/// As the JSON of its xDS message, keys left out.
fn show(resource: &Resource) -> String {
    let json = xds::json::to_json(resource.kind(), &xds::encode(resource)).unwrap();
    format!("# {} {}\n{}\n", resource.kind().message(), resource.name(), serde_json::to_string_pretty(&json).unwrap())
}

fn classes(manifests: &str) -> Classes {
    let listed = manifests.lines().filter_map(|line| line.strip_prefix("# class ")?.split_once(": "));
    let listed: Vec<(&str, Vec<&str>)> =
        listed.map(|(name, patterns)| (name, patterns.split(", ").collect())).collect();
    let mut classes = if listed.is_empty() { Settings::default().classes } else { Classes::new(listed) };
    for line in manifests.lines() {
        let Some((name, most)) = line.strip_prefix("# maxFilterChains ").and_then(|line| line.split_once(": ")) else {
            continue;
        };
        let edge = classes.find(name).unwrap();
        classes = classes.with_max_filter_chains(edge, most.parse().unwrap());
    }
    classes
}

fn result(manifests: &str) -> String {
    let unassigned_is_system = manifests.contains("# --unassigned=system\n");
    let settings = Settings { unassigned_is_system, classes: classes(manifests), ..Settings::default() };
    let base = match manifests.lines().next().and_then(|line| line.strip_prefix("# with ")) {
        Some(name) => fs::read_to_string(directory().join("with").join(format!("{name}.yaml"))).unwrap(),
        None => String::new(),
    };
    let before = world(&base, &settings);
    let after = world(&format!("{base}\n---\n{manifests}"), &settings);
    let nothing = Snapshot::default();
    let known = if base.is_empty() { &nothing } else { before.snapshot() };

    let mut text = RESOURCES.to_owned();
    for resource in after.snapshot().all() {
        if known.get(resource.kind(), resource.name()).as_ref() != Some(&resource) {
            text += &show(&resource);
        }
    }
    for resource in known.all().filter(|resource| after.snapshot().get(resource.kind(), resource.name()).is_none()) {
        writeln!(text, "# no {} {}", resource.kind().message(), resource.name()).unwrap();
    }
    text += CONDITIONS;
    for (key, status) in after.statuses() {
        if base.is_empty() || before.statuses().get(key) != Some(status) {
            writeln!(text, "# {key}\n{}", serde_json::to_string_pretty(status).unwrap()).unwrap();
        }
    }
    text
}

#[test]
fn manifests_become_these_resources_and_conditions() {
    let regenerate = std::env::var_os("WEIR_REGENERATE").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(regenerate || files.len() >= 25, "only {} cases", files.len());
    let mut different = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let manifests = text.split(RESOURCES).next().unwrap().to_owned();
        let expected = format!("{manifests}{}", result(&manifests));
        if text != expected {
            different.push(file.file_name().unwrap().to_string_lossy().into_owned());
            if regenerate {
                fs::write(&file, expected).unwrap();
            }
        }
    }
    assert!(regenerate || different.is_empty(), "WEIR_REGENERATE=1 writes anew: {different:?}");
}
