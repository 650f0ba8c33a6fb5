//! `StatefulSessionPerRoute`: by cookie or by header.

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::stateful_session_per_route::Override;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession, StatefulSessionPerRoute,
};
use envoy_types::pb::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use envoy_types::pb::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use envoy_types::pb::envoy::r#type::http::v3::Cookie;
use envoy_types::pb::google::protobuf::{Any as Any14, Duration as Duration14};
use xds_api::pb::google::protobuf::{Any, Duration};

use super::headers::is_token;
use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::SessionPersistence;

pub(super) fn write(value: &SessionPersistence) -> Any {
    let (name, state) = match value {
        SessionPersistence::Cookie { name, path, ttl } => {
            let ttl = scalar::duration(*ttl);
            let cookie = Cookie {
                name: name.clone(),
                path: path.clone(),
                ttl: Some(Duration14 { seconds: ttl.seconds, nanos: ttl.nanos }),
                ..Default::default()
            };
            ("envoy.http.stateful_session.cookie", pack(&CookieBasedSessionState { cookie: Some(cookie) }))
        }
        SessionPersistence::Header { name } => {
            ("envoy.http.stateful_session.header", pack(&HeaderBasedSessionState { name: name.clone() }))
        }
    };
    let session = StatefulSession {
        session_state: Some(TypedExtensionConfig { name: name.to_owned(), typed_config: Some(state) }),
        ..Default::default()
    };
    let message = StatefulSessionPerRoute { r#override: Some(Override::StatefulSession(session)) };
    scalar::any14(&message, &scalar::NO_MAPS)
}

fn pack<M: prost::Message + prost::Name>(message: &M) -> Any14 {
    Any14 { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Reads the configuration in an `Any`; `at` is the `Any`'s. Nothing where the filter is off for the route.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<SessionPersistence> {
    let StatefulSessionPerRoute { r#override } = scalar::unpack14(any, at, problems)?;
    let session = match r#override {
        Some(Override::StatefulSession(session)) => session,
        Some(Override::Disabled(true)) => return None,
        Some(Override::Disabled(false)) | None => {
            problems.missing(&at.field("stateful_session"));
            return None;
        }
    };
    let at = at.field("stateful_session");
    fields!(session => StatefulSession, at, problems;
        read session_state;
        refuse strict;
        pass stat_prefix status_on_strict_destination_not_found;);
    let at = at.field("session_state");
    let Some(TypedExtensionConfig { name: _, typed_config: Some(state) }) = session_state else {
        problems.missing(&at);
        return None;
    };
    let at = at.field("typed_config");
    let state = Any { type_url: state.type_url, value: state.value };
    if scalar::holds::<CookieBasedSessionState>(&state) {
        let CookieBasedSessionState { cookie } = scalar::unpack14(&state, &at, problems)?;
        let at = at.field("cookie");
        let Some(cookie) = cookie else {
            problems.missing(&at);
            return None;
        };
        return read_cookie(cookie, &at, problems);
    }
    if scalar::holds::<HeaderBasedSessionState>(&state) {
        let HeaderBasedSessionState { name } = scalar::unpack14(&state, &at, problems)?;
        return read_header(&name, &at.field("name"), problems);
    }
    problems.advise(&at, format!("{:?} is not supported", state.type_url), "a session is kept by cookie or by header");
    None
}

fn read_cookie(message: Cookie, at: &At<'_>, problems: &mut Problems) -> Option<SessionPersistence> {
    fields!(message => Cookie, at, problems; read name ttl path; refuse attributes; pass;);
    if !is_token(&name.to_ascii_lowercase()) {
        problems.add(&at.field("name"), format!("{name:?} is not a cookie's name"));
        return None;
    }
    // RFC 6265 4.1.1: what a path cannot hold would end it, or begin another attribute.
    if path.contains(|c: char| c.is_ascii_control() || c == ';') || !(path.is_empty() || path.starts_with('/')) {
        problems.add(&at.field("path"), format!("{path:?} is not a cookie's path"));
        return None;
    }
    let ttl = ttl.map(|ttl| Duration { seconds: ttl.seconds, nanos: ttl.nanos });
    let ttl = scalar::read_duration(ttl, &at.field("ttl"), problems).unwrap_or_default();
    Some(SessionPersistence::Cookie { name, path, ttl })
}

fn read_header(name: &str, at: &At<'_>, problems: &mut Problems) -> Option<SessionPersistence> {
    let name = name.to_ascii_lowercase();
    if !is_token(&name) || name == "host" {
        problems.add(at, format!("{name:?} is not a header's name"));
        return None;
    }
    Some(SessionPersistence::Header { name })
}
