//! Regular expressions: one meaning for the server that accepts them, the codec that checks them and the
//! proxy that matches with them.
//!
//! An expression is a tenant's and its cost is everybody's, so it is bounded, and compiled once however
//! many hosts and routes it stands in. It must mean the same to RE2, with which a stock Envoy reads it:
//! one that Envoy refuses would cost every tenant its updates there.

mod re2;
mod rewrite;

pub use rewrite::Rewrite;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::bytes::{Regex, RegexBuilder};

use crate::FieldError;

/// Largest compiled form of one expression, in bytes. It bounds what a route costs to hold and to match.
const MOST_BYTES: usize = 64 * 1024;
/// Expressions that are kept for the next host they stand in.
const MOST_KEPT: usize = 2048;

/// Compiled expressions by their text.
type Kept = LazyLock<Mutex<HashMap<String, Arc<Regex>>>>;

static WHOLE: Kept = LazyLock::new(Mutex::default);
static PARTS: Kept = LazyLock::new(Mutex::default);

/// Compiles an expression that must match the whole text (RE2's full match, as Envoy asks for).
///
/// As in RE2, `\d`, `\w` and `\s` are ASCII. An expression that only makes sense over Unicode
/// (`\pL`, a class of letters beyond ASCII) is compiled so.
///
/// # Errors
/// At no field of its own: it is empty, does not parse, is none to RE2, or grows too large.
pub fn regex(pattern: &str) -> Result<Arc<Regex>, FieldError> {
    keep(&WHOLE, pattern, || compile(pattern, &format!(r"\A(?:{pattern})\z")))
}

/// Compiles an expression that is looked for in a text: what `regex_rewrite` replaces. Otherwise as [`regex`].
///
/// # Errors
/// As [`regex`].
pub fn search(pattern: &str) -> Result<Arc<Regex>, FieldError> {
    keep(&PARTS, pattern, || compile(pattern, pattern))
}

/// What is kept of an expression, or comes anew.
fn keep(
    kept: &Kept,
    pattern: &str,
    compile: impl FnOnce() -> Result<Regex, FieldError>,
) -> Result<Arc<Regex>, FieldError> {
    if let Some(known) = kept.lock().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(Arc::clone(known));
    }
    let compiled = Arc::new(compile()?);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= MOST_KEPT {
        kept.clear();
    }
    kept.insert(pattern.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

/// Compiles `whole`, which is `pattern` or has it within.
fn compile(pattern: &str, whole: &str) -> Result<Regex, FieldError> {
    if pattern.is_empty() {
        return Err(FieldError::new("", "must not be empty"));
    }
    // Alone, so that `a)|(b` does not close the group that is put around it.
    re2::check(pattern)?;
    let build = |unicode| {
        RegexBuilder::new(whole).unicode(unicode).size_limit(MOST_BYTES).dfa_size_limit(4 * MOST_BYTES).build()
    };
    let compiled = match build(false) {
        Err(regex::Error::Syntax(_)) => build(true),
        other => other,
    };
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            FieldError::new("", "is too large a regular expression").hint("shorten its repetitions")
        }
        other => not_an_expression(&other.to_string()),
    })
}

fn not_an_expression(error: &str) -> FieldError {
    FieldError::new("", format!("is not a regular expression: {}", last_line(error))).hint("RE2 syntax")
}

/// What the compiler says after it has drawn the place of the error.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::regex;

    #[test]
    fn the_whole_text_must_match() {
        let pattern = regex("/a|/b").unwrap();
        assert!(pattern.is_match(b"/a") && pattern.is_match(b"/b"));
        assert!(!pattern.is_match(b"/ab") && !pattern.is_match(b"/b\n"));
    }

    #[test]
    fn classes_are_ascii_and_letters_may_be_any() {
        assert!(!regex(r"\w").unwrap().is_match("é".as_bytes()));
        assert!(regex(r"\pL").unwrap().is_match("é".as_bytes()));
    }

    #[test]
    fn what_does_not_compile_is_refused() {
        for pattern in ["", "(", "a)|(b", "(a{1000}){1000}", "[^a]{900}b{900}\\pL{900}"] {
            assert!(regex(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn one_expression_is_compiled_once() {
        let first = regex("/once/[a-z]+").unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &regex("/once/[a-z]+").unwrap()));
    }
}
