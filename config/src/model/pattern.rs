//! Regular expressions: one meaning for the server that accepts them, the codec that checks them and the
//! proxy that matches with them.

use regex::bytes::{Regex, RegexBuilder};

use crate::FieldError;

/// Largest compiled form of one expression, in bytes. It bounds what a route costs to hold and to match.
const MOST_BYTES: usize = 256 * 1024;

/// Compiles an expression that must match the whole text (RE2's full match, as Envoy asks for).
///
/// As in RE2, `\d`, `\w` and `\s` are ASCII. An expression that only makes sense over Unicode
/// (`\pL`, a class of letters beyond ASCII) is compiled so.
///
/// # Errors
/// At no field of its own: it is empty, does not parse, or grows too large.
pub fn regex(pattern: &str) -> Result<Regex, FieldError> {
    if pattern.is_empty() {
        return Err(FieldError::new("", "must not be empty"));
    }
    let build = |text: &str, unicode| RegexBuilder::new(text).unicode(unicode).size_limit(MOST_BYTES).build();
    // Alone first: `a)|(b` must not close the group that is put around it.
    let unicode = build(pattern, false).is_err();
    build(pattern, unicode).and_then(|_| build(&format!(r"\A(?:{pattern})\z"), unicode)).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            FieldError::new("", "is too large a regular expression").hint("shorten its repetitions")
        }
        other => FieldError::new("", format!("is not a regular expression: {}", last_line(&other.to_string())))
            .hint("RE2 syntax"),
    })
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
        for pattern in ["", "(", "a)|(b", "(a{1000}){1000}"] {
            assert!(regex(pattern).is_err(), "{pattern}");
        }
    }
}
