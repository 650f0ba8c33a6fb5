//! What only compiling shows, before a resource is acknowledged.

use std::collections::HashMap;

use weir_config::FieldError;
use weir_config::model::{Cluster, Domain, FilterChain, Listener, Resource, RouteSource, ServerName, VirtualHost};

use super::expressions;
use crate::tls;
use crate::xds::Admit;

/// Checks what only compiling shows: regular expressions, certificates and keys, names claimed twice.
#[derive(Clone, Copy, Debug)]
pub struct Compiles;

impl Admit for Compiles {
    fn admit(&self, resource: &Resource) -> Result<(), Vec<FieldError>> {
        let errors = match resource {
            Resource::RouteConfiguration(routes) => virtual_hosts(&routes.virtual_hosts),
            Resource::VirtualHost(host) => virtual_host(host),
            Resource::Listener(listener) => chains(listener).into_iter().chain(clients(listener)).collect(),
            Resource::Cluster(cluster) => endpoints_tls(cluster),
            Resource::Secret(secret) => tls::check(&secret.certificate).err().into_iter().collect(),
            Resource::LoadAssignment(_) | Resource::FilterConfig(_) => Vec::new(),
        };
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// TLS toward endpoints: roots and names that can be used.
fn endpoints_tls(cluster: &Cluster) -> Vec<FieldError> {
    let Some(model) = &cluster.tls else { return Vec::new() };
    let made = tls::Origin::new(model, cluster.protocol, None);
    made.err().map(|error| error.within("transport_socket.typed_config")).into_iter().collect()
}

/// Authorities of clients' certificates that can be used.
fn clients(listener: &Listener) -> Vec<FieldError> {
    let asked = listener.chains.iter().enumerate().filter_map(|(at, chain)| {
        let clients = chain.tls.as_ref()?.clients.as_deref()?;
        let context =
            format!("filter_chains[{at}].transport_socket.typed_config.common_tls_context.validation_context");
        tls::roots(&clients.roots).err().map(|error| error.within(&context))
    });
    asked.collect()
}

/// One virtual host: expressions, and domains named twice in it.
fn virtual_host(host: &VirtualHost) -> Vec<FieldError> {
    let mut errors = repeated_domains(std::slice::from_ref(host), |_, at| format!("domains[{at}]"));
    errors.extend(expressions::of(host).err().unwrap_or_default());
    errors
}

/// All that come together: a domain belongs to one only.
fn virtual_hosts(hosts: &[VirtualHost]) -> Vec<FieldError> {
    let mut errors = repeated_domains(hosts, |host, at| format!("virtual_hosts[{host}].domains[{at}]"));
    for (at, host) in hosts.iter().enumerate() {
        let expressions = expressions::of(host).err().unwrap_or_default();
        errors.extend(expressions.into_iter().map(|e| e.within(&format!("virtual_hosts[{at}]"))));
    }
    errors
}

fn repeated_domains(hosts: &[VirtualHost], field: impl Fn(usize, usize) -> String) -> Vec<FieldError> {
    let mut seen: HashMap<&Domain, &str> = HashMap::new();
    let mut errors = Vec::new();
    for (host_at, host) in hosts.iter().enumerate() {
        for (at, domain) in host.domains.iter().enumerate() {
            if let Some(first) = seen.insert(domain, &host.name) {
                let problem = format!("virtual host {first:?} has this domain already");
                errors.push(FieldError::new(field(host_at, at), problem));
            }
        }
    }
    errors
}

/// Chains: an SNI name leads to one chain only, names are unique, routes that came along compile.
fn chains(listener: &Listener) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut sni: HashMap<Option<&ServerName>, usize> = HashMap::new();
    for (at, chain) in listener.chains.iter().enumerate() {
        let field = format!("filter_chains[{at}]");
        if let Some(first) = names.insert(&chain.name, at) {
            errors.push(FieldError::new(
                format!("{field}.name"),
                format!("filter_chains[{first}] has this name already"),
            ));
        }
        for name in server_names(chain) {
            if let Some(first) = sni.insert(name, at).filter(|first| *first != at) {
                let problem = format!("filter_chains[{first}] takes these connections already");
                errors.push(FieldError::new(format!("{field}.filter_chain_match.server_names"), problem));
            }
        }
        if let Some(RouteSource::Inline(routes)) = chain.http().map(|http| &http.routes) {
            let field = format!("{field}.filters[0].typed_config.route_config");
            errors.extend(virtual_hosts(&routes.virtual_hosts).into_iter().map(|e| e.within(&field)));
        }
    }
    errors
}

/// The SNI names of a chain; one `None` for a chain that takes the rest.
fn server_names(chain: &FilterChain) -> impl Iterator<Item = Option<&ServerName>> {
    let rest = chain.server_names.is_empty().then_some(None);
    chain.server_names.iter().map(Some).chain(rest)
}
