//! Which listeners could take a connection.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use weir_config::model::{self, FilterChain, Listener, Network, Proxied, RouteSource};
use x509_parser::extensions::GeneralName;

use super::scene::{Certificate, Chain, GatewayListener, ListenerScene, PortScene, Spoken, Trouble};
use super::{Question, Scene};
use crate::index::Pattern;
use crate::translate::World;
use crate::translate::port_plan::{ListenerFact, ListenerId};
use crate::translate::unit::PortId;

/// Listeners of one answer.
const MOST_LISTENERS: usize = 32;
/// Ports that are listed.
const MOST_PORTS: usize = 64;
/// Listeners that are not programmed.
const MOST_TROUBLES: usize = 16;
/// Names of a certificate that are listed.
const MOST_NAMES: usize = 16;

/// The listeners in question: of the port and kind that the URL names; where it names no port and none
/// has the usual one, of its kind.
pub(super) fn choose(world: &World, question: &Question, scene: &mut Scene) -> Vec<Arc<Listener>> {
    let all = || world.snapshot().listeners.values();
    let ports = all().filter_map(|listener| {
        Some(PortScene { port: listener.address.port(), speaks: spoken(listener), edge: edge(listener)? })
    });
    scene.ports = ports.collect::<BTreeSet<_>>().into_iter().take(MOST_PORTS).collect();
    let gateway = question.gateway.as_deref().and_then(|gateway| gateway.split_once('/'));
    let bound = gateway.map(|(namespace, name)| {
        let holder = ((namespace.to_owned(), name.to_owned()), None);
        let facts = world.ports().listeners(world.facts(), &holder);
        facts.flat_map(|fact| fact.binds.iter().map(|bind| (fact.port, bind.address))).collect::<BTreeSet<_>>()
    });
    let of_gateway = |listener: &Listener| {
        bound.as_ref().is_none_or(|bound| place(world, listener).is_some_and(|place| bound.contains(&place)))
    };
    let address = question.address().filter(|_| !question.has_name());
    let reached = |listener: &Listener| {
        let bound = listener.address.ip();
        address.is_none_or(|address| bound == address || bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4())
    };
    let of_kind = |l: &&Arc<Listener>| spoken(l) == question.spoken() && of_gateway(l) && reached(l);
    let of_kind: Vec<&Arc<Listener>> = all().filter(of_kind).collect();
    let port = question.default_port();
    let mut chosen: Vec<Arc<Listener>> =
        of_kind.iter().filter(|l| l.address.port() == port).map(|l| Arc::clone(l)).collect();
    if chosen.is_empty() && question.port.is_none() {
        chosen = of_kind.into_iter().cloned().collect();
    }
    scene.left_off.listeners = chosen.len().saturating_sub(MOST_LISTENERS);
    chosen.truncate(MOST_LISTENERS);
    chosen
}

/// Describes them, and those of the same port that are not programmed.
pub(super) fn describe(world: &World, question: &Question, chosen: &[Arc<Listener>], scene: &mut Scene) {
    scene.listeners = chosen.iter().filter_map(|listener| describe_one(world, question, listener)).collect();
    let port = question.default_port();
    let named = chosen.iter().map(|listener| listener.address.port()).chain([port]).collect::<BTreeSet<_>>();
    let connection = question.of_connection();
    let in_question = |fact: &&ListenerFact| {
        let gateway = || format!("{}/{}", fact.id.gateway.0, fact.id.gateway.1);
        !fact.programmed()
            && question.gateway.as_ref().is_none_or(|wanted| *wanted == gateway())
            && (!question.has_name()
                || fact.hosts.is_empty()
                || fact.hosts.iter().any(|host| connection.is_in(&host.to_string())))
    };
    let plans = world.ports().all().filter(|(port, _)| named.contains(&port.number));
    let facts = plans.flat_map(|(_, plan)| plan.holders.values().flatten()).filter(in_question);
    scene.troubles = facts.take(MOST_TROUBLES).map(trouble).collect();
}

