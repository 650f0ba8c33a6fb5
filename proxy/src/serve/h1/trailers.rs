//! Trailer sections (RFC 9110 section 6.5).

use super::classify::{Kind, classify};
use super::{MAX_HEADERS, Refused};

/// Checks a trailer section with its last empty line.
///
/// # Errors
/// It holds what no field line may hold, or too many of them.
pub fn check(section: &[u8]) -> Result<(), Refused> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(section, &mut headers) {
        Ok(httparse::Status::Complete((length, _))) if length == section.len() => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(Refused::too_large("trailers")),
        _ => Err(Refused::malformed("trailers")),
    }
}

/// Writes the trailer lines that may pass: not those that frame, route or authenticate a message,
/// which a recipient that merges trailers into the head would be misled by (RFC 9110 section 6.5.1).
pub fn pass(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split_inclusive(|b| *b == b'\n') {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        let forbidden = std::str::from_utf8(name).is_ok_and(|name| {
            classify(name) != Kind::Other
                || ["authorization", "cookie", "set-cookie", "trailer", "content-type", "content-encoding"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known))
        });
        if !forbidden {
            out.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_or_routes_does_not_pass() {
        let mut out = Vec::new();
        pass(b"x-sum: 1\r\nContent-Length: 5\r\nhost: b\r\ngrpc-status: 0\r\n", &mut out);
        assert_eq!(out, b"x-sum: 1\r\ngrpc-status: 0\r\n");
    }
}
