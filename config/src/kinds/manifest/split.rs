//! A file into documents.

/// One document of a file, without its separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// Line of the file, from 1, at which `text` begins.
    pub(super) line: usize,
    /// The document.
    pub(super) text: &'a str,
}

/// The documents of a file; those that hold only comments and blank lines are left out.
///
/// Lines that begin with `---` or `...` end a document, wherever they stand: YAML gives them that
/// meaning inside block and quoted scalars too. So a file is split even where a document of it does
/// not parse, and a broken document never takes its neighbours along.
pub(super) fn split(text: &str) -> Vec<Raw<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let next = at + line.len();
        if is_marker(line) {
            push(&mut documents, start_line, &text[start..at]);
            // What follows `---` on its own line belongs to the document (`--- {a: 1}`).
            let inline = line[3..].trim_start_matches([' ', '\t']);
            let same_line = line.starts_with("---") && !inline.trim().is_empty() && !inline.starts_with('#');
            start = if same_line { at + 3 } else { next };
            start_line = if same_line { index + 1 } else { index + 2 };
        }
        at = next;
    }
    push(&mut documents, start_line, &text[start..]);
    documents
}

fn is_marker(line: &str) -> bool {
    ["---", "..."].iter().any(|marker| {
        line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    })
}

/// Adds the document from its first line that says something.
fn push<'a>(documents: &mut Vec<Raw<'a>>, line: usize, text: &'a str) {
    let mut skipped = 0;
    for (index, content) in text.split_inclusive('\n').enumerate() {
        let trimmed = content.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') && !trimmed.starts_with('%') {
            documents.push(Raw { line: line + index, text: &text[skipped..] });
            return;
        }
        skipped += content.len();
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    fn lines(text: &str) -> Vec<(usize, &str)> {
        split(text).into_iter().map(|raw| (raw.line, raw.text.trim())).collect()
    }

    #[test]
    fn documents_begin_at_their_first_line_that_says_something() {
        assert_eq!(lines("a: 1\n---\n# note\n\nb: 2\n"), [(1, "a: 1"), (5, "b: 2")]);
        assert_eq!(lines("---\n---\n\n--- # c\na: 1\n...\n---\nb: 2"), [(5, "a: 1"), (8, "b: 2")]);
        assert_eq!(lines("\u{feff}a: 1\r\n---\r\nb: 2\r\n"), [(1, "a: 1"), (3, "b: 2")]);
        assert_eq!(lines("--- {a: 1}\n--- \nb: 2\n"), [(1, "{a: 1}"), (3, "b: 2")]);
        assert_eq!(lines("# nothing\n---\n"), []);
    }

    #[test]
    fn only_a_marker_at_the_margin_ends_a_document() {
        assert_eq!(lines("a: |\n  ---\n  b\n---x: 1\n").len(), 1);
        assert_eq!(lines("a: |\n  b\n---\nc: 1\n").len(), 2);
    }
}