fn trouble(fact: &ListenerFact) -> Trouble {
    let failing = |type_: &str| fact.conditions.iter().find(|condition| condition.type_ == type_ && !condition.status);
    let condition = failing("Accepted").or_else(|| failing("ResolvedRefs")).or_else(|| failing("Programmed"));
    Trouble {
        gateway: format!("{}/{}", fact.id.gateway.0, fact.id.gateway.1),
        listener: fact.id.listener.clone(),
        port: fact.port.number,
        reason: condition.map(|condition| condition.reason.clone()).unwrap_or_default(),
        message: condition.map(|condition| condition.message.clone()).unwrap_or_default(),
    }
}

fn describe_one(world: &World, question: &Question, listener: &Listener) -> Option<ListenerScene> {
    let (address, port, speaks) = (listener.address.ip(), listener.address.port(), spoken(listener));
    let edge = edge(listener)?;
    let narrowed = narrowed(listener, question);
    let connection = &question.of_connection();
    let of_chain = |chain: &FilterChain| {
        let having = match (routes_of(chain), speaks) {
            (Some(_), Spoken::Http) => None,
            (Some(routes), _) => having(world, |bound| bound == routes),
            (None, _) => of_claim(world, &chain.name),
        };
        let routes = routes_of(chain).or(having.map(|(_, bound)| bound)).unwrap_or_default();
        let secrets = chain.tls.iter().flat_map(|tls| &tls.secrets);
        Chain {
            name: chain.name.clone(),
            listener: having.map(|(fact, _)| shown(&fact.id, hostname(fact, connection))),
            routes: routes.to_owned(),
            certificates: secrets.filter_map(|secret| certificate(world, connection, secret)).collect(),
        }
    };
    let datagrams = narrowed.udp.as_deref().map(|proxied| {
        let having = of_claim(world, name_of_datagrams(proxied));
        Chain {
            name: name_of_datagrams(proxied).to_owned(),
            listener: having.map(|(fact, _)| shown(&fact.id, hostname(fact, connection))),
            routes: having.map(|(_, bound)| bound.to_owned()).unwrap_or_default(),
            certificates: Vec::new(),
        }
    });
    Some(ListenerScene {
        name: listener.name.clone(),
        taken_by: if speaks == Spoken::Http { most_specific(world, question, listener) } else { None },
        chains: narrowed.chains.iter().map(of_chain).chain(datagrams).collect(),
        edge,
        address,
        port,
        speaks,
    })
}

/// A listener with nothing but what could take the host: the choice among what is left is the same.
pub(super) fn narrowed(listener: &Listener, question: &Question) -> Listener {
    let question = &question.of_connection();
    let takes = |name: &model::ServerName| match name {
        model::ServerName::Exact(name) => *name == question.host,
        model::ServerName::Suffix(suffix) => question.is_in(&format!("*.{suffix}")),
    };
    let chains = listener.chains.iter().filter_map(|chain| {
        let names: Vec<_> = chain.server_names.iter().filter(|name| takes(name)).cloned().collect();
        let kept = chain.server_names.is_empty() || !names.is_empty();
        kept.then(|| FilterChain { server_names: names, ..chain.clone() })
    });
    Listener { chains: chains.collect(), ..listener.clone() }
}

/// The RouteConfiguration that a chain names.
pub(super) fn routes_of(chain: &FilterChain) -> Option<&str> {
    match chain.http().map(|http| &http.routes) {
        Some(RouteSource::Rds(name)) => Some(name),
        Some(RouteSource::Inline(_)) | None => None,
    }
}

/// What a listener speaks.
fn spoken(listener: &Listener) -> Spoken {
    let has = |wanted: &dyn Fn(&FilterChain) -> bool| listener.chains.iter().any(wanted);
    if listener.udp.is_some() {
        Spoken::Udp
    } else if has(&|chain| chain.tls.is_some() || chain.passthrough) {
        Spoken::Tls
    } else if has(&|chain| matches!(chain.network, Network::Tcp(_))) {
        Spoken::Tcp
    } else {
        Spoken::Http
    }
}

