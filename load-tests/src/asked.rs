//! What is asked of every proxy.

use std::sync::Arc;

use bytes::Bytes;

use crate::load::Request;
use crate::load::http2::{self, Call};
use crate::rows::{Config, host};
use crate::upstream::FILL;

/// A request of each host, answered with `size` bytes.
///
/// # Errors
/// None for names that are hostnames.
pub(crate) fn requests(config: Config, size: usize) -> anyhow::Result<Arc<[Request]>> {
    order(config.hosts()).map(|n| request(config, n, size)).collect()
}

/// Hosts in an order that is not the one in which they were configured, and always the same: a stride
/// that shares no divisor with their number.
fn order(hosts: u32) -> impl Iterator<Item = u32> {
    const STRIDE: u64 = 7919;
    (0..u64::from(hosts)).map(move |n| u32::try_from(n * STRIDE % u64::from(hosts)).unwrap_or_default())
}

/// Bytes of a gRPC request's message.
const ASKED: usize = 64;

fn request(config: Config, n: u32, size: usize) -> anyhow::Result<Request> {
    let (host, target) = (host(n), format!("/api/items?size={size}"));
    Ok(match config {
        // A path as gRPC's are; its answers have the upstream's usual size.
        Config::Grpc => Request::Call(call(config, &host, "/load.Items/Get")?.into()),
        _ if config.http2() => Request::Call(call(config, &host, &target)?.into()),
        _ => Request::Text(
            format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n").into_bytes(),
        ),
    })
}

/// A request over HTTP/2: as in HTTP/1.1, or one of gRPC.
pub(crate) fn call(config: Config, host: &str, target: &str) -> anyhow::Result<Call> {
    let grpc = config == Config::Grpc;
    let scheme = if config.tls() { "https" } else { "http" };
    let head = http::Request::builder().uri(format!("{scheme}://{host}{target}")).header("user-agent", "load/1");
    let (head, body) = if grpc {
        let head = head.method("POST").header("content-type", "application/grpc").header("te", "trailers");
        (head, http2::message(&[FILL; ASKED]))
    } else {
        (head.header("accept", "*/*"), Bytes::new())
    };
    Ok(Call { head: head.body(())?, body, grpc })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_host_is_asked_once_in_a_turn() {
        for hosts in [1, 10, 1000, 10_000] {
            let asked: Vec<_> = super::order(hosts).collect();
            assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), hosts as usize);
            assert!(hosts == 1 || asked[1] != 1);
        }
    }
}
