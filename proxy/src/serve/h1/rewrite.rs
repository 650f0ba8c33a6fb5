//! The outgoing head, written straight from the borrowed incoming one into the output buffer.

use httparse::Header;
use weir_config::model::HeaderMutation;

use super::Framing;
use super::classify::{self, Kind};
use super::fields::{self, Persistence, field, put, status_line};
use super::request_head::RequestHead;
use super::response_head::ResponseHead;
use crate::request::decide::Budget;
use crate::request::rewrite::PathTable;

/// What a request head is rewritten with.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// Address of the peer, as text.
    pub peer: &'a str,
    /// The client's connection is TLS.
    pub tls: bool,
    /// The peer's address is the client's (`use_remote_address`).
    pub use_remote_address: bool,
    /// The route's changes.
    pub mutation: &'a HeaderMutation,
    /// The Host that the endpoint sees, where it is not the client's.
    pub host: Option<&'a str>,
    /// What becomes of the path, of which the route matched so many bytes.
    pub path: Option<(&'a PathTable, usize)>,
    /// Goes out where the client sent no `x-request-id`.
    pub request_id: &'a str,
}

/// Writes the head for the upstream after what `out` holds.
///
/// What ends at this hop is left out (RFC 9110 section 7.6.1); Host goes on unchanged; `Expect`
/// goes on, and the upstream's 100 comes back: only the origin knows whether it wants the body.
pub fn request(head: &RequestHead<'_, '_>, context: &RequestContext<'_>, out: &mut Vec<u8>) {
    put(out, &[head.method.as_bytes(), b" "]);
    target(head, context.path, out);
    put(out, &[b" HTTP/1.1\r\nhost: ", context.host.unwrap_or(head.authority).as_bytes(), b"\r\n"]);
    let edit = Edit::new(context.mutation, None, head.names_fields, head.headers, head.kinds);
    let mut request_id = false;
    let mut forwarded_proto = false;
    for (header, kind) in head.headers.iter().zip(head.kinds) {
        match kind {
            Kind::Host | Kind::TransferEncoding | Kind::Connection | Kind::Hop | Kind::Te | Kind::Upgrade => continue,
            Kind::ContentLength => {
                field(out, header.name, header.value);
                continue;
            }
            Kind::ForwardedFor | Kind::ForwardedProto if context.use_remote_address => continue,
            Kind::ForwardedProto | Kind::RequestId if edit.is_named(header.name) => continue,
            Kind::ForwardedProto => forwarded_proto = true,
            Kind::RequestId => request_id = true,
            // An HTTP/1.0 client does not understand the 100 that it would get.
            Kind::Expect if !head.facts.expects_continue => continue,
            Kind::Expect | Kind::ForwardedFor | Kind::Other => {}
        }
        if edit.keeps(header.name) {
            field(out, header.name, header.value);
        }
    }
    if head.facts.body == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    // What the proxy itself says of a request is not for a client to take away by naming it in `Connection`.
    if context.use_remote_address && !edit.removes("x-forwarded-for") {
        forwarded_for(head, context.peer, out);
    }
    if !forwarded_proto && !edit.removes("x-forwarded-proto") {
        let proto: &[u8] = if context.tls { b"https" } else { b"http" };
        put(out, &[b"x-forwarded-proto: ", proto, b"\r\n"]);
    }
    if !request_id && !edit.removes("x-request-id") {
        put(out, &[b"x-request-id: ", context.request_id.as_bytes(), b"\r\n"]);
    }
    match (head.facts.upgrade, head.te_trailers) {
        (true, _) => {
            out.extend_from_slice(b"connection: upgrade\r\n");
            upgrade(head.headers, head.kinds, out);
        }
        (false, true) => out.extend_from_slice(b"connection: te\r\nte: trailers\r\n"),
        (false, false) => {}
    }
    edit.add(out);
    out.extend_from_slice(b"\r\n");
}

/// The target that the endpoint sees. `*` is no path, and stays.
fn target(head: &RequestHead<'_, '_>, path: Option<(&PathTable, usize)>, out: &mut Vec<u8>) {
    let Some((table, matched)) = path.filter(|_| head.target.path.starts_with('/')) else {
        let [slash, origin] = head.target.origin_form();
        return put(out, &[slash.as_bytes(), origin.as_bytes()]);
    };
    table.write(head.target.path, matched, out);
    if let Some(query) = head.target.query {
        put(out, &[b"?", query.as_bytes()]);
    }
}

/// What a response head is rewritten with.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// The route's changes.
    pub mutation: &'a HeaderMutation,
    /// Headers of the proxy's own, after those.
    pub own: Option<&'a HeaderMutation>,
    /// Framing toward the client; see [`client_framing`].
    pub framing: Framing,
    /// What `Connection` says.
    pub connection: Persistence,
    /// State of the budget that was asked.
    pub budget: Option<Budget>,
}