/// What takes datagrams has no chain, and is named as one in its statistics.
fn name_of_datagrams(proxied: &Proxied) -> &str {
    &proxied.stat_prefix
}

/// The edge, which is the first part of its resources' names.
fn edge(listener: &Listener) -> Option<String> {
    listener.name.split_once('/').map(|(edge, _)| edge.to_owned())
}

/// The port and the address where a listener is.
fn place(world: &World, listener: &Listener) -> Option<(PortId, IpAddr)> {
    let edge = world.facts().settings.classes.find(&edge(listener)?)?;
    Some((PortId { edge, number: listener.address.port() }, listener.address.ip()))
}

/// The Gateway's listener that has a RouteConfiguration, or chains of such names, to itself.
fn having(world: &World, is_its: impl Fn(&str) -> bool) -> Option<(&ListenerFact, &str)> {
    let facts = world.ports().all().flat_map(|(_, plan)| plan.holders.values().flatten());
    let mut bound = facts.flat_map(|fact| fact.binds.iter().map(move |bind| (fact, bind)));
    bound.find_map(|(fact, bind)| Some((fact, bind.routes.as_deref().filter(|routes| is_its(routes))?)))
}

/// The listener of a chain that takes whole connections.
fn of_claim<'w>(world: &'w World, chain: &str) -> Option<(&'w ListenerFact, &'w str)> {
    having(world, |base| chain.strip_prefix(base).is_some_and(|rest| rest.starts_with('/')))
}

fn most_specific(world: &World, question: &Question, listener: &Listener) -> Option<GatewayListener> {
    let (port, address) = place(world, listener)?;
    let table = world.ports().table(port, address)?;
    let own = Pattern::parse(&question.host).ok();
    let wider: Vec<Pattern> = match &own {
        Some(own) => own.wider().collect(),
        None => vec![Pattern::ANY],
    };
    let found = own.into_iter().chain(wider).find_map(|pattern| Some((table.get(&pattern)?.0.clone(), pattern)));
    found.map(|(id, pattern)| shown(&id, pattern.to_string()))
}

fn shown(id: &ListenerId, hostname: String) -> GatewayListener {
    let (namespace, name) = &id.gateway;
    GatewayListener {
        gateway: format!("{namespace}/{name}"),
        listener: id.listener.clone(),
        hostname,
        listener_set: id.set.as_ref().map(|(namespace, name)| format!("{namespace}/{name}")),
    }
}

/// The hostname of a listener by which it has the host.
fn hostname(fact: &ListenerFact, question: &Question) -> String {
    if !question.has_name() {
        return Pattern::ANY.to_string();
    }
    let having = fact.hosts.iter().filter(|host| question.is_in(&host.to_string()));
    having.max_by_key(|host| host.specificity()).map(ToString::to_string).unwrap_or_default()
}

fn certificate(world: &World, question: &Question, secret: &str) -> Option<Certificate> {
    let resource = world.snapshot().secrets.get(secret)?;
    let der = CertificateDer::pem_slice_iter(resource.certificate.chain.as_bytes()).next()?.ok()?;
    let name = ServerName::try_from(question.host.as_str()).ok();
    let parsed = ParsedCertificate::try_from(&der).ok();
    let covers = name.zip(parsed).is_some_and(|(name, leaf)| verify_server_name(&leaf, &name).is_ok());
    let (_, leaf) = x509_parser::parse_x509_certificate(&der).ok()?;
    let alternatives = leaf.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|found| &found.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let not_after = jiff::Timestamp::from_second(leaf.validity().not_after.timestamp()).ok();
    Some(Certificate {
        secret: secret.to_owned(),
        names: names.take(MOST_NAMES).collect(),
        not_after: not_after.map(|time| time.to_string()),
        covers,
    })
}
