//! `BackendTLSPolicy`: the CRD's schema and CEL rules.

use super::{Errors, names};
use crate::kinds::gateway::{BackendTLSPolicySpec, BackendTlsValidation, PolicyTargetReference, SubjectAltName};

pub(super) fn policy(policy: &BackendTLSPolicySpec, errors: &mut Errors) {
    targets(&policy.target_refs, 16, errors);
    validation(&policy.validation, errors);
}

/// What every policy's targets obey: of one object either all of it once, or different sections.
pub(super) fn targets(targets: &[PolicyTargetReference], limit: usize, errors: &mut Errors) {
    errors.check(!targets.is_empty(), "spec.targetRefs", || "must not be empty".into());
    errors.at_most(targets, limit, "spec.targetRefs");
    for (index, target) in targets.iter().enumerate() {
        let at = format!("spec.targetRefs[{index}]");
        errors.check(!target.kind.is_empty(), format!("{at}.kind"), || "must not be empty".into());
        errors.check(!target.name.is_empty(), format!("{at}.name"), || "must not be empty".into());
        let same = |other: &&PolicyTargetReference| {
            (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
        };
        let whole = |one: &PolicyTargetReference| one.section_name.is_none();
        for other in targets[..index].iter().filter(same) {
            if whole(other) != whole(target) {
                errors.add(format!("{at}.sectionName"), "is required where an object is targeted more than once");
            } else if other.section_name == target.section_name {
                errors.add(at.as_str(), "stands twice");
            }
        }
    }
}

fn validation(validation: &BackendTlsValidation, errors: &mut Errors) {
    let at = "spec.validation";
    let named = validation.well_known.as_deref().is_some_and(|name| !name.is_empty());
    match (validation.ca_certificate_refs.is_empty(), named) {
        (false, true) => errors.add(at, "must not have both caCertificateRefs and wellKnownCACertificates"),
        (true, false) => errors.add(at, "must have either caCertificateRefs or wellKnownCACertificates"),
        _ => {}
    }
    errors.at_most(&validation.ca_certificate_refs, 8, &format!("{at}.caCertificateRefs"));
    let hostname = &validation.hostname;
    errors.check(names::is_subdomain(hostname), format!("{at}.hostname"), || {
        format!("`{hostname}` is not a hostname; it is sent as SNI, so it has no wildcard")
    });
    errors.at_most(&validation.subject_alt_names, 5, &format!("{at}.subjectAltNames"));
    for (index, name) in validation.subject_alt_names.iter().enumerate() {
        subject(name, &format!("{at}.subjectAltNames[{index}]"), errors);
    }
}

fn subject(name: &SubjectAltName, at: &str, errors: &mut Errors) {
    errors.one_of(Some(&name.type_), &["Hostname", "URI"], format!("{at}.type"));
    for (type_, field, value) in [("Hostname", "hostname", &name.hostname), ("URI", "uri", &name.uri)] {
        let value = value.as_deref().unwrap_or_default();
        if name.type_ != type_ {
            errors.check(value.is_empty(), format!("{at}.{field}"), || {
                format!("must not be set with type {}", name.type_)
            });
        } else if value.is_empty() {
            errors.add(format!("{at}.{field}"), format!("is required with type {type_}"));
        } else if type_ == "Hostname" {
            errors.check(names::hostname(value).is_none(), format!("{at}.{field}"), || {
                format!("`{value}` is not a hostname")
            });
        } else {
            let whole = value.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
            errors.check(whole, format!("{at}.{field}"), || {
                format!("`{value}` is not a URI with a scheme and an authority")
            });
        }
    }
}
