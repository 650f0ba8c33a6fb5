//! One exchange as a line of JSON.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::json::{Object, key};

/// What is said of an exchange. Names in the log are those of Envoy's command operators, in lower
/// case; what is not known is `null`. Texts are cut at 2 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// `start_time`: the head's first byte.
    pub start: SystemTime,
    /// `duration`: to the response's last byte; in the log in milliseconds.
    pub duration: Duration,
    /// `method`
    pub method: &'a str,
    /// `authority`: Host, as it came.
    pub authority: Option<&'a str>,
    /// `path`, with its query, as it was judged and sent on.
    pub path: &'a str,
    /// `protocol`: `HTTP/1.1`
    pub protocol: &'static str,
    /// `response_code`; 0: the client went away before there was one.
    pub response_code: u16,
    /// `response_flags`: Envoy's short forms (`NR`, `RL`, `UF`, ...), joined by `,`; empty: none, `-` in the log.
    pub response_flags: &'static str,
    /// `response_code_details`: what exactly was wrong, where the engine knows.
    pub response_code_details: Option<&'a str>,
    /// `bytes_received`: as billed.
    pub bytes_received: u64,
    /// `bytes_sent`: as billed.
    pub bytes_sent: u64,
    /// `upstream_host`: the endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// `upstream_cluster`
    pub upstream_cluster: Option<&'a str>,
    /// `route_name`
    pub route_name: Option<&'a str>,
    /// `tenant`: who is charged; `-`: nobody.
    pub tenant: &'a str,
    /// `request_id`: `x-request-id`.
    pub request_id: Option<&'a str>,
    /// `downstream_remote_address`
    pub downstream_remote_address: Option<SocketAddr>,
    /// `requested_server_name`: SNI.
    pub requested_server_name: Option<&'a str>,
    /// `user_agent`
    pub user_agent: Option<&'a str>,
}

impl Entry<'_> {
    /// Appends the line, with its end.
    pub(super) fn format(&self, out: &mut Vec<u8>) {
        let mut object = Object::new(out, self.start);
        object.text(key!("method"), Some(self.method));
        object.text(key!("authority"), self.authority);
        object.text(key!("path"), Some(self.path));
        object.word(key!("protocol"), self.protocol);
        object.number(key!("response_code"), self.response_code.into());
        object.word(key!("response_flags"), if self.response_flags.is_empty() { "-" } else { self.response_flags });
        object.text(key!("response_code_details"), self.response_code_details);
        object.number(key!("bytes_received"), self.bytes_received);
        object.number(key!("bytes_sent"), self.bytes_sent);
        object.number(key!("duration"), u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX));
        object.text(key!("tenant"), Some(self.tenant));
        object.text(key!("route_name"), self.route_name);
        object.text(key!("upstream_cluster"), self.upstream_cluster);
        object.address(key!("upstream_host"), self.upstream_host);
        object.address(key!("downstream_remote_address"), self.downstream_remote_address);
        object.text(key!("requested_server_name"), self.requested_server_name);
        object.text(key!("request_id"), self.request_id);
        object.text(key!("user_agent"), self.user_agent);
        object.end();
    }
}
