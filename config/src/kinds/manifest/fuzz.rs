//! Whatever stands in a file, reading it ends soon and well: text of any sort, examples that were
//! damaged, and what is made to be expensive.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Content, documents};
use crate::testing::soak;

/// Manifests that people write.
const EXAMPLES: [&str; 3] = [
    include_str!("../../../examples/quickstart/platform.yaml"),
    include_str!("../../../examples/quickstart/acme.yaml"),
    include_str!("../../../examples/quickstart/globex.yaml"),
];

/// What means something in YAML, or to us.
const PIECES: &[&str] = &[
    "---\n",
    "...\n",
    "\n",
    "  ",
    "\t",
    ": ",
    ":",
    "- ",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "*b ",
    "<<: *a\n",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "%YAML 1.2\n",
    "? ",
    "null",
    "~",
    "0x7f",
    "1e999",
    ".inf",
    "99999999999999999999",
    "-1",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\\",
    "é",
    "apiVersion: weir.dev/v1alpha1\n",
    "kind: Tenant\n",
    "kind: List\n",
    "kind: HTTPRoute\n",
    "metadata:\n",
    "  name: a\n",
    "items:\n",
    "spec:\n",
    "  hostnames: [",
    "data: {a: ",
    "true",
];

fn random() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => select(PIECES).prop_map(str::to_owned), 1 => ".{0,8}"];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// An example with some bytes replaced, lines doubled or left out, and its end cut off.
fn damaged() -> impl Strategy<Value = String> {
    let edit = (any::<Index>(), select(PIECES), 0..3u8);
    (select(EXAMPLES.as_slice()), prop::collection::vec(edit, 1..6)).prop_map(|(text, edits)| {
        let mut text = text.to_owned();
        for (place, piece, how) in edits {
            let place = text.floor_char_boundary(place.index(text.len().max(1)).min(text.len()));
            match how {
                0 => text.insert_str(place, piece),
                1 => text.truncate(place),
                _ => {
                    let end = text[place..].find(['\n', ' ', ':']).map_or(text.len(), |end| place + end);
                    text.replace_range(place..end, piece);
                }
            }
        }
        text
    })
}

/// What holds for any text.
fn check(text: &str) -> Result<(), TestCaseError> {
    // YAML ends lines with a lone carriage return too.
    let lines = text.split(['\n', '\r']).count();
    for document in documents(text) {
        prop_assert!((1..=lines).contains(&document.line), "line {} of {lines}", document.line);
        match &document.content {
            Content::Bad(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!((1..=lines).contains(&problem.line), "line {} of {lines}", problem.line);
                }
            }
            // Its text alone says the same: what was last good is read from it after a restart.
            Content::Object(object) => {
                let again = documents(&document.text);
                prop_assert_eq!(again.len(), 1);
                match &again[0].content {
                    Content::Object(other) => prop_assert_eq!(other, object),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            Content::Ignored => {}
        }
    }
    Ok(())
}

#[test]
fn soak_any_text_is_read_without_panic() {
    soak::property(&random(), |text| check(&text));
}

#[test]
fn soak_a_damaged_manifest_is_read_without_panic() {
    soak::property(&damaged(), |text| check(&text));
}

/// Text that is small and asks for much.
#[test]
fn what_is_made_to_be_expensive_is_refused_soon() {
    let head = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: a}\nspec:\n";
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        laughs += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    let merges: String = (0..3000).map(|n| format!("k{n}: &k{n} {{<<: *k{}}}\n", n.max(1) - 1)).collect();
    let bombs = [
        ("aliases", laughs),
        ("merges", merges),
        ("brackets", "[".repeat(1 << 20)),
        ("braces", "{a: ".repeat(1 << 18)),
        ("dashes", "- ".repeat(1 << 19)),
        ("indents", (0..3000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("questions", "? ".repeat(1 << 19)),
        ("long scalar", format!("a: {}", "x".repeat(4 << 20))),
        ("long number", format!("{head}  weight: {}\n", "9".repeat(1 << 20))),
        ("many documents", "---\na: 1\n".repeat(20_000)),
        ("many keys", (0..100_000).map(|n| format!("k{n}: 1\n")).collect()),
        ("unknown fields", head.to_owned() + &(0..5000).map(|n| format!("  k{n}: 1\n")).collect::<String>()),
        ("open quote", format!("a: \"{}", "x\n".repeat(1 << 19))),
    ];
    for (name, text) in bombs {
        let begun = Instant::now();
        let read = documents(&text);
        let objects = read.iter().filter(|document| matches!(document.content, Content::Object(_))).count();
        assert_eq!(objects, 0, "{name}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {:?}", begun.elapsed());
        eprintln!("{name}: {:?}, {} documents", begun.elapsed(), read.len());
    }
}
