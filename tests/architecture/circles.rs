//! No file needs another that needs it: each can be read after those that it names, and changed without the rest.
//! A `mod.rs` is no file of this kind (it names its children, and they what it holds), and a child may name the file
//! that it is a part of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{code, path_back, sources};
use crate::support::site::repository;

/// Two files that do name each other, and why that is no fault.
const KNOWN: &[(&str, &str, &str)] = &[
    ("request::hosts", "request::table", "a listener's tables hold the hosts, and hosts the routes, which are tables"),
    ("tls::slot", "tls::wants", "a place of a certificate asks for it, and who asks is remembered as places"),
];

type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn files_of_a_crate_make_no_circle() {
    for package in ["config", "xds-server", "proxy", "load-tests", "."] {
        let arrows = arrows(package);
        for start in arrows.keys() {
            let circle = path_back(&arrows, start);
            assert!(circle.is_none(), "{package}/src: files in a circle: {}", circle.unwrap().join(" -> "));
        }
    }
}

#[test]
fn a_circle_would_be_found() {
    let modules = ["a", "a::b", "a::c", "d"].map(String::from).into();
    let found = |module: &str, text: &str| named(text, module, &modules);
    let expected = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(found("a::b", "use super::c::{X, Y}; use crate::d;"), expected(&["a::c", "d"]));
    assert_eq!(found("d", "use crate::a::{self, b::{X, Y as Z}, c};"), expected(&["a", "a::b", "a::c"]));
    assert_eq!(found("a::c", "fn f() -> super::b::X { crate::d::e() }"), expected(&["a::b", "d"]));
    assert_eq!(found("d", "use crate::elsewhere::X;"), expected(&[]));
}

/// Which file of a package names which.
fn arrows(package: &str) -> Arrows {
    let root = repository(package).join("src");
    let files: BTreeMap<String, _> =
        sources(&format!("{package}/src")).into_iter().map(|file| (module(&root, &file), file)).collect();
    let modules: BTreeSet<String> = files.keys().cloned().collect();
    let plain = |name: &str| !files[name].ends_with("mod.rs") && !["", "lib", "main"].contains(&name);
    let known =
        |from: &str, to: &str| KNOWN.iter().any(|(a, b, _)| (*a == from && *b == to) || (*a == to && *b == from));
    let mut arrows = Arrows::new();
    for (name, file) in files.iter().filter(|(name, _)| plain(name)) {
        let text: Vec<String> = code(file).into_iter().map(|(_, line)| line).collect();
        let to = named(&text.join("\n"), name, &modules).into_iter();
        let counts = |to: &String| plain(to) && to != name && !name.starts_with(&format!("{to}::")) && !known(name, to);
        arrows.insert(name.clone(), to.filter(counts).collect());
    }
    arrows
}

/// `ads/view.rs` is `ads::view`, `ads/mod.rs` is `ads`.
fn module(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap().with_extension("");
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    let parts = if parts.last().is_some_and(|last| last == "mod") { &parts[..parts.len() - 1] } else { &parts[..] };
    parts.join("::")
}

/// The files that a text of this module names: by `crate::` or `super::`, in `use` or where it stands.
fn named(text: &str, module: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let parents: Vec<&str> = module.split("::").collect();
    let mut found = BTreeSet::new();
    for (start, word) in ["crate::", "super::"].iter().flat_map(|word| text.match_indices(word)) {
        // Only where a path begins: a `super::super::` is one path.
        if text[..start].ends_with("::") || text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let mut rest = &text[start..];
        let mut base: Vec<&str> = if word == "crate::" { Vec::new() } else { parents.clone() };
        if word == "crate::" {
            rest = &rest["crate::".len()..];
        }
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
        for path in leaves(rest) {
            let whole: Vec<&str> = base.iter().copied().chain(path.iter().map(String::as_str)).collect();
            let names = (1..=whole.len()).rev().map(|n| whole[..n].join("::"));
            found.extend(names.into_iter().find(|name| modules.contains(name)));
        }
    }
    found
}

/// The paths of a path with braces: `a::{b, c::d}` are `a::b` and `a::c::d`.
fn leaves(text: &str) -> Vec<Vec<String>> {
    let mut text = text;
    tree(&mut text)
}

fn tree(text: &mut &str) -> Vec<Vec<String>> {
    *text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        *text = inside;
        let mut all = Vec::new();
        while !text.starts_with('}') && !text.is_empty() {
            all.extend(tree(text));
            let end = text.find([',', '}']).unwrap_or(text.len());
            *text = text[end..].trim_start_matches(',').trim_start();
        }
        *text = text.strip_prefix('}').unwrap_or(text);
        return all;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    *text = rest;
    match rest.strip_prefix("::") {
        Some(inside) if !word.is_empty() => {
            *text = inside;
            let own = |mut path: Vec<String>| {
                path.insert(0, word.to_string());
                path
            };
            tree(text).into_iter().map(own).collect()
        }
        _ => vec![vec![word.to_string()]],
    }
}
