//! What a person sees: colours on a terminal, aligned tables.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

/// Colours, only where standard output is a terminal and `NO_COLOR` is not set.
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

pub(crate) fn paint(colour: Colour, text: &str) -> String {
    if !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Green => "32",
        Colour::Yellow => "33",
        Colour::Red => "31",
        Colour::Dim => "2",
        Colour::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns as wide as their widest cell, two spaces apart; the head in bold.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(i, h)| {
            rows.iter().filter_map(|r| r.get(i)).map(|c| visible(c)).chain([h.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let gap = width.saturating_sub(visible(cell)) + 2;
            let _ = write!(text, "{cell}{}", " ".repeat(gap));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&head.iter().map(|h| paint(Colour::Bold, h)).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
    out
}

/// Characters that a terminal shows: without colour codes.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{table, visible};

    #[test]
    fn columns_align() {
        let rows = [vec!["acme".to_owned(), "1".to_owned()], vec!["b".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["TENANT", "N"], &rows), "TENANT  N\nacme    1\nb       22\n");
    }

    #[test]
    fn colour_codes_take_no_room() {
        assert_eq!(visible("\x1b[32mgo\x1b[0m"), 2);
    }
}
