//! What the access log says of a request, kept after its head's bytes are gone. The texts are
//! reused from request to request.

use super::classify::Kind;
use super::request_head::RequestHead;

/// Longest text that is kept of anything, in bytes.
const MAX: usize = 2048;

/// Texts of one request.
#[derive(Debug, Default)]
pub(crate) struct Note {
    /// Method.
    pub(crate) method: String,
    /// Path and query, as they go on.
    pub(crate) path: String,
    /// Host, as it came.
    pub(crate) host: String,
    /// Its id, from the client or from us.
    pub(crate) request_id: String,
    /// `User-Agent`
    pub(crate) user_agent: String,
    /// Minor version of HTTP/1; 2 where it came over HTTP/2.
    pub(crate) minor: u8,
}

impl Note {
    /// Forgets the request before.
    pub(crate) fn clear(&mut self) {
        for text in [&mut self.method, &mut self.path, &mut self.host, &mut self.request_id, &mut self.user_agent] {
            text.clear();
        }
    }

    /// Takes down a request; `id` where it has none itself.
    pub(crate) fn take(&mut self, head: &RequestHead<'_, '_>, id: &str) {
        self.clear();
        self.minor = head.facts.minor;
        keep(&mut self.method, head.method);
        let [slash, origin] = head.target.origin_form();
        self.path.push_str(slash);
        keep(&mut self.path, origin);
        keep(&mut self.host, head.authority);
        for (header, kind) in head.headers.iter().zip(head.kinds) {
            let text = match kind {
                Kind::RequestId if self.request_id.is_empty() => &mut self.request_id,
                Kind::Other if header.name.eq_ignore_ascii_case("user-agent") => &mut self.user_agent,
                _ => continue,
            };
            if let Ok(value) = std::str::from_utf8(header.value) {
                keep(text, value);
            }
        }
        if self.request_id.is_empty() {
            self.request_id.push_str(id);
        }
    }
}

fn keep(text: &mut String, value: &str) {
    let mut end = value.len().min(MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    text.push_str(value.get(..end).unwrap_or_default());
}
