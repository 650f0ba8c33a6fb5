//! The small parts that many messages share: durations, wrapped numbers, addresses, `Any`, and where
//! a resource is to be had.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use prost13::{Message, Name};
use xds_api::pb::envoy::config::core::v3::address::Address as Kind;
use xds_api::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use xds_api::pb::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use xds_api::pb::envoy::config::core::v3::{Address, ConfigSource, SocketAddress, TransportSocket, transport_socket};
use xds_api::pb::google::protobuf::{Any, BoolValue, Duration as ProtoDuration, UInt32Value};

use super::dropped;
use super::read::{At, Problems, fields};
use super::wire::{self, Shape};

/// The longest duration that protobuf knows, in seconds (10,000 years).
const MOST_SECONDS: i64 = 315_576_000_000;

pub(super) fn duration(value: Duration) -> ProtoDuration {
    // Longer than protobuf can say is for ever; it says the longest that it can.
    let seconds = i64::try_from(value.as_secs()).unwrap_or(MOST_SECONDS).min(MOST_SECONDS);
    ProtoDuration { seconds, nanos: value.subsec_nanos() as i32 }
}

pub(super) fn read_duration(value: Option<ProtoDuration>, at: &At<'_>, problems: &mut Problems) -> Option<Duration> {
    let ProtoDuration { seconds, nanos } = value?;
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if seconds <= MOST_SECONDS as u64 && nanos < 1_000_000_000 => {
            Some(Duration::new(seconds, nanos))
        }
        _ => {
            problems.add(at, "must be a duration from 0 s to 315576000000 s");
            None
        }
    }
}

pub(super) fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(super) fn boolean(value: bool) -> BoolValue {
    BoolValue { value }
}

pub(super) fn is_true(value: Option<BoolValue>) -> bool {
    value.is_some_and(|wrapped| wrapped.value)
}

/// Refuses a wrapped boolean that is true.
pub(super) fn refuse_true(value: Option<BoolValue>, at: &At<'_>, problems: &mut Problems) {
    if is_true(value) {
        problems.unsupported(at);
    }
}

pub(super) fn socket_address(address: SocketAddr) -> Address {
    Address {
        address: Some(Kind::SocketAddress(SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(address.port()))),
            ..Default::default()
        })),
    }
}

/// The same, of datagrams.
pub(super) fn datagram_address(address: SocketAddr) -> Address {
    let mut message = socket_address(address);
    if let Some(Kind::SocketAddress(socket)) = &mut message.address {
        socket.protocol = Protocol::Udp as i32;
    }
    message
}

/// An address of TCP.
pub(super) fn read_socket_address(
    address: Option<Address>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<SocketAddr> {
    let (address, datagrams) = read_any_address(address, at, problems)?;
    if datagrams {
        problems.unsupported(&at.field("socket_address").field("protocol"));
    }
    Some(address)
}

/// An address, and whether it is one of UDP.
pub(super) fn read_any_address(
    address: Option<Address>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<(SocketAddr, bool)> {
    let socket = match address.and_then(|address| address.address) {
        Some(Kind::SocketAddress(socket)) => socket,
        Some(Kind::Pipe(_)) => {
            problems.unsupported(&at.field("pipe"));
            return None;
        }
        Some(Kind::EnvoyInternalAddress(_)) => {
            problems.unsupported(&at.field("envoy_internal_address"));
            return None;
        }
        None => {
            problems.missing(at);
            return None;
        }
    };
    let at = at.field("socket_address");
    fields!(socket => SocketAddress, at, problems;
        read address port_specifier protocol;
        refuse resolver_name;
        pass ipv4_compat;);
    let ip = address.parse::<IpAddr>();
    if ip.is_err() {
        problems.advise(&at.field("address"), format!("{address:?} is not an IP address"), "names are not resolved");
    }
    let port = match port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(port).ok(),
        Some(PortSpecifier::NamedPort(_)) | None => None,
    };
    if port.is_none() {
        problems.add(&at.field("port_value"), "must be a port number");
    }
    Some((SocketAddr::new(ip.ok()?, port?), protocol == Protocol::Udp as i32))
}

/// Refuses every source but ADS.
pub(super) fn read_ads(source: Option<ConfigSource>, at: &At<'_>, problems: &mut Problems) {
    let Some(source) = source else { return problems.missing(at) };
    fields!(source => ConfigSource, at, problems;
        read config_source_specifier;
        refuse authorities;
        pass initial_fetch_timeout resource_api_version;);
    if !matches!(config_source_specifier, Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_))) {
        problems.advise(at, "must be ADS", "write `ads: {}`");
    }
}

/// A message of xds-api as an `Any`, maps sorted.
pub(super) fn any<M: Message + Name>(message: &M, shape: &Shape) -> Any {
    Any { type_url: M::type_url(), value: wire::canonical(message.encode_to_vec(), shape) }
}

/// A message of envoy-types as an `Any`, maps sorted.
pub(super) fn any14<M: prost::Message + prost::Name>(message: &M, shape: &Shape) -> Any {
    Any { type_url: M::type_url(), value: wire::canonical(message.encode_to_vec(), shape) }
}

/// A message without maps.
pub(super) static NO_MAPS: Shape = Shape(&[]);

/// Whether `any` holds a message of this kind.
pub(super) fn holds<M: prost::Name>(any: &Any) -> bool {
    any.type_url == M::type_url()
}

/// Reads a message of xds-api, and reports what xds-api has no place for.
pub(super) fn decode<M: Message + Name + Default>(value: &[u8], at: &At<'_>, problems: &mut Problems) -> Option<M> {
    let message = M::decode(value).map_err(|error| not_a_message(&error, at, problems)).ok()?;
    if message.encoded_len() != value.len() {
        dropped::report(&M::full_name(), value, &message.encode_to_vec(), at, problems);
    }
    Some(message)
}

/// Reads a message of envoy-types from an `Any` whose type was looked at, and reports what
/// envoy-types has no place for.
pub(super) fn unpack14<M>(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<M>
where
    M: prost::Message + prost::Name + Default,
{
    let value = any.value.as_slice();
    let message = M::decode(value).map_err(|error| not_a_message(&error, at, problems)).ok()?;
    if message.encoded_len() != value.len() {
        dropped::report(&M::full_name(), value, &message.encode_to_vec(), at, problems);
    }
    Some(message)
}

fn not_a_message(error: &impl std::fmt::Display, at: &At<'_>, problems: &mut Problems) {
    problems.add(at, format!("is not a message of its type: {error}"));
}

/// The same message as envoy-types has it: both crates are made from the same definitions.
pub(super) fn to14<M: prost::Message + Default>(message: &impl Message) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap_or_default()
}

/// The same message as xds-api has it.
pub(super) fn to13<M: Message + Default>(message: &impl prost::Message) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap_or_default()
}

/// The same message in the other crate: both crates are made from the same definitions.
pub(super) fn transcode<M: Message + Name + Default>(
    message: &impl prost::Message,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<M> {
    decode(&message.encode_to_vec(), at, problems)
}

/// The name and type URL of a transport socket; plain text if there is none.
pub(super) fn read_transport_socket(
    socket: Option<TransportSocket>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Any> {
    let TransportSocket { name: _, config_type } = socket?;
    match config_type {
        Some(transport_socket::ConfigType::TypedConfig(any))
            if any.type_url.ends_with(".transport_sockets.raw_buffer.v3.RawBuffer") =>
        {
            None
        }
        Some(transport_socket::ConfigType::TypedConfig(any)) => Some(any),
        None => {
            problems.missing(&at.field("typed_config"));
            None
        }
    }
}
