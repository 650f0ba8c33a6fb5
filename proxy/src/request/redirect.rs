//! Where a redirect leads: `Location` as Envoy 1.40 computes it (`Http::Utility::newUri`).

use weir_config::FieldError;
use weir_config::model::Redirect;

use super::rewrite::PathTable;

/// The URL that a client asked for.
#[derive(Clone, Copy, Debug)]
pub struct Url<'u> {
    /// Its scheme: HTTP/2's `:scheme`, else see [`scheme`].
    pub scheme: &'u str,
    /// What `x-forwarded-proto` says to the backend; see [`scheme`].
    pub forwarded_proto: &'u str,
    /// Host and port, as they came.
    pub authority: &'u str,
}

/// The scheme of a request over HTTP/1.1: what `x-forwarded-proto` says, where it is believed (the peer's address is
/// not the client's) and says `http` or `https`; else the connection's own.
pub fn scheme<'u>(forwarded: Option<&'u [u8]>, use_remote_address: bool, tls: bool) -> &'u str {
    let known = |text: &'u [u8]| {
        let known = text.eq_ignore_ascii_case(b"http") || text.eq_ignore_ascii_case(b"https");
        std::str::from_utf8(text).ok().filter(|_| known)
    };
    let own = if tls { "https" } else { "http" };
    forwarded.filter(|_| !use_remote_address).and_then(known).unwrap_or(own)
}

/// A redirect, compiled.
#[derive(Clone, Debug)]
pub struct RedirectTable {
    scheme: Option<Box<str>>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Option<PathTable>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl RedirectTable {
    /// Compiles.
    ///
    /// # Errors
    /// As [`PathTable::new`].
    pub fn new(model: &Redirect) -> Result<Self, FieldError> {
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Box::from);
        Ok(Self {
            scheme: text(&model.scheme),
            host: text(&model.host),
            port: model.port.filter(|port| *port != 0),
            path: model.path.as_ref().map(PathTable::new).transpose()?,
            status: model.status,
        })
    }

    /// Writes the `Location` of a request for `url`, with this path and query, of whose path the route matched the
    /// first `matched` bytes, after what `out` holds.
    pub fn location(&self, url: &Url<'_>, (path, query): (&str, Option<&str>), matched: usize, out: &mut Vec<u8>) {
        let scheme = self.scheme.as_deref().unwrap_or(url.scheme);
        let host = self.host.as_deref().unwrap_or_else(|| self.host_of(url, scheme));
        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(host.as_bytes());
        if let Some(port) = self.port {
            out.push(b':');
            out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
        }
        let start = out.len();
        match &self.path {
            Some(table) => table.write(path, matched, out),
            None => out.extend_from_slice(path.as_bytes()),
        }
        if out.get(start) != Some(&b'/') {
            out.insert(start, b'/');
        }
        // A query of the redirect's own stands in place of the request's.
        let own = matches!(&self.path, Some(PathTable::Full(text)) if text.contains('?'));
        if let Some(query) = query.filter(|_| !own) {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }

    /// The host that was asked for. Its port stays, unless there is a new one, or it is the usual one of another
    /// scheme than the new.
    fn host_of<'u>(&self, url: &Url<'u>, scheme: &str) -> &'u str {
        let authority = url.authority;
        let colon = match authority.starts_with('[') {
            true => authority.rfind("]:").map(|at| at + 1),
            false => authority.rfind(':'),
        };
        let Some((host, port)) = colon.and_then(|at| authority.split_at_checked(at)) else { return authority };
        let asked = url.forwarded_proto;
        let usual = match port {
            ":443" => asked.eq_ignore_ascii_case("https"),
            ":80" => asked.eq_ignore_ascii_case("http"),
            _ => false,
        };
        if self.port.is_some() || (scheme != asked && usual) { host } else { authority }
    }
}
