//! `Http2ProtocolOptions`, of a listener's connection manager and of a cluster.

use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, KeepaliveSettings};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Duration as ProtoDuration, UInt32Value};

use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::{Http2Options, Keepalive};

/// What RFC 9113 begins with, and Envoy's least.
const LEAST_WINDOW: u32 = 65_535;
/// RFC 9113 section 6.9.1.
const MOST: u32 = i32::MAX as u32;
/// Envoy's least of both times, in milliseconds.
const LEAST_MILLIS: u128 = 1;

/// What is absent from `options` stays absent. Extended CONNECT (RFC 8441), by which WebSocket goes over HTTP/2, is
/// always taken and used.
pub(super) fn write(options: Option<&Http2Options>) -> Http2ProtocolOptions {
    let uint32 = |value: Option<u32>| value.map(|value| UInt32Value { value });
    let keepalive = options.and_then(|options| options.keepalive);
    Http2ProtocolOptions {
        max_concurrent_streams: uint32(options.and_then(|options| options.max_concurrent_streams)),
        initial_stream_window_size: uint32(options.and_then(|options| options.stream_window)),
        initial_connection_window_size: uint32(options.and_then(|options| options.connection_window)),
        connection_keepalive: keepalive.map(|keepalive| KeepaliveSettings {
            interval: keepalive.interval.map(|interval| scalar::to14(&scalar::duration(interval))),
            timeout: Some(scalar::to14(&scalar::duration(keepalive.timeout))),
            interval_jitter: keepalive.jitter.map(|hundredths| Percent { value: f64::from(hundredths) / 100.0 }),
            connection_idle_interval: None,
        }),
        allow_connect: true,
        ..Default::default()
    }
}

/// None where nothing is said that Weir does not do anyway.
pub(super) fn read(message: Http2ProtocolOptions, at: &At<'_>, problems: &mut Problems) -> Option<Box<Http2Options>> {
    // What is passed bounds what Weir bounds in its own way, or chooses among Envoy's codecs.
    fields!(message => Http2ProtocolOptions, at, problems;
        read max_concurrent_streams initial_stream_window_size initial_connection_window_size connection_keepalive;
        refuse hpack_table_size allow_metadata custom_settings_parameters max_header_field_size_kb;
        pass allow_connect max_outbound_frames max_outbound_control_frames
            max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream
            max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging
            override_stream_error_on_invalid_http_message use_oghttp2_codec max_metadata_size enable_huffman_encoding
            disallow_obs_text stream_reset_burst stream_reset_rate;);
    let mut bounded = |value: Option<UInt32Value>, name, least| {
        let value = value?.value;
        if !(least..=MOST).contains(&value) {
            problems.add(&at.field(name), format!("must be from {least} to {MOST}"));
        }
        Some(value)
    };
    let max_concurrent_streams = bounded(max_concurrent_streams, "max_concurrent_streams", 1);
    let stream_window = bounded(initial_stream_window_size, "initial_stream_window_size", LEAST_WINDOW);
    let connection_window = bounded(initial_connection_window_size, "initial_connection_window_size", LEAST_WINDOW);
    let keepalive =
        connection_keepalive.and_then(|message| read_keepalive(message, &at.field("connection_keepalive"), problems));
    let options = Http2Options { max_concurrent_streams, stream_window, connection_window, keepalive };
    (options != Http2Options::default()).then(|| Box::new(options))
}

fn read_keepalive(message: KeepaliveSettings, at: &At<'_>, problems: &mut Problems) -> Option<Keepalive> {
    fields!(message => KeepaliveSettings, at, problems;
        read interval timeout interval_jitter; refuse connection_idle_interval; pass;);
    let mut time = |value: Option<ProtoDuration>, name| {
        let at = at.field(name);
        let value =
            value.map(|ProtoDuration { seconds, nanos }| xds_api::pb::google::protobuf::Duration { seconds, nanos });
        let value = scalar::read_duration(value, &at, problems)?;
        if value.as_millis() < LEAST_MILLIS {
            problems.add(&at, "must be at least 1 ms");
        }
        Some(value)
    };
    let interval = time(interval, "interval");
    let given = timeout.is_some();
    let timeout = time(timeout, "timeout");
    if !given {
        problems.missing(&at.field("timeout"));
    }
    let jitter = interval_jitter.map(|Percent { value }| {
        if !(0.0..=100.0).contains(&value) {
            problems.add(&at.field("interval_jitter"), "must be from 0 to 100 percent");
        }
        (value * 100.0).round() as u16
    });
    Some(Keepalive { interval, timeout: timeout?, jitter })
}
