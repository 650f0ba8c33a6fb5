//! Requests: answers to responses, and changes of what is subscribed.

use std::sync::Arc;
use std::time::Instant;

use weir_config::model::ResourceType;

use super::message::{Excess, MAX_BYTES, MAX_NAME, MAX_NAMES, Request};
use super::stream::Subscriptions;
use crate::ads::encoded::Version;
use crate::ads::form::Hosts;
use crate::ads::view::View;

/// The name that means all.
pub(super) const WILDCARD: &str = "*";
/// Bytes of a client's complaint that are kept.
const MAX_TEXT: usize = 2048;
/// Bytes of a complaint in which names are looked for.
const MAX_READ: usize = 64 << 10;

/// What a request was, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not an answer to the response under way.
    None,
    /// An ACK.
    Accepted,
    /// A NACK.
    Refused,
}

impl Subscriptions {
    /// Takes a request in.
    ///
    /// # Errors
    /// The client asks for more than a stream may; the stream must end.
    pub fn request(&mut self, request: &Request, view: &View<'_>, now: Instant) -> Result<Answer, Excess> {
        let answer = self.answer(request);
        let kind = request.kind;
        let state = &mut self.kinds[kind as usize];
        let names = request.subscribe.iter().chain(request.initial.iter().map(|(name, _)| name));
        if names.clone().any(|name| name.len() > MAX_NAME) {
            return Err(Excess::Name);
        }
        if state.names.len() + names.clone().count() > MAX_NAMES || request.unsubscribe.len() > MAX_NAMES {
            return Err(Excess::Names);
        }
        if state.bytes + names.map(String::len).sum::<usize>() > MAX_BYTES {
            return Err(Excess::Bytes);
        }
        let first = !std::mem::replace(&mut state.asked, true);
        for name in &request.subscribe {
            self.subscribe(kind, name, view, now)?;
        }
        // Without any name the first request asks for all, of the types that know that form.
        let legacy = matches!(kind, ResourceType::Cluster | ResourceType::Listener);
        if first && legacy && request.subscribe.is_empty() {
            self.subscribe(kind, WILDCARD, view, now)?;
        }
        for name in &request.unsubscribe {
            self.unsubscribe(kind, name, view, now);
        }
        if first {
            self.claims(request, view, now);
        }
        Ok(answer)
    }

