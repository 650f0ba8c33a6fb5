//! `RetryPolicy`.

use xds_api::pb::envoy::config::route::v3::RetryPolicy;
use xds_api::pb::envoy::config::route::v3::retry_policy::RetryBackOff;

use super::read::{At, Problems, fields};
use super::scalar;
use crate::model::{Retry, RetryOn};

/// The condition that makes `retriable_status_codes` count.
const STATUSES: &str = "retriable-status-codes";

pub(super) fn write(value: &Retry) -> RetryPolicy {
    RetryPolicy {
        retry_on: write_on(value),
        num_retries: value.attempts.map(scalar::uint32),
        per_try_timeout: value.per_try_timeout.map(scalar::duration),
        retriable_status_codes: value.statuses.iter().copied().map(u32::from).collect(),
        retry_back_off: value.back_off.map(|(base, most)| RetryBackOff {
            base_interval: Some(scalar::duration(base)),
            max_interval: most.map(scalar::duration),
        }),
        ..Default::default()
    }
}

fn write_on(value: &Retry) -> String {
    let RetryOn { connect_failure, refused_stream, reset, gateway_error, server_error } = value.on;
    let conditions = [
        (connect_failure, "connect-failure"),
        (refused_stream, "refused-stream"),
        (reset, "reset"),
        (gateway_error, "gateway-error"),
        (server_error, "5xx"),
        (!value.statuses.is_empty(), STATUSES),
    ];
    let set: Vec<&str> = conditions.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    set.join(",")
}

/// Reads the policy; `at` is its own.
pub(super) fn read(message: RetryPolicy, at: &At<'_>, problems: &mut Problems) -> Option<Retry> {
    fields!(message => RetryPolicy, at, problems;
        read retry_on num_retries per_try_timeout retriable_status_codes retry_back_off;
        refuse per_try_idle_timeout retry_priority retry_host_predicate retry_options_predicates
            rate_limited_retry_back_off retriable_headers retriable_request_headers;
        pass host_selection_retry_max_attempts;);
    let (on, by_status) = read_on(&retry_on, &at.field("retry_on"), problems);
    let mut statuses = Vec::with_capacity(retriable_status_codes.len());
    for (index, status) in retriable_status_codes.into_iter().enumerate() {
        match u16::try_from(status) {
            Ok(status @ 200..600) => statuses.push(status),
            _ => problems
                .add(&at.item("retriable_status_codes", index), format!("{status} is not a status from 200 to 599")),
        }
    }
    // Without the condition they say nothing.
    if !by_status {
        statuses.clear();
    }
    let back_off = match retry_back_off {
        Some(back_off) => Some(read_back_off(back_off, &at.field("retry_back_off"), problems)?),
        None => None,
    };
    Some(Retry {
        on,
        statuses,
        attempts: num_retries.map(|wrapped| wrapped.value),
        per_try_timeout: scalar::read_duration(per_try_timeout, &at.field("per_try_timeout"), problems),
        back_off,
    })
}

/// The conditions, and whether statuses are one.
fn read_on(text: &str, at: &At<'_>, problems: &mut Problems) -> (RetryOn, bool) {
    let mut on = RetryOn::default();
    let mut by_status = false;
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name {
            "connect-failure" => on.connect_failure = true,
            "refused-stream" => on.refused_stream = true,
            "reset" => on.reset = true,
            "gateway-error" => on.gateway_error = true,
            "5xx" => on.server_error = true,
            STATUSES => by_status = true,
            other => problems.advise(
                at,
                format!("{other:?} is not supported"),
                format!("conditions are connect-failure, refused-stream, reset, gateway-error, 5xx and {STATUSES}"),
            ),
        }
    }
    (on, by_status)
}

fn read_back_off(
    message: RetryBackOff,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<(std::time::Duration, Option<std::time::Duration>)> {
    let RetryBackOff { base_interval, max_interval } = message;
    let base = scalar::read_duration(base_interval, &at.field("base_interval"), problems).unwrap_or_default();
    let most = scalar::read_duration(max_interval, &at.field("max_interval"), problems);
    // As Envoy demands.
    if base.is_zero() {
        problems.add(&at.field("base_interval"), "must be longer than 0 s");
        return None;
    }
    if most.is_some_and(|most| most < base) {
        problems.add(&at.field("max_interval"), "must not be shorter than `base_interval`");
        return None;
    }
    Some((base, most))
}
