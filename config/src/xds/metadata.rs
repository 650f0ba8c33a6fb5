//! Whose a route or a virtual host is: `metadata.filter_metadata["weir.dev"]`.

use std::collections::HashMap;

use xds_api::pb::envoy::config::core::v3::Metadata;
use xds_api::pb::google::protobuf::value::Kind;
use xds_api::pb::google::protobuf::{Struct, Value};

use super::METADATA;
use super::read::{At, Problems};
use crate::model::Owner;

/// Key of the tenant's name.
pub(super) const TENANT: &str = "tenant";
/// Key of the plan's name.
pub(super) const PLAN: &str = "plan";

pub(super) fn write(owner: Option<&Owner>) -> Option<Metadata> {
    let owner = owner?;
    let mut fields = HashMap::from([(TENANT.to_owned(), text(&owner.tenant))]);
    if let Some(plan) = &owner.plan {
        fields.insert(PLAN.to_owned(), text(plan));
    }
    let filter_metadata = HashMap::from([(METADATA.to_owned(), Struct { fields })]);
    Some(Metadata { filter_metadata, ..Default::default() })
}

pub(super) fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

/// Metadata under other keys is somebody else's and is passed over.
pub(super) fn read(metadata: Option<Metadata>, at: &At<'_>, problems: &mut Problems) -> Option<Owner> {
    let mut ours = metadata?.filter_metadata.remove(METADATA)?.fields;
    let at = at.key("filter_metadata", METADATA);
    let tenant = take_text(&mut ours, TENANT, &at, problems);
    let plan = take_text(&mut ours, PLAN, &at, problems);
    if let Some(other) = ours.keys().min() {
        problems.advise(&at.field(other), "is not known", "a newer server may have sent it: update this proxy");
    }
    if tenant.is_none() {
        problems.missing(&at.field(TENANT));
    }
    Some(Owner { tenant: tenant?, plan })
}

fn take_text(
    fields: &mut HashMap<String, Value>,
    key: &'static str,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<String> {
    match fields.remove(key)?.kind {
        Some(Kind::StringValue(text)) if !text.is_empty() => Some(text),
        _ => {
            problems.add(&at.field(key), "must be a text that is not empty");
            None
        }
    }
}
