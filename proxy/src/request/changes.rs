//! Changes of headers, one after the other made one: what a cluster of a split changes comes first, then what the
//! route does (Envoy's `finalizeRequestHeaders` of a weighted cluster).

use weir_config::model::{HeaderMutation, HeaderOp};

/// What a route and one cluster of its split change together.
#[derive(Debug, Default)]
pub struct ChangesTable {
    /// Of the request's headers.
    pub request_headers: HeaderMutation,
    /// Of the response's headers.
    pub response_headers: HeaderMutation,
    /// The Host that the endpoint sees.
    pub host: Option<Box<str>>,
}

/// One change that does what `first` and then `second` do.
pub fn then(first: &HeaderMutation, second: &HeaderMutation) -> HeaderMutation {
    let undone = |op: &&HeaderOp| {
        second.remove.contains(&op.name) || second.ops.iter().any(|later| !later.append && later.name == op.name)
    };
    let kept = first.ops.iter().filter(|op| !undone(op));
    let mut remove = first.remove.clone();
    remove.extend(second.remove.iter().filter(|name| !first.remove.contains(name)).cloned());
    HeaderMutation { remove, ops: kept.chain(&second.ops).cloned().collect() }
}
