//! Paths in one form, so that what is matched is what the backend resolves: Envoy's `normalize_path`.
//!
//! Segments `.` and `..` are resolved, however they are escaped; `\` is a slash; escapes of
//! unreserved characters (RFC 3986 section 2.3) are undone, and what may not stand bare is escaped.
//! Repeated slashes and escaped slashes stay as they are. A parameter does not hide a dot segment
//! (`..;x`), since many servers drop parameters before they resolve. Where Envoy 1.40 leaves one
//! hidden (`%2e%2e;`, which it turns into `..;`), it is resolved here.

use super::Refused;

/// What a byte of a target is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Dot,
    /// Ends the path.
    Query,
    /// Has the path rewritten.
    Odd,
    /// May not stand in a target: not visible ASCII, or the start of a fragment.
    Bad,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Bad; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'#' => Class::Bad,
            b'?' => Class::Query,
            b'.' => Class::Dot,
            b'%' | b'\\' => Class::Odd,
            _ if must_escape(byte) => Class::Odd,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

/// Where the path ends, and whether it is in its form for certain: most are, and are not copied.
///
/// # Errors
/// 400 for a byte that no target holds.
pub(super) fn scan(origin: &[u8]) -> Result<(usize, bool), Refused> {
    let mut normal = true;
    let mut last = 0;
    for (at, byte) in origin.iter().enumerate() {
        match CLASSES[usize::from(*byte)] {
            Class::Plain => {}
            Class::Dot => normal &= last != b'/',
            Class::Odd => normal = false,
            Class::Query => {
                let query = origin.get(at..).unwrap_or_default();
                return match query.iter().any(|b| CLASSES[usize::from(*b)] == Class::Bad) {
                    true => Err(Refused::malformed("request_target")),
                    false => Ok((at, normal)),
                };
            }
            Class::Bad => return Err(Refused::malformed("request_target")),
        }
        last = *byte;
    }
    Ok((origin.len(), normal))
}

/// Writes `path`, which begins with `/` and passed [`scan`], in its form, after what `out` holds.
///
/// # Errors
/// 400 for an escaped NUL, which ends a path for some and not for others.
pub fn normalise(path: &str, out: &mut String) -> Result<(), Refused> {
    let root = out.len();
    out.push('/');
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    loop {
        let end = rest.find(['/', '\\']);
        let segment = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        match dots(segment) {
            Some(1) => {}
            Some(_) => leave(out, root),
            None => {
                write(segment.as_bytes(), out)?;
                if end.is_some() {
                    out.push('/');
                }
            }
        }
        match end {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            None => return Ok(()),
        }
    }
}

/// How many dots a dot segment has; none for another.
fn dots(segment: &str) -> Option<u8> {
    let dot = |text: &'_ str| -> Option<usize> {
        [".", "%2e", "%2E"].iter().find(|dot| text.starts_with(**dot)).map(|dot| dot.len())
    };
    let mut rest = segment;
    let mut count = 0;
    while let Some(length) = dot(rest) {
        count += 1;
        rest = rest.get(length..).unwrap_or_default();
        if count > 2 {
            return None;
        }
    }
    (count > 0 && (rest.is_empty() || rest.starts_with(';'))).then_some(count)
}

/// Drops the last segment of what was written from `root` on; above it there is nothing.
fn leave(out: &mut String, root: usize) {
    let written = out.get(root..out.len() - 1).unwrap_or_default();
    let parent = written.rfind('/').map_or(0, |slash| slash);
    out.truncate(root + parent + 1);
}

fn write(segment: &[u8], out: &mut String) -> Result<(), Refused> {
    let mut at = 0;
    while let Some((byte, length)) = unit(segment, at) {
        match (byte, length) {
            (b'%', 1) => match escaped(segment, at) {
                Some(0) => return Err(Refused::malformed("escaped_nul")),
                Some(_) => {
                    segment[at..at + 3].iter().for_each(|b| out.push(char::from(*b)));
                    at += 2;
                }
                // With what follows it must not become an escape that it was not.
                None if makes_escape(segment, at) => out.push_str("%25"),
                None => out.push('%'),
            },
            (byte, 1) if must_escape(byte) => {
                out.push('%');
                [byte >> 4, byte & 15].iter().for_each(|n| out.push(char::from(b"0123456789ABCDEF"[usize::from(*n)])));
            }
            _ => out.push(char::from(byte)),
        }
        at += length;
    }
    Ok(())
}

/// The next character, with escapes of unreserved ones undone, and how many bytes it takes.
fn unit(segment: &[u8], at: usize) -> Option<(u8, usize)> {
    match escaped(segment, at) {
        Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => Some((byte, 3)),
        _ => segment.get(at).map(|byte| (*byte, 1)),
    }
}

/// The byte that an escape at `at` stands for.
fn escaped(segment: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| segment.get(at).and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
    (segment.get(at) == Some(&b'%')).then_some(())?;
    Some(digit(at + 1)? << 4 | digit(at + 2)?)
}

/// Whether the two characters after a bare `%` turn into hexadecimal digits.
fn makes_escape(segment: &[u8], at: usize) -> bool {
    let Some((first, length)) = unit(segment, at + 1) else { return false };
    let second = unit(segment, at + 1 + length);
    first.is_ascii_hexdigit() && second.is_some_and(|(second, _)| second.is_ascii_hexdigit())
}

/// Visible characters that RFC 3986 has no place for in a path, and Envoy escapes.
const fn must_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
