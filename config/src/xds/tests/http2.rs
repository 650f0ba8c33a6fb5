//! Settings of HTTP/2, of listeners and of clusters.

use std::time::Duration;

use serde_json::{Value, json};

use super::foreign::{cluster, listener, read};
use crate::model::{Http2Options, Keepalive, Resource, ResourceType};

const EXTENSION: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn of_cluster(options: Value) -> Result<Option<Http2Options>, Vec<String>> {
    let mut message = json!({"explicit_http_config": {"http2_protocol_options": options}});
    message["@type"] = format!("type.googleapis.com/{EXTENSION}").into();
    let read = read(ResourceType::Cluster, cluster(json!({"typed_extension_protocol_options": {EXTENSION: message}})))?;
    let Resource::Cluster(cluster) = read else { panic!("{read:?}") };
    Ok(cluster.http2.as_deref().cloned())
}

fn of_listener(options: Value) -> Result<Option<Http2Options>, Vec<String>> {
    let read = read(ResourceType::Listener, listener(json!({"http2_protocol_options": options}), json!({})))?;
    let Resource::Listener(listener) = read else { panic!("{read:?}") };
    Ok(listener.chains[0].http().unwrap().http2.as_deref().cloned())
}

#[test]
fn what_is_said_is_read() {
    let said = json!({
        "max_concurrent_streams": 7, "initial_stream_window_size": 65535, "initial_connection_window_size": 1048576,
        "connection_keepalive": {"interval": "30s", "timeout": "0.5s", "interval_jitter": {"value": 12.5}},
    });
    let expected = Http2Options {
        max_concurrent_streams: Some(7),
        stream_window: Some(65_535),
        connection_window: Some(1_048_576),
        keepalive: Some(Keepalive {
            interval: Some(Duration::from_secs(30)),
            timeout: Duration::from_millis(500),
            jitter: Some(1250),
        }),
    };
    assert_eq!(of_cluster(said.clone()), Ok(Some(expected.clone())));
    assert_eq!(of_listener(said), Ok(Some(expected)));
}

#[test]
fn what_says_nothing_new_is_as_if_it_were_not_there() {
    let nothing = json!({"allow_connect": true, "max_outbound_frames": 5000});
    assert_eq!(of_cluster(nothing.clone()), Ok(None));
    assert_eq!(of_listener(nothing), Ok(None));
    assert_eq!(of_listener(json!({"max_concurrent_streams": 100})), Ok(None), "Weir's own bound");
    assert_eq!(of_cluster(json!({"max_concurrent_streams": 100})).unwrap().unwrap().max_concurrent_streams, Some(100));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (options, problem) in [
        (json!({"max_concurrent_streams": 0}), "max_concurrent_streams: must be from 1 to 2147483647"),
        (json!({"initial_stream_window_size": 65534}), "initial_stream_window_size: must be from 65535 to 2147483647"),
        (
            json!({"initial_connection_window_size": 2_147_483_648_u32}),
            "initial_connection_window_size: must be from 65535 to 2147483647",
        ),
        (json!({"connection_keepalive": {"interval": "1s"}}), "connection_keepalive.timeout: is required"),
        (
            json!({"connection_keepalive": {"timeout": "0.0009s"}}),
            "connection_keepalive.timeout: must be at least 1 ms",
        ),
        (
            json!({"connection_keepalive": {"timeout": "1s", "interval": "0s"}}),
            "connection_keepalive.interval: must be at least 1 ms",
        ),
        (
            json!({"connection_keepalive": {"timeout": "1s", "interval_jitter": {"value": 101}}}),
            "connection_keepalive.interval_jitter: must be from 0 to 100 percent",
        ),
        (
            json!({"connection_keepalive": {"timeout": "1s", "connection_idle_interval": "1s"}}),
            "connection_keepalive.connection_idle_interval: is not supported",
        ),
        (json!({"hpack_table_size": 1}), "hpack_table_size: is not supported"),
        (json!({"allow_metadata": true}), "allow_metadata: is not supported"),
        (
            json!({"custom_settings_parameters": [{"identifier": 1, "value": 1}]}),
            "custom_settings_parameters: is not supported",
        ),
    ] {
        let place =
            format!("typed_extension_protocol_options[{EXTENSION:?}].explicit_http_config.http2_protocol_options");
        assert_eq!(of_cluster(options.clone()), Err(vec![format!("{place}.{problem}")]));
        let place = "filter_chains[0].filters[0].typed_config.http2_protocol_options";
        assert_eq!(of_listener(options), Err(vec![format!("{place}.{problem}")]));
    }
}
