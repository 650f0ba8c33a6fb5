//! A connection that is not HTTP: to an endpoint of a cluster whose turn it is, and bytes both ways.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::buffer::Buffer;
use super::flag::Flag;
use super::peer::Peer;
use super::record::{self, Bytes};
use super::stream::ClientStream;
use super::tunnel::{self, Tunnelled};
use super::upstream::{Connection, Reuse};
use super::worker::Worker;
use crate::balance::Tries;
use crate::meter::Metric;
use crate::request::cluster::ClusterSlot;
use crate::request::table::{ChainTable, ProxiedTable};

/// Serves a connection to its end. `read` is what was read of it to find its chain.
pub(super) async fn serve(
    mut client: ClientStream,
    read: Vec<u8>,
    worker: &Rc<Worker>,
    chain: &ChainTable,
    proxied: &ProxiedTable,
    peer: &Peer,
) {
    let started = Instant::now();
    let tenant = proxied.tenant.id();
    let cluster = proxied.choose();
    let mut address = None;
    let end = match connect(cluster, worker).await {
        Ok(up) => {
            address = Some(up.address);
            let buffer = Buffer::holding(&read);
            tunnel::run(client, buffer, up, worker, chain, proxied.idle_timeout, tenant).await
        }
        Err(flag) => {
            // It was read from the client's connection, and no endpoint got it.
            worker.count(tenant, Metric::TunnelRequestBytes, read.len() as u64);
            let _ = client.shutdown().await;
            Tunnelled { flag, received: read.len() as u64, sent: 0 }
        }
    };
    let moved = Bytes { received: end.received, sent: end.sent };
    if proxied.access_log {
        let over = if peer.tls { "TLS" } else { "TCP" };
        record::connection(worker, peer, over, proxied.tenant.name(), cluster, address, end.flag, moved, started);
    }
}

async fn connect(cluster: &Arc<ClusterSlot>, worker: &Worker) -> Result<Box<Connection>, Flag> {
    let up = worker.upstreams.acquire(cluster, &mut Tries::default(), Reuse::Bytes, worker.stats()).await?;
    up.into_connection().ok_or(Flag::UpstreamConnectionFailure)
}
