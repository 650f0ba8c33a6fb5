//! `RequestMirrorPolicy`. Envoy would add `-shadow` to the copy's host; here a copy is one.

use xds_api::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use xds_api::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;
use xds_api::pb::envoy::r#type::v3::FractionalPercent;
use xds_api::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

use super::read::{At, Problems, fields};
use crate::model::{Fraction, Mirror};

pub(super) fn write(value: &Mirror) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: value.cluster.clone(),
        runtime_fraction: value.fraction.map(write_fraction),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    }
}

/// Writes a share of requests, without a runtime key: nothing but this says how many.
pub(super) fn write_fraction(value: Fraction) -> RuntimeFractionalPercent {
    let Fraction { numerator, denominator } = value;
    let denominator = write_denominator(denominator) as i32;
    RuntimeFractionalPercent { default_value: Some(FractionalPercent { numerator, denominator }), ..Default::default() }
}

/// A denominator that Envoy has no name for is a million; the model holds none.
fn write_denominator(denominator: u32) -> DenominatorType {
    match denominator {
        100 => DenominatorType::Hundred,
        10_000 => DenominatorType::TenThousand,
        _ => DenominatorType::Million,
    }
}

/// Reads one policy; `at` is its own.
pub(super) fn read(message: RequestMirrorPolicy, at: &At<'_>, problems: &mut Problems) -> Option<Mirror> {
    fields!(message => RequestMirrorPolicy, at, problems;
        read cluster runtime_fraction disable_shadow_host_suffix_append;
        refuse cluster_header;
        pass trace_sampled;);
    if cluster.is_empty() {
        problems.missing(&at.field("cluster"));
    }
    if !disable_shadow_host_suffix_append {
        problems.advise(
            &at.field("disable_shadow_host_suffix_append"),
            "must be true",
            "a copy has the host of the request",
        );
    }
    let fraction = match runtime_fraction {
        Some(fraction) => Some(read_fraction(fraction, &at.field("runtime_fraction"), problems)?),
        None => None,
    };
    Some(Mirror { cluster, fraction })
}

/// Reads a share of requests; its runtime key names a setting that only Envoys have.
pub(super) fn read_fraction(
    message: RuntimeFractionalPercent,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Fraction> {
    let RuntimeFractionalPercent { default_value, runtime_key: _ } = message;
    let Some(FractionalPercent { numerator, denominator }) = default_value else {
        problems.missing(&at.field("default_value"));
        return None;
    };
    let denominator = match DenominatorType::try_from(denominator) {
        Ok(DenominatorType::Hundred) => 100,
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        Err(_) => {
            let at = at.field("default_value");
            problems.add(&at.field("denominator"), "is not a value of its enumeration");
            return None;
        }
    };
    Some(Fraction { numerator, denominator })
}
