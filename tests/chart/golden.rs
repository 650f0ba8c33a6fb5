//! What the chart renders for the values of each case in `tests/golden/chart`. `default` is there whole; of the
//! others what differs from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::helm::{self, CHART, cases, documents, parse, render};
use crate::support::site::repository;

#[test]
fn helm_finds_nothing_to_say_about_the_chart() {
    for case in cases() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &case.values).unwrap();
        let lint = helm::helm().args(["lint", "--strict", "--values"]).arg(file.path()).arg(repository(CHART)).output();
        let lint = lint.unwrap();
        assert!(lint.status.success(), "{}: {}", case.name, helm::said(&lint));
    }
}

#[test]
fn golden_charts() {
    let regenerate = std::env::var_os("WEIR_REGENERATE").is_some();
    let mut wrong = String::new();
    let mut default = BTreeMap::new();
    for case in cases() {
        let now = by_name(&settled(&render(&case.values).text));
        let shown = if case.name == "default" {
            now.values().fold(String::new(), |text, object| text + "---\n" + object + "\n")
        } else {
            differences(&default, &now)
        };
        if case.name == "default" {
            default = now;
        }
        if regenerate {
            case.write(&shown);
        } else if shown != case.rendered {
            let line = shown.lines().zip(case.rendered.lines()).position(|(now, then)| now != then);
            let _ = writeln!(wrong, "{} (from line {line:?} after the values)", case.name);
        }
    }
    assert!(wrong.is_empty(), "rendered anew, these differ; see `make golden` and review the diff:\n{wrong}");
}

/// Objects by kind, namespace and name; helm's own order is that of installation.
fn by_name(text: &str) -> BTreeMap<String, String> {
    let named = |document: &&str| {
        let object = parse(document);
        let meta = &object["metadata"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text(&object["kind"]), text(&meta["namespace"]), text(&meta["name"]))
    };
    let trimmed = |document: &str| document.trim_end().to_owned();
    documents(text).iter().map(|document| (named(document), trimmed(document))).collect()
}

fn differences(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        let _ = writeln!(out, "# without {name}");
    }
    for (_, object) in now.iter().filter(|(name, object)| before.get(*name) != Some(object)) {
        let _ = write!(out, "---\n{object}\n");
    }
    out
}

/// Without what is made anew each time, and without the dashboards' text, which is a file of its own.
fn settled(text: &str) -> String {
    let mut out = String::new();
    let mut pem = false;
    for line in text.lines() {
        let (key, value) = line.trim_start().split_once(": ").unwrap_or((line, ""));
        let indent = &line[..line.len() - line.trim_start().len()];
        match () {
            () if line.contains("-----END") => pem = false,
            () if pem => {}
            () if line.contains("-----BEGIN") => {
                pem = true;
                let _ = writeln!(out, "{indent}(a certificate)");
            }
            () if value.starts_with("LS0t") => {
                let _ = writeln!(out, "{indent}{key}: (made by the chart)");
            }
            () if key.starts_with("weir-") && key.ends_with(".json") => {
                let _ = writeln!(out, "{indent}{key}: (dashboards/{})", &key["weir-".len()..]);
            }
            () => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}
