//! Addresses of a Gateway: those that its edge binds, those at which clients reach it, and what is wrong with those
//! that it asks for.
//!
//! Where the bootstrap says nothing of an edge's addresses, what a Gateway asks for is bound, and that is where it is
//! reached. Where it lists them, they are those of a Service or load balancer in front, unless `bindAddresses` says
//! that they are the proxies' own. Where it names a Service, or has one made for each Gateway, they are the Service's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use weir_config::bootstrap::EdgeAddress;
use weir_config::kinds::gateway::Gateway;

use super::classes::EdgeAddresses;
use crate::status::Address;

/// What a Gateway's addresses come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// What proxies bind.
    pub(crate) bound: BTreeSet<IpAddr>,
    /// Where clients reach it (`status.addresses`).
    pub(crate) reached: BTreeSet<Address>,
    /// Addresses of types that are not supported.
    pub(crate) unsupported: Vec<String>,
    /// Addresses that the edge does not have.
    pub(crate) not_usable: Vec<String>,
    /// Types of which an address was asked for and none is there.
    pub(crate) not_assigned: Vec<String>,
}

/// Works the addresses of a Gateway out, at an edge that has `edge`'s.
pub(crate) fn of_gateway(edge: &EdgeAddresses, gateway: &Gateway) -> Addresses {
    let mut found = Addresses::default();
    if gateway.spec.addresses.is_empty() {
        edge.listed.iter().for_each(|address| found.take(edge, address));
        if found.bound.is_empty() {
            found.bound.insert(any());
        }
        return found;
    }
    for address in &gateway.spec.addresses {
        let text = address.value.as_deref().unwrap_or_default();
        match address.type_.as_deref().unwrap_or("IPAddress") {
            "IPAddress" => found.ip(edge, text),
            "Hostname" if !edge.listed.is_empty() => found.hostname(edge, text),
            kind => found.unsupported.push(format!("addresses of type {kind} are not supported")),
        }
    }
    found
}

/// Works the addresses of a Gateway out that is reached through a Service: `given` are the Service's, or why it has none.
/// Proxies bind all addresses, whatever the Service has, so that no address that comes or goes moves a listener.
pub(crate) fn behind_service(given: Result<Vec<EdgeAddress>, String>, gateway: &Gateway) -> Addresses {
    let mut found = match given {
        Ok(listed) => of_gateway(&EdgeAddresses { listed, bind: false }, gateway),
        Err(why) => {
            let known = |kind: &&str| ["IPAddress", "Hostname"].contains(kind);
            let kinds = gateway.spec.addresses.iter().map(|address| address.type_.as_deref().unwrap_or("IPAddress"));
            let unsupported = kinds.filter(|kind| !known(kind));
            let unsupported = unsupported.map(|kind| format!("addresses of type {kind} are not supported")).collect();
            Addresses { unsupported, not_assigned: vec![why], ..Addresses::default() }
        }
    };
    found.bound = BTreeSet::from([any()]);
    found
}

impl Addresses {
    fn ip(&mut self, edge: &EdgeAddresses, text: &str) {
        let first = edge.listed.iter().find(|address| matches!(address, EdgeAddress::Ip(_)));
        match (text, first) {
            ("", Some(first)) => self.take(edge, first),
            ("", None) if edge.listed.is_empty() => {
                self.bound.insert(any());
            }
            ("", None) => self.not_assigned.push("the edge has no address of type IPAddress to give".into()),
            (text, _) => match text.parse::<IpAddr>() {
                Err(_) => self.unsupported.push(format!("`{text}` is no IP address")),
                Ok(ip) if edge.listed.is_empty() || edge.listed.iter().any(|listed| listed.holds(ip)) => {
                    self.take(
                        &EdgeAddresses { bind: edge.bind || edge.listed.is_empty(), ..EdgeAddresses::default() },
                        &EdgeAddress::Ip(ip),
                    );
                }
                Ok(ip) => self.not_usable.push(format!("{ip} is no address of the edge's")),
            },
        }
    }

