//! The access log: JSON lines on standard output, with whose request each was.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::SubstitutionFormatString;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::stdout_access_log::AccessLogFormat;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use xds_api::pb::envoy::config::accesslog::v3::AccessLog;
use xds_api::pb::envoy::config::accesslog::v3::access_log::ConfigType;

use super::read::{At, Problems, fields};
use super::{scalar, usage_log, wire};
use crate::model::Owner;

/// What a stock Envoy writes of each request.
const FIELDS: [(&str, &str); 14] = [
    ("time", "%START_TIME%"),
    ("tenant", "%METADATA(ROUTE:weir.dev:tenant)%"),
    ("route", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("host", "%REQ(:AUTHORITY)%"),
    ("path", "%PATH(NQ)%"),
    ("protocol", "%PROTOCOL%"),
    ("status", "%RESPONSE_CODE%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("request_bytes", "%BYTES_RECEIVED%"),
    ("response_bytes", "%BYTES_SENT%"),
    ("duration_ms", "%DURATION%"),
    ("client", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

/// What a stock Envoy writes of each connection.
const CONNECTION_FIELDS: [(&str, &str); 8] = [
    ("time", "%START_TIME%"),
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("request_bytes", "%BYTES_RECEIVED%"),
    ("response_bytes", "%BYTES_SENT%"),
    ("duration_ms", "%DURATION%"),
    ("client", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

/// Loggers whose lines this one's stand in for.
const KNOWN: [&str; 3] = ["stream.v3.StdoutAccessLog", "stream.v3.StderrAccessLog", "file.v3.FileAccessLog"];

/// The loggers of a connection manager: the log for people where it is wanted, and the report to the server.
pub(super) fn write(lines: bool, reporting: bool) -> Vec<AccessLog> {
    let lines = lines.then(write_lines);
    if !reporting {
        return lines.into_iter().collect();
    }
    let lines = lines.map(|log| AccessLog { filter: Some(usage_log::only_ends()), ..log });
    lines.into_iter().chain([usage_log::write()]).collect()
}

fn write_lines() -> AccessLog {
    stdout(FIELDS.iter().map(|(name, format)| (*name, (*format).to_owned())))
}

/// The log of connections or sessions that end at no HTTP filter. No metadata of theirs holds whose they are, so
/// that stands in the format.
pub(super) fn write_connections(owner: Option<&Owner>, protocol: &str) -> AccessLog {
    let tenant = owner.map_or("-".to_owned(), |owner| owner.tenant.replace('%', "%%"));
    let own = [("tenant", tenant), ("protocol", protocol.to_owned())];
    stdout(CONNECTION_FIELDS.iter().map(|(name, format)| (*name, (*format).to_owned())).chain(own))
}

fn stdout(fields: impl Iterator<Item = (&'static str, String)>) -> AccessLog {
    let fields = fields
        .map(|(name, format)| (name.to_owned(), Value { kind: Some(Kind::StringValue(format)) }))
        .collect::<HashMap<_, _>>();
    let log = StdoutAccessLog {
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(Format::JsonFormat(Struct { fields })),
            ..Default::default()
        })),
    };
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(ConfigType::TypedConfig(scalar::any14(&log, &wire::STDOUT_ACCESS_LOG))),
        ..Default::default()
    }
}

/// Whether there is a log. Its format and target are Weir's own; a logger that sends elsewhere, and a
/// filter, which would leave requests out, are refused.
pub(super) fn read(logs: Vec<AccessLog>, at: &At<'_>, problems: &mut Problems) -> bool {
    let any = !logs.is_empty();
    for (index, log) in logs.into_iter().enumerate() {
        let at = at.item("access_log", index);
        fields!(log => AccessLog, at, problems; read config_type; refuse filter; pass name;);
        match config_type {
            Some(ConfigType::TypedConfig(any)) if KNOWN.iter().any(|known| any.type_url.ends_with(known)) => {}
            Some(ConfigType::TypedConfig(any)) => problems.advise(
                &at.field("typed_config"),
                format!("{:?} is not supported", any.type_url),
                "use StdoutAccessLog; a Weir proxy reports usage by itself",
            ),
            None => problems.missing(&at.field("typed_config")),
        }
    }
    any
}
