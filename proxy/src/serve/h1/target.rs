//! Request targets and hosts (RFC 9112 section 3.2, RFC 9110 section 7.2).

use super::{Refused, path};

/// Most bytes of a host with its port.
pub const MAX_HOST: usize = 261;

/// A request target that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// What goes on: path and query, or `*`. An absolute target without a path gives an empty text
    /// here and `/` in `path`; see [`Target::origin_form`].
    pub origin: &'b str,
    /// Path, without query, in the form that [`path::normalise`] gives.
    pub path: &'b str,
    /// Query, without `?`.
    pub query: Option<&'b str>,
    /// Authority of an absolute target, which stands in place of Host.
    pub authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// Reads the target of `method`; `space` takes a path that has to be rewritten.
    ///
    /// # Errors
    /// 400 for a form that RFC 9112 does not allow with this method, a fragment, user information,
    /// bytes that are not visible ASCII, or a path that has no normal form; 501 for CONNECT.
    pub fn parse(method: &str, text: &'b str, space: &'b mut String) -> Result<Self, Refused> {
        if method == "CONNECT" {
            return Err(Refused::unimplemented("connect"));
        }
        if text.starts_with('/') {
            return Self::origin(text, None, space);
        }
        if text == "*" {
            return match method {
                "OPTIONS" => Ok(Self { origin: "*", path: "*", query: None, authority: None }),
                _ => Err(Refused::malformed("asterisk_form")),
            };
        }
        let rest = strip_scheme(text).ok_or(Refused::malformed("request_target"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, origin) = rest.split_at(end);
        Self::origin(origin, Some(authority), space)
    }

    fn origin(mut origin: &'b str, authority: Option<&'b str>, space: &'b mut String) -> Result<Self, Refused> {
        let (mut end, normal) = path::scan(origin.as_bytes())?;
        if !normal {
            let (path, query) = origin.split_at(end);
            path::normalise(path, space)?;
            end = space.len();
            space.push_str(query);
            origin = space;
        }
        let (path, query) = origin.split_at(end);
        Ok(Self { origin, path: if path.is_empty() { "/" } else { path }, query: query.get(1..), authority })
    }

    /// The parts of the target that goes on, to be written one after the other.
    pub fn origin_form(&self) -> [&'b str; 2] {
        [if self.origin.starts_with('/') || self.origin == "*" { "" } else { "/" }, self.origin]
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    for scheme in ["http://", "https://"] {
        if let Some(start) = text.get(..scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return text.get(scheme.len()..);
        }
    }
    None
}

/// Checks a host with optional port, and gives it without port.
///
/// # Errors
/// Empty, too long, or not a name, an IPv4 address or a bracketed IPv6 address.
pub fn host(value: &str) -> Result<&str, Refused> {
    let bad = Refused::malformed("host");
    if value.is_empty() || value.len() > MAX_HOST {
        return Err(bad);
    }
    let (name, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']').ok_or(bad)?;
            let literal = rest.get(..end).ok_or(bad)?;
            if literal.is_empty() || literal.bytes().any(|b| !(b.is_ascii_hexdigit() || b == b':' || b == b'.')) {
                return Err(bad);
            }
            // Brackets stay: `[::1]` is the host.
            value.split_at(end + 2)
        }
        None => value.split_at(value.bytes().position(|byte| !is_name_byte(byte)).unwrap_or(value.len())),
    };
    if name.is_empty() {
        return Err(bad);
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(name),
        Some(digits)
            if digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()) =>
        {
            Ok(name)
        }
        _ => Err(bad),
    }
}

/// Letters, digits and the marks that occur in names of hosts. Percent-encoding and sub-delims,
/// which RFC 3986 allows in a reg-name, have no use in DNS and a long history of abuse.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `host` in lower case: itself where it is so, else written into `space`.
pub fn lower<'a>(host: &'a str, space: &'a mut [u8; MAX_HOST]) -> &'a str {
    if !host.bytes().any(|b| b.is_ascii_uppercase()) {
        return host;
    }
    let Some(copy) = space.get_mut(..host.len()) else { return host };
    copy.copy_from_slice(host.as_bytes());
    copy.make_ascii_lowercase();
    // Lower case of ASCII is ASCII; a host that passed `host` holds nothing else.
    std::str::from_utf8(copy).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, text: &str) -> Result<Target<'static>, Refused> {
        Target::parse(method, text.to_owned().leak(), Box::leak(Box::default()))
    }

    #[test]
    fn origin_and_absolute_forms() {
        let target = parse("GET", "/a?b=c?d").unwrap();
        assert_eq!((target.path, target.query, target.authority), ("/a", Some("b=c?d"), None));
        let target = parse("GET", "HTTP://h:81/a?b").unwrap();
        assert_eq!((target.path, target.query, target.authority), ("/a", Some("b"), Some("h:81")));
        let target = parse("GET", "http://h?b").unwrap();
        assert_eq!((target.path, target.origin_form().concat().as_str()), ("/", "/?b"));
        for text in ["/a/../b?c=/../d%2e", "http://h/./b?c=/../d%2e"] {
            let target = parse("GET", text).unwrap();
            assert_eq!((target.path, target.query, target.origin), ("/b", Some("c=/../d%2e"), "/b?c=/../d%2e"));
        }
    }

    #[test]
    fn what_is_no_target() {
        for (method, text) in [
            ("GET", "a"),
            ("GET", "*"),
            ("GET", "/#f"),
            ("GET", "ftp://h/"),
            ("GET", "h:80"),
            ("GET", "/\u{e4}"),
            ("GET", "/?#"),
            ("GET", "/%00"),
        ] {
            assert_eq!(parse(method, text).unwrap_err().status, 400, "{method} {text}");
        }
        assert_eq!(parse("CONNECT", "h:80").unwrap_err().status, 501);
        assert_eq!(parse("OPTIONS", "*").unwrap().path, "*");
    }

    #[test]
    fn hosts() {
        for (value, name) in [("a", "a"), ("a.b:80", "a.b"), ("a:", "a"), ("[::1]:8", "[::1]"), ("1.2.3.4", "1.2.3.4")]
        {
            assert_eq!(host(value), Ok(name), "{value}");
        }
        for bad in ["", ":80", "a b", "a:b", "a:99999", "a@b", "a/b", "[::1", "[]", "[::1]a", "[g]", "a,b", "a:+1"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert_eq!(lower("Shop.ACME.com", &mut [0; MAX_HOST]), "shop.acme.com");
    }
}
