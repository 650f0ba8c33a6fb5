//! What is written down of an exchange: a count by status and flag, and its line in the access log.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use weir_config::usage::NO_TENANT;

use super::bill::Bill;
use super::exchange::{Action, Outcome, Plan};
use super::flag::Flag;
use super::h1::note::Note;
use super::peer::Peer;
use super::worker::Worker;
use crate::log::Entry;
use crate::request::cluster::ClusterSlot;

/// A text, where there is one.
fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Bytes of a connection or session that is not HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    /// Read from the client.
    pub(super) received: u64,
    /// Written to the client.
    pub(super) sent: u64,
}

/// Writes down a connection or session that is not HTTP.
#[expect(clippy::too_many_arguments, reason = "each is one field of the line")]
pub(super) fn connection(
    worker: &Worker,
    peer: &Peer,
    protocol: &'static str,
    tenant: &str,
    cluster: &ClusterSlot,
    endpoint: Option<SocketAddr>,
    flag: Flag,
    bytes: Bytes,
    started: Instant,
) {
    worker.stats().response(0, flag);
    let Some(log) = &worker.log else { return };
    let duration = started.elapsed();
    log.write(
        worker.index,
        &Entry {
            start: SystemTime::now() - duration,
            duration,
            method: "",
            authority: None,
            path: "",
            protocol,
            response_code: 0,
            response_flags: flag.as_str(),
            response_code_details: None,
            bytes_received: bytes.received,
            bytes_sent: bytes.sent,
            upstream_host: endpoint,
            upstream_cluster: Some(&cluster.name),
            route_name: None,
            tenant,
            request_id: None,
            downstream_remote_address: Some(peer.address),
            requested_server_name: peer.sni.as_deref(),
            user_agent: None,
        },
    );
}

/// Writes down an exchange.
pub(super) fn exchange(
    worker: &Worker,
    peer: &Peer,
    note: &Note,
    bill: &Bill,
    plan: Option<&Plan>,
    outcome: &Outcome,
    duration: Duration,
) {
    worker.stats().response(outcome.status, outcome.flag);
    let Some(log) = &worker.log else { return };
    let cluster = match plan.map(|plan| &plan.action) {
        Some(Action::Forward(cluster)) => Some(&*cluster.name),
        _ => None,
    };
    log.write(
        worker.index,
        &Entry {
            start: SystemTime::now() - duration,
            duration,
            method: &note.method,
            authority: known(&note.host),
            path: &note.path,
            protocol: match note.minor {
                0 => "HTTP/1.0",
                1 => "HTTP/1.1",
                _ => "HTTP/2",
            },
            response_code: outcome.status,
            response_flags: outcome.flag.as_str(),
            response_code_details: known(outcome.details),
            bytes_received: bill.received,
            bytes_sent: bill.sent,
            upstream_host: outcome.endpoint,
            upstream_cluster: cluster,
            route_name: plan.and_then(|plan| plan.route.as_ref()).map(|route| &*route.name),
            tenant: plan.map_or(NO_TENANT, Plan::tenant_name),
            request_id: known(&note.request_id),
            downstream_remote_address: Some(peer.address),
            requested_server_name: peer.sni.as_deref(),
            user_agent: known(&note.user_agent),
        },
    );
}
