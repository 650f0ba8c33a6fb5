//! What a Gateway's listener says, looked at by itself.

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::{GATEWAY_GROUP, Gateway, GatewayListener, RouteGroupKind, SecretObjectReference};
use weir_config::model::ClientCertificates;

use super::client_certificates;
use super::facts::Facts;
use super::port_plan::{ListenerFact, ListenerId, PortPlan, RoutesFrom};
use super::protocol::{Protocol, Transport};
use super::unit::{Group, PortId};
use crate::index::references::{Party, permitted};
use crate::index::{NsName, Pattern};
use crate::status::Condition;

/// Reason of a listener that would be a filter chain too many.
pub(crate) const TOO_MANY: &str = "TooManyListeners";

/// A listener that was looked at, before its neighbours on the port were.
pub(crate) struct Checked {
    pub(crate) fact: ListenerFact,
    /// What it speaks: that which a listener has that is not accepted is of no account.
    pub(crate) protocol: Protocol,
    /// Secrets that can serve.
    pub(crate) secrets: Vec<NsName>,
    /// What is asked of clients.
    pub(crate) clients: Option<Box<ClientCertificates>>,
    refused: Option<(&'static str, String)>,
    unresolved: Option<(&'static str, String)>,
}

/// Where a listener stands.
pub(crate) struct Place<'a> {
    pub(crate) gateway_id: &'a NsName,
    pub(crate) gateway: &'a Gateway,
    /// The ListenerSet that it is of, where it is not the Gateway's own.
    pub(crate) set: Option<&'a NsName>,
    pub(crate) port: PortId,
    /// Place among the others of the object.
    pub(crate) index: usize,
}

impl Place<'_> {
    /// Who refers to its certificates.
    fn party(&self) -> Party<'_> {
        match self.set {
            Some((namespace, _)) => Party { kind: Kind::ListenerSet, namespace },
            None => Party { kind: Kind::Gateway, namespace: &self.gateway_id.0 },
        }
    }
}

/// Looks at one listener; what its answer depends on is added to `plan`.
pub(crate) fn check(
    facts: &Facts,
    owner: &Group,
    place: &Place<'_>,
    listener: &GatewayListener,
    plan: &mut PortPlan,
) -> Checked {
    let Place { gateway_id: id, gateway, port, index, .. } = *place;
    let protocol = Protocol::of(listener);
    let ends_tls = protocol.is_some_and(Protocol::ends_tls);
    let mut refused = unsupported(listener).or_else(|| facts.without_tenant(&id.0));
    let hosts = match hosts(facts, owner, listener, protocol, plan) {
        Ok(hosts) => hosts,
        Err(problem) => {
            refused = refused.or(Some(("NotAllowed", problem)));
            Vec::new()
        }
    };
    let (takes, mut unresolved) = kinds(listener, protocol);
    let mut secrets = Vec::new();
    if ends_tls && refused.is_none() {
        let refs = listener.tls.iter().flat_map(|tls| &tls.certificate_refs);
        for reference in refs {
            match secret(facts, place.party(), reference, plan) {
                Ok(secret) => secrets.push(secret),
                Err(problem) => unresolved = unresolved.or(Some(problem)),
            }
        }
        if secrets.is_empty() && unresolved.is_none() {
            let message = format!("an {} listener needs tls.certificateRefs", listener.protocol);
            unresolved = Some(("InvalidCertificateRef", message));
        }
    }
    let mut clients = None;
    if protocol == Some(Protocol::Https) && refused.is_none() {
        let asked = client_certificates::asked(facts, id, gateway, port.number, plan);
        clients = asked.clients;
        refused = asked.refused;
        unresolved = unresolved.or(asked.unresolved);
    }
    let supported_kinds = takes.iter().map(|kind| kind.name().to_owned()).collect();
    let fact = ListenerFact {
        id: ListenerId { gateway: id.clone(), set: place.set.cloned(), listener: listener.name.clone() },
        index,
        port,
        tls: ends_tls,
        hosts,
        binds: Vec::new(),
        accepted: refused.is_none(),
        takes,
        protocol,
        from: from(listener),
        supported_kinds,
        conditions: Vec::new(),
    };
    Checked { fact, protocol: protocol.unwrap_or(Protocol::Http), secrets, clients, refused, unresolved }
}

