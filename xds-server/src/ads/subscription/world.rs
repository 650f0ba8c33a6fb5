//! State of the world: requests that name all that is subscribed, each time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;

use super::message::{Excess, MAX_BYTES, MAX_NAME, MAX_NAMES, Request};
use super::requests::{Answer, WILDCARD};
use super::stream::Subscriptions;
use crate::ads::view::View;

/// What is taken as a complaint that says nothing: a version that was not taken.
const NOT_TAKEN: &str = "the client goes on with another version, and does not say why";

/// `DiscoveryRequest`, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldRequest {
    /// `type_url`.
    pub kind: ResourceType,
    /// `version_info`: the version of the response that was accepted last.
    pub version: String,
    /// `resource_names`: all that is subscribed.
    pub names: Vec<String>,
    /// `response_nonce`; empty: not an answer.
    pub nonce: String,
    /// `error_detail.message`; present: a NACK.
    pub error: Option<String>,
}

impl WorldRequest {
    /// A request for `kind` that says nothing more.
    pub fn new(kind: ResourceType) -> Self {
        Self { kind, version: String::new(), names: Vec::new(), nonce: String::new(), error: None }
    }
}

impl Subscriptions {
    /// Takes a request of a state-of-the-world client in. What it names counts whatever its nonce: it is the
    /// newest word of what the client wants.
    ///
    /// # Errors
    /// The client asks for more than a stream may; the stream must end.
    pub fn request_world(&mut self, request: &WorldRequest, view: &View<'_>, now: Instant) -> Result<Answer, Excess> {
        let WorldRequest { kind, names, .. } = request;
        if names.iter().any(|name| name.len() > MAX_NAME) {
            return Err(Excess::Name);
        }
        if names.len() > MAX_NAMES {
            return Err(Excess::Names);
        }
        if names.iter().map(String::len).sum::<usize>() > MAX_BYTES {
            return Err(Excess::Bytes);
        }
        let answer = self.answer(&self.as_answer(request));
        self.name_all(*kind, names, view, now)?;
        Ok(answer)
    }

    /// Its part that answers a response.
    fn as_answer(&self, request: &WorldRequest) -> Request {
        let WorldRequest { kind, version, nonce, error, .. } = request;
        let in_flight = self.kinds[*kind as usize].in_flight.as_ref();
        let other = |sent: &super::kind::InFlight| sent.version.is_some_and(|sent| sent.to_string() != *version);
        let silent = error.is_none() && in_flight.is_some_and(other);
        let error = error.clone().or_else(|| silent.then(|| NOT_TAKEN.to_owned()));
        Request { nonce: nonce.clone(), error, ..Request::new(*kind) }
    }

    /// Brings what is subscribed to `names`. No name at all means all, of the types that know that form, until
    /// the client named something on this stream.
    fn name_all(&mut self, kind: ResourceType, names: &[String], view: &View<'_>, now: Instant) -> Result<(), Excess> {
        let state = &mut self.kinds[kind as usize];
        state.asked = true;
        state.named |= !names.is_empty();
        let all = !state.named && matches!(kind, ResourceType::Cluster | ResourceType::Listener);
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let wildcard = all || wanted.contains(WILDCARD);
        let left: Vec<Arc<str>> = state.names.iter().filter(|name| !wanted.contains(&***name)).cloned().collect();
        let new: Vec<&str> =
            wanted.into_iter().filter(|name| *name != WILDCARD && !state.names.contains(*name)).collect();
        let before = state.wildcard;
        for name in left {
            self.unsubscribe(kind, &name, view, now);
        }
        if before && !wildcard {
            self.unsubscribe(kind, WILDCARD, view, now);
        }
        for name in new {
            self.subscribe(kind, name, view, now)?;
        }
        if wildcard && !before {
            self.subscribe(kind, WILDCARD, view, now)?;
        }
        Ok(())
    }
}