    fn hostname(&mut self, edge: &EdgeAddresses, text: &str) {
        let wanted = |address: &&EdgeAddress| match address {
            EdgeAddress::Hostname(name) => text.is_empty() || name == text,
            _ => false,
        };
        match edge.listed.iter().find(wanted) {
            Some(found) => self.take(edge, found),
            None if text.is_empty() => {
                self.not_assigned.push("the edge has no address of type Hostname to give".into());
            }
            None => self.not_usable.push(format!("`{text}` is no address of the edge's")),
        }
    }

    fn take(&mut self, edge: &EdgeAddresses, address: &EdgeAddress) {
        let shown = |type_: &str, value: String| Address { type_: type_.into(), value };
        match address {
            EdgeAddress::Ip(ip) => {
                self.bound.insert(if edge.bind { *ip } else { any() });
                if !ip.is_unspecified() {
                    self.reached.insert(shown("IPAddress", ip.to_string()));
                }
            }
            EdgeAddress::Hostname(name) => {
                if !edge.bind {
                    self.bound.insert(any());
                }
                self.reached.insert(shown("Hostname", name.clone()));
            }
            // Which of them is meant nobody says.
            EdgeAddress::Network(..) => {}
        }
    }
}

fn any() -> IpAddr {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a Gateway with such `spec.addresses` gets: bound, reached, what is wrong.
    fn found(listed: &[&str], bind: bool, asked: &Value) -> (Vec<String>, Vec<String>, String) {
        let edge = EdgeAddresses { listed: listed.iter().map(|text| text.parse().unwrap()).collect(), bind };
        let spec = json!({"gatewayClassName": "weir", "listeners": [], "addresses": asked});
        let gateway: Gateway = serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {}, "spec": spec
        }))
        .unwrap();
        let Addresses { bound, reached, unsupported, not_usable, not_assigned } = of_gateway(&edge, &gateway);
        let wrong = [("unsupported", unsupported), ("usable", not_usable), ("assigned", not_assigned)];
        let wrong = wrong.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| name).collect::<Vec<_>>();
        let texts = |list: Vec<String>| list;
        (
            texts(bound.iter().map(ToString::to_string).collect()),
            texts(reached.into_iter().map(|address| address.value).collect()),
            wrong.join(" "),
        )
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    /// What the edge lists, whether it binds that, and what a Gateway asks for; what is bound, what is reached, what is wrong.
    type Case<'a> = (&'a [&'a str], bool, Value, &'a [&'a str], &'a [&'a str], &'a str);

    #[test]
    fn what_an_edge_lists_decides_what_a_gateway_gets() {
        let ip = |value: &str| json!([{"type": "IPAddress", "value": value}]);
        let cluster: &[&str] = &["192.0.2.7", "lb.example.com"];
        let cases: &[Case<'_>] = &[
            (&[], false, json!([]), &["0.0.0.0"], &[], ""),
            (&[], false, ip("10.0.0.1"), &["10.0.0.1"], &["10.0.0.1"], ""),
            (&[], false, ip(""), &["0.0.0.0"], &[], ""),
            (&[], false, json!([{"type": "Hostname", "value": "a.test"}]), &[], &[], "unsupported"),
            (cluster, false, json!([]), &["0.0.0.0"], &["lb.example.com", "192.0.2.7"], ""),
            (cluster, false, ip("192.0.2.7"), &["0.0.0.0"], &["192.0.2.7"], ""),
            (cluster, false, ip("192.0.2.8"), &[], &[], "usable"),
            (cluster, false, json!([{"type": "Hostname"}]), &["0.0.0.0"], &["lb.example.com"], ""),
            (&["lb.example.com"], false, ip(""), &[], &[], "assigned"),
            (&["10.0.0.1", "10.1.0.0/16"], true, json!([]), &["10.0.0.1"], &["10.0.0.1"], ""),
            (&["10.0.0.1", "10.1.0.0/16"], true, ip("10.1.2.3"), &["10.1.2.3"], &["10.1.2.3"], ""),
            (&["10.1.0.0/16"], true, ip("10.2.0.1"), &[], &[], "usable"),
            (&[], false, json!([{"type": "example.com/x", "value": "x"}]), &[], &[], "unsupported"),
        ];
        for (listed, bind, asked, bound, reached, wrong) in cases {
            let expected = (strings(bound), strings(reached), (*wrong).to_owned());
            assert_eq!(found(listed, *bind, asked), expected, "{listed:?} {asked}");
        }
    }
}