    /// An answer to the response under way. One to an older response is stale and says nothing.
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let state = &mut self.kinds[request.kind as usize];
        let current = |nonce: u64| nonce.to_string() == request.nonce;
        let Some(response) = state.in_flight.take_if(|response| current(response.nonce)) else { return Answer::None };
        let Some(error) = &request.error else {
            state.accepted_sequence = response.sequence;
            for (name, _) in &response.names {
                state.accept(name, response.nonce, &mut self.uses);
            }
            return Answer::Accepted;
        };
        // A NACK is of a whole response, though the client uses what was good in it (gRFC A46).
        // Both Envoy and Weir name what was not; where nothing is named, all is taken as refused.
        let text: Arc<str> = error[..error.floor_char_boundary(MAX_TEXT)].into();
        let named = |name: &Arc<str>| error.len() <= MAX_READ && error.contains(&**name);
        let some_named = response.names.iter().any(|(name, _)| named(name));
        for told in &response.names {
            if !some_named || named(&told.0) {
                state.refuse(told, response.nonce, &text);
            } else {
                state.accept(&told.0, response.nonce, &mut self.uses);
            }
        }
        Answer::Refused
    }

    pub(super) fn subscribe(
        &mut self,
        kind: ResourceType,
        name: &str,
        view: &View<'_>,
        now: Instant,
    ) -> Result<(), Excess> {
        let hosts_of = (kind == ResourceType::VirtualHost && self.is_routes(name, view)).then_some(name);
        let state = &mut self.kinds[kind as usize];
        if name == WILDCARD {
            state.wildcard = true;
            state.owed = true;
            for resource in view.of(kind) {
                state.mark(&resource.name, false, now);
            }
            return Ok(());
        }
        if kind == ResourceType::VirtualHost && view.form().hosts == Hosts::OnDemand && hosts_of.is_none() {
            return self.demand(name, view, now);
        }
        let name = state.want(name);
        let Some(routes) = hosts_of else {
            let again = state.held.contains_key(&name);
            state.mark(&name, again, now);
            return Ok(());
        };
        state.owed = true;
        if view.form().hosts == Hosts::Each {
            for host in view.hosts(routes) {
                let again = state.held.contains_key(&host.name);
                state.mark(&host.name, again, now);
            }
            // That there is none must be said by name: other routes' hosts would not tell.
            if view.hosts(routes).next().is_none() {
                state.mark(&name, true, now);
            }
        }
        Ok(())
    }

    /// Whether a VHDS name is a RouteConfiguration's: all of its hosts.
    pub(super) fn is_routes(&self, name: &str, view: &View<'_>) -> bool {
        let kind = ResourceType::RouteConfiguration;
        self.kinds[kind as usize].names.contains(name)
            || view.get(kind, name).is_some()
            || view.hosts(name).next().is_some()
    }

    pub(super) fn unsubscribe(&mut self, kind: ResourceType, name: &str, view: &View<'_>, now: Instant) {
        let form = view.form();
        if kind == ResourceType::RouteConfiguration && form.hosts == Hosts::OnDemand {
            self.leave_hosts(name);
        }
        let state = &mut self.kinds[kind as usize];
        let affected: Vec<Arc<str>> = if name == WILDCARD {
            state.wildcard = false;
            state.known().into_iter().collect()
        } else {
            state.want_no_longer(name);
            // A client drops many at once: each is looked up, and only a RouteConfiguration's hosts are searched for.
            let hosts = (kind == ResourceType::VirtualHost).then(|| state.hosts_of(name)).into_iter().flatten();
            let affected: Vec<Arc<str>> = hosts.chain([Arc::from(name)]).collect();
            if kind == ResourceType::VirtualHost && form.hosts == Hosts::OnDemand {
                // Hosts that came on demand go with their routes.
                for host in &affected {
                    state.want_no_longer(host);
                    self.asked.settle(host);
                }
                self.asked.forget(name);
            }
            affected
        };
        for affected in affected {
            if !state.covers(kind, form, &affected) {
                state.forget(&affected, &mut self.uses);
            } else if &*affected == name {
                // The client drops it, and the wildcard says that it wants it.
                state.mark(&affected, true, now);
            }
        }
    }

    /// `initial_resource_versions`: what the client has from before.
    fn claims(&mut self, request: &Request, view: &View<'_>, now: Instant) {
        let (kind, form) = (request.kind, view.form());
        let state = &mut self.kinds[kind as usize];
        for (name, version) in &request.initial {
            // A host that came on demand and is gone is asked for by nobody, and must go.
            let demanded = kind == ResourceType::VirtualHost && form.hosts == Hosts::OnDemand;
            if !demanded && !state.covers(kind, form, name) {
                continue;
            }
            if demanded {
                state.want(name);
                self.asked.settle(name);
            }
            let version = Version::parse(version);
            let current = view.get(kind, name);
            let same = current.filter(|resource| Some(resource.version) == version);
            let name: Arc<str> = current.map_or_else(|| name.as_str().into(), |resource| Arc::clone(&resource.name));
            state.claim(Arc::clone(&name), version, same.map(|r| Arc::clone(&r.references)), &mut self.uses);
            if kind == ResourceType::LoadAssignment && self.warming.contains(&name) {
                state.mark(&name, true, now);
            } else if same.is_some() {
                state.pending.remove(&name);
            } else {
                state.mark(&name, false, now);
            }
        }
        if kind == ResourceType::LoadAssignment {
            self.warming.clear();
        }
    }
}
