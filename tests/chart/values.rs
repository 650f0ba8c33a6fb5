//! The chart's README has every value as a table, made of values.yaml; the schema knows the same values.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::helm::{CHART, parse};
use crate::support::site::repository;

const BEGIN: &str = "<!-- values: made by tests/chart/values.rs (make golden) -->\n";
const END: &str = "<!-- end of values -->\n";

#[test]
fn golden_table_of_values() {
    let text = fs::read_to_string(repository(CHART).join("values.yaml")).unwrap();
    let rows = rows(&text);
    let mut table = String::from("| value | default | what |\n| --- | --- | --- |\n");
    for row in &rows {
        assert!(!row.what.is_empty(), "values.yaml: {} has no comment above it", row.path);
        table += &format!("| `{}` | `{}` | {} |\n", row.path, row.default.replace('|', "\\|"), row.what);
    }
    let file = repository(CHART).join("README.md");
    let readme = fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if std::env::var_os("WEIR_REGENERATE").is_some() {
        fs::write(&file, expected).unwrap();
    } else {
        assert!(readme == expected, "the table in {} is not that of values.yaml: see `make golden`", file.display());
    }
}

#[test]
fn the_schema_and_the_values_know_the_same_names() {
    let values = parse(&fs::read_to_string(repository(CHART).join("values.yaml")).unwrap());
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(repository(CHART).join("values.schema.json")).unwrap()).unwrap();
    let (mut known, mut given) = (BTreeSet::new(), BTreeSet::new());
    of_schema(&schema, &schema, "", &mut known);
    of_values(&values, "", &known, &mut given);
    // Helm's own, for charts that include this one; and what Kubernetes has where the default has nothing.
    let open = |path: &&String| !path.starts_with("global") && !path.contains(".resources.");
    let missing: Vec<_> = known.difference(&given).filter(open).collect();
    let issuer = ["name", "kind", "group"].map(|field| format!("xds.tls.certManager.issuerRef.{field}"));
    assert!(missing.iter().all(|path| issuer.contains(path)), "not in values.yaml: {missing:?}");
    let part = |path: &&String| known.iter().any(|known| known.starts_with(&format!("{path}.")));
    let unknown: Vec<_> = given.difference(&known).filter(open).filter(|path| !part(path)).collect();
    assert!(unknown.is_empty(), "not in values.schema.json: {unknown:?}");
}

struct Row {
    path: String,
    default: String,
    what: String,
}

/// The leaves of values.yaml with the comments above them. A map or list in several lines is its first line's.
fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let (mut comment, mut of_parent) = (Vec::new(), Vec::new());
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        if let Some(words) = body.strip_prefix("# ") {
            comment.push(words.to_owned());
            continue;
        }
        if body.is_empty() {
            comment.clear();
            continue;
        }
        let Some((key, value)) = body.split_once(':').filter(|_| !body.starts_with('-')) else {
            // A list in several lines: it belongs to the value above.
            let row = rows.last_mut().unwrap();
            row.default = format!("{} {}", row.default, body.trim_start_matches("- ")).trim().to_owned();
            continue;
        };
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key.to_owned()));
        let next =
            lines[n + 1..].iter().map(|line| line.trim_start()).find(|line| !line.is_empty()).unwrap_or_default();
        let own = std::mem::take(&mut comment);
        let leaf = !value.trim().is_empty() || next.starts_with('-');
        if !leaf {
            of_parent = own;
            continue;
        }
        // A part of a value that Kubernetes defines has the words of the whole.
        let what = if own.is_empty() { of_parent.clone() } else { own };
        let path = path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        rows.push(Row { path, default: value.trim().to_owned(), what: what.join(" ") });
    }
    rows
}

fn of_schema(root: &Value, schema: &Value, path: &str, out: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(at) => root.pointer(at.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        out.insert(path.to_owned());
        return;
    };
    for (name, inner) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        of_schema(root, inner, &path, out);
    }
}

/// Paths of the values down to what the schema knows as a leaf.
fn of_values(values: &Value, path: &str, leaves: &BTreeSet<String>, out: &mut BTreeSet<String>) {
    match values.as_object().filter(|map| !leaves.contains(path) && !map.is_empty()) {
        Some(map) => {
            for (name, inner) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                of_values(inner, &path, leaves, out);
            }
        }
        None => {
            out.insert(path.to_owned());
        }
    }
}

#[test]
fn a_table_row_has_path_default_and_comment() {
    let text =
        "# Not of a value.\n\n# One.\na: 1\nb:\n  # Two,\n  # in two lines.\n  c: {d: 2}\n  # A list.\n  e:\n    - x\n";
    let rows: Vec<_> = rows(text).into_iter().map(|row| (row.path, row.default, row.what)).collect();
    let row = |path: &str, default: &str, what: &str| (path.to_owned(), default.to_owned(), what.to_owned());
    assert_eq!(rows, [row("a", "1", "One."), row("b.c", "{d: 2}", "Two, in two lines."), row("b.e", "x", "A list.")]);
}
