//! Forms of names: DNS labels, hostnames, header names.

use crate::FieldError;

/// A DNS label (RFC 1123): lower-case letters, digits and inner `-`, 1 to 63.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A DNS subdomain (RFC 1123): labels joined by `.`, at most 253.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// What is wrong with a hostname, exact or `*.suffix`; nothing where it is right.
pub(super) fn hostname(text: &str) -> Option<FieldError> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if is_subdomain(name) && name.parse::<std::net::IpAddr>().is_err() {
        return None;
    }
    let error = FieldError::new("", format!("`{text}` is not a hostname"));
    Some(if text.contains(':') {
        error.hint("leave the port out; a name serves all ports of its listeners")
    } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
        error.hint(format!("write `{}`", text.to_lowercase()))
    } else if name.contains('*') {
        error.hint("a wildcard is the whole first label: `*.example.com`")
    } else {
        error.hint("labels of lower-case letters, digits and `-`, joined by `.`")
    })
}

/// A header's name: a token (RFC 9110 section 5.6.2), at most 256.
pub(super) fn is_header_name(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=256).contains(&text.len()) && text.bytes().all(token)
}

/// A header's value: no control characters, at most 4096.
pub(super) fn is_header_value(text: &str) -> bool {
    (1..=4096).contains(&text.len()) && !text.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f)
}