/// How a body goes on to a client of minor version `minor`: what has no length goes in chunks, or
/// until the end of the connection where the client knows no chunks.
pub fn client_framing(body: Framing, minor: u8) -> Framing {
    match body {
        Framing::Chunked | Framing::Close if minor >= 1 => Framing::Chunked,
        Framing::Chunked | Framing::Close => Framing::Close,
        Framing::None | Framing::Length(_) => body,
    }
}

/// Writes the head for the client after what `out` holds.
pub fn response(head: &ResponseHead<'_, '_>, context: &ResponseContext<'_>, out: &mut Vec<u8>) {
    status_line(head.status, head.reason, out);
    let edit = Edit::new(context.mutation, context.own, head.names_fields, head.headers, head.kinds);
    // RFC 9110 section 8.6: no Content-Length in these.
    let no_length = head.status < 200 || head.status == 204;
    for (header, kind) in head.headers.iter().zip(head.kinds) {
        match kind {
            Kind::TransferEncoding | Kind::Connection | Kind::Hop | Kind::Upgrade => continue,
            Kind::ContentLength if no_length => continue,
            Kind::ContentLength => field(out, header.name, header.value),
            _ if edit.keeps(header.name) => field(out, header.name, header.value),
            _ => {}
        }
    }
    if context.framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    match context.connection {
        Persistence::Keep => {}
        Persistence::KeepSaid => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Persistence::Close => out.extend_from_slice(b"connection: close\r\n"),
        Persistence::Upgrade => {
            out.extend_from_slice(b"connection: upgrade\r\n");
            upgrade(head.headers, head.kinds, out);
        }
    }
    if let Some(budget) = &context.budget {
        fields::budget(budget, out);
    }
    edit.add(out);
    out.extend_from_slice(b"\r\n");
}

/// The route's changes, the proxy's own after them, and what `Connection` names.
struct Edit<'a> {
    mutation: &'a HeaderMutation,
    own: Option<&'a HeaderMutation>,
    named: Option<(&'a [Header<'a>], &'a [Kind])>,
    plain: bool,
}

impl<'a> Edit<'a> {
    fn new(
        mutation: &'a HeaderMutation,
        own: Option<&'a HeaderMutation>,
        named: bool,
        headers: &'a [Header<'a>],
        kinds: &'a [Kind],
    ) -> Self {
        let plain = !named && own.is_none() && mutation.remove.is_empty() && mutation.ops.iter().all(|op| op.append);
        Self { mutation, own, named: named.then_some((headers, kinds)), plain }
    }

    /// Whether a field of this name stays.
    fn keeps(&self, name: &str) -> bool {
        self.plain || !(self.removes(name) || self.is_named(name))
    }

    fn removes(&self, name: &str) -> bool {
        replaces(self.mutation, name) || self.is_own(name)
    }

    /// Whether the proxy's own header stands in place of others of this name.
    fn is_own(&self, name: &str) -> bool {
        self.own.is_some_and(|own| replaces(own, name))
    }

    fn is_named(&self, name: &str) -> bool {
        let Some((headers, kinds)) = self.named else { return false };
        headers
            .iter()
            .zip(kinds)
            .filter(|(_, kind)| **kind == Kind::Connection)
            .flat_map(|(header, _)| classify::members(header.value))
            .any(|member| member.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Writes what is set and added. What frames the message is not the route's to change.
    fn add(&self, out: &mut Vec<u8>) {
        for op in &self.mutation.ops {
            let allowed = matches!(
                classify::classify(&op.name),
                Kind::Other | Kind::RequestId | Kind::ForwardedFor | Kind::ForwardedProto
            );
            // Of several that overwrite one name the last stands.
            if allowed && !self.overwritten_later(op) && !self.is_own(&op.name) {
                field(out, &op.name, op.value.as_bytes());
            }
        }
        for op in self.own.iter().flat_map(|own| &own.ops) {
            field(out, &op.name, op.value.as_bytes());
        }
    }

    fn overwritten_later(&self, op: &weir_config::model::HeaderOp) -> bool {
        let place = self.mutation.ops.iter().position(|other| std::ptr::eq(other, op)).unwrap_or_default();
        self.mutation.ops.iter().skip(place + 1).any(|later| !later.append && later.name == op.name)
    }
}

/// Whether a mutation takes fields of this name away, or puts its own in their place.
fn replaces(mutation: &HeaderMutation, name: &str) -> bool {
    mutation.remove.iter().any(|n| n.eq_ignore_ascii_case(name))
        || mutation.ops.iter().any(|op| !op.append && op.name.eq_ignore_ascii_case(name))
}

fn forwarded_for(head: &RequestHead<'_, '_>, peer: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"x-forwarded-for: ");
    for (header, _) in head.headers.iter().zip(head.kinds).filter(|(_, kind)| **kind == Kind::ForwardedFor) {
        if !header.value.is_empty() {
            put(out, &[header.value, b", "]);
        }
    }
    put(out, &[peer.as_bytes(), b"\r\n"]);
}

fn upgrade(headers: &[Header<'_>], kinds: &[Kind], out: &mut Vec<u8>) {
    for (header, _) in headers.iter().zip(kinds).filter(|(_, kind)| **kind == Kind::Upgrade) {
        field(out, header.name, header.value);
    }
}