impl Checked {
    /// Writes the listener's conditions, now that its neighbours are known.
    pub(crate) fn conclude(&mut self, conflict: Option<(&'static str, String)>) {
        let fact = &mut self.fact;
        let conflicted =
            conflict.as_ref().filter(|(reason, _)| !["PortUnavailable", TOO_MANY].contains(reason)).cloned();
        let refused = self.refused.take().or(conflict);
        fact.accepted = refused.is_none();
        let programmed = match (&refused, self.protocol.ends_tls() && self.secrets.is_empty()) {
            // The suite of the Gateway API wants the reason of a conflict told here too.
            (Some((reason, message)), _) if conflicted.is_some() => {
                Condition::fails("Programmed", reason, message.clone())
            }
            (None, false) => Condition::holds("Programmed", "Programmed", "the listener is served"),
            (None, true) => Condition::fails("Programmed", "Invalid", "no certificate can be used"),
            (Some(_), _) => Condition::fails("Programmed", "Invalid", "the listener is not accepted"),
        };
        fact.conditions = vec![
            match refused {
                None => Condition::holds("Accepted", "Accepted", "the listener is valid"),
                Some((reason, message)) => Condition::fails("Accepted", reason, message),
            },
            programmed,
            match self.unresolved.take() {
                None => Condition::holds("ResolvedRefs", "ResolvedRefs", "every reference is good"),
                Some((reason, message)) => Condition::fails("ResolvedRefs", reason, message),
            },
            match conflicted {
                None => Condition::fails("Conflicted", "NoConflicts", "no other listener is in its way"),
                Some((reason, message)) => Condition::holds("Conflicted", reason, message),
            },
        ];
    }
}

/// What Weir does not serve, or not yet, and must not pretend to.
fn unsupported(listener: &GatewayListener) -> Option<(&'static str, String)> {
    let Some(protocol) = Protocol::of(listener) else {
        return Some(("UnsupportedProtocol", format!("protocol {} is not supported", listener.protocol)));
    };
    if protocol.transport() != Transport::Tls {
        return None;
    }
    let tls = listener.tls.as_ref();
    if protocol == Protocol::Https && tls.and_then(|tls| tls.mode.as_deref()).unwrap_or("Terminate") != "Terminate" {
        return Some(("Unsupported", "an HTTPS listener terminates TLS: write mode Terminate".into()));
    }
    let option = tls.and_then(|tls| tls.options.keys().next())?;
    Some(("Unsupported", format!("not enforced yet: tls.options `{option}`")))
}

/// The hostnames of a listener. A tenant's Gateway has only names of the tenant's: an empty
/// hostname stands for all of them, a wider one for those within it.
fn hosts(
    facts: &Facts,
    owner: &Group,
    listener: &GatewayListener,
    protocol: Option<Protocol>,
    plan: &mut PortPlan,
) -> Result<Vec<Pattern>, String> {
    if !protocol.is_none_or(Protocol::has_names) {
        return Ok(vec![Pattern::ANY]);
    }
    let text = listener.hostname.as_deref().filter(|text| !text.is_empty());
    let wanted = match text {
        Some(text) => Pattern::parse(text).map_err(|problem| format!("hostname `{text}` {problem}"))?,
        None => Pattern::ANY,
    };
    let Group::Tenant(tenant) = owner else { return Ok(vec![wanted]) };
    plan.names.insert(wanted.clone());
    let served = facts.names.served(Some(tenant), &wanted);
    if served.is_empty() {
        return Err(match facts.names.owner_of(&wanted).filter(|_| text.is_some()) {
            Some(other) => format!("hostname `{wanted}` belongs to Tenant {other}"),
            None => format!("hostname `{wanted}` is in no hostname of Tenant {tenant}"),
        });
    }
    Ok(served)
}

/// The kinds of routes that it takes, and what is wrong with those that it lists.
fn kinds(listener: &GatewayListener, protocol: Option<Protocol>) -> (Vec<Kind>, Option<(&'static str, String)>) {
    let listed = listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let supported = protocol.map(Protocol::kinds).unwrap_or_default();
    if listed.is_empty() {
        return (supported.to_vec(), None);
    }
    let lists = |kind: &Kind| {
        let of_group = |entry: &&RouteGroupKind| entry.group.as_deref().unwrap_or(GATEWAY_GROUP) == kind.group();
        listed.iter().filter(of_group).any(|entry| entry.kind == kind.name())
    };
    let takes: Vec<Kind> = supported.iter().copied().filter(lists).collect();
    let known = |entry: &RouteGroupKind| {
        let group = entry.group.as_deref().unwrap_or(GATEWAY_GROUP);
        supported.iter().any(|kind| kind.name() == entry.kind && kind.group() == group)
    };
    let problem = listed.iter().find(|entry| !known(entry)).map(|entry| {
        let message = format!("a listener of protocol {} takes no routes of kind {}", listener.protocol, entry.kind);
        ("InvalidRouteKinds", message)
    });
    (takes, problem)
}

fn from(listener: &GatewayListener) -> RoutesFrom {
    let namespaces = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    match namespaces.map(|namespaces| (namespaces.from.as_deref(), &namespaces.selector)) {
        Some((Some("All"), _)) => RoutesFrom::All,
        Some((Some("Selector"), Some(selector))) => RoutesFrom::Selector(selector.clone()),
        _ => RoutesFrom::Same,
    }
}

/// The Secret of one `certificateRef`, if it can serve.
fn secret(
    facts: &Facts,
    from: Party<'_>,
    reference: &SecretObjectReference,
    plan: &mut PortPlan,
) -> Result<NsName, (&'static str, String)> {
    let namespace = from.namespace;
    let kind = reference.kind.as_deref().unwrap_or("Secret");
    let group = reference.group.as_deref().unwrap_or_default();
    let target = reference.namespace.as_deref().unwrap_or(namespace);
    let called = format!("{kind} {target}/{}", reference.name);
    if (group, kind) != ("", "Secret") {
        return Err(("InvalidCertificateRef", format!("{called} is not a Secret")));
    }
    let id = (target.to_owned(), reference.name.clone());
    if target != namespace {
        plan.grants.insert(target.to_owned());
        if !permitted(&facts.objects, from, Party { kind: Kind::Secret, namespace: target }, &reference.name) {
            let message = format!("no ReferenceGrant in {target} lets this {} refer to {called}", from.kind.name());
            return Err(("RefNotPermitted", message));
        }
    }
    plan.referred.insert(id.clone());
    match facts.certificates.get(&id) {
        None if !facts.secrets_read.includes(target) => {
            let message = format!(
                "the server does not read Secrets of namespace {target}, {called} among them: permit it to its service \
                 account (RBAC), and name the namespace in source.kubernetes.secretNamespaces where that is set"
            );
            Err(("InvalidCertificateRef", message))
        }
        None => Err(("InvalidCertificateRef", format!("there is no {called}"))),
        Some(Err(problem)) => Err(("InvalidCertificateRef", format!("{called} {problem}"))),
        Some(Ok(_)) => Ok(id),
    }
}
