//! `CertificateValidationContext`: whom a peer's certificate must come from, and what it must be of.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::{
    SystemRootCerts, TrustChainVerification,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, SubjectAltNameMatcher,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::read::{At, Problems, fields};
use super::{scalar, secret};
use crate::model::{Roots, SubjectName};

/// Where a stock Envoy finds the machine's roots: `system_root_certs` stands in its API, but Envoy 1.40 does not
/// look at it, and refuses names without roots.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is demanded of a peer's certificate.
pub(super) struct Validation {
    /// Who may have signed it.
    pub(super) roots: Roots,
    /// The names of which it has one.
    pub(super) names: Vec<SubjectName>,
    /// Whether one that nobody known has signed is taken too.
    pub(super) untrusted: bool,
}

pub(super) fn write(roots: &Roots, names: &[SubjectName], untrusted: bool) -> ValidationContextType {
    let (source, system_root_certs) = match roots {
        Roots::Pem(pem) => (Specifier::InlineString(pem.clone()), None),
        Roots::System => (Specifier::Filename(SYSTEM_ROOTS.to_owned()), Some(SystemRootCerts {})),
    };
    let verification =
        if untrusted { TrustChainVerification::AcceptUntrusted } else { TrustChainVerification::VerifyTrustChain };
    ValidationContextType::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(DataSource { specifier: Some(source), ..Default::default() }),
        system_root_certs,
        match_typed_subject_alt_names: names.iter().map(write_name).collect(),
        trust_chain_verification: verification as i32,
        ..Default::default()
    })
}

fn write_name(value: &SubjectName) -> SubjectAltNameMatcher {
    let (san_type, name) = match value {
        SubjectName::Dns(name) => (SanType::Dns, name),
        SubjectName::Uri(name) => (SanType::Uri, name),
    };
    SubjectAltNameMatcher {
        san_type: san_type as i32,
        matcher: Some(StringMatcher { match_pattern: Some(MatchPattern::Exact(name.clone())), ..Default::default() }),
        ..Default::default()
    }
}

/// Reads the context of a `CommonTlsContext`, whose place `at` is; none: there is none.
pub(super) fn read(context: Option<ValidationContextType>, at: &At<'_>, problems: &mut Problems) -> Option<Validation> {
    let other = match context? {
        ValidationContextType::ValidationContext(context) => {
            return read_context(context, &at.field("validation_context"), problems);
        }
        ValidationContextType::ValidationContextSdsSecretConfig(_) => "validation_context_sds_secret_config",
        ValidationContextType::CombinedValidationContext(_) => "combined_validation_context",
        _ => "validation_context_certificate_provider",
    };
    problems.advise(&at.field(other), "is not supported", "write `validation_context`");
    None
}

fn read_context(message: CertificateValidationContext, at: &At<'_>, problems: &mut Problems) -> Option<Validation> {
    fields!(message => CertificateValidationContext, at, problems;
        read trusted_ca system_root_certs match_typed_subject_alt_names trust_chain_verification;
        refuse ca_certificate_provider_instance watched_directory verify_certificate_spki verify_certificate_hash
            match_subject_alt_names require_signed_certificate_timestamp crl allow_expired_certificate
            custom_validator_config only_verify_leaf_cert_crl max_verify_depth;
        pass suppress_client_ca_list;);
    let names = match_typed_subject_alt_names
        .into_iter()
        .enumerate()
        .filter_map(|(index, name)| read_name(name, &at.item("match_typed_subject_alt_names", index), problems))
        .collect();
    let roots = read_roots(trusted_ca, system_root_certs.is_some(), &at.field("trusted_ca"), problems)?;
    let untrusted = trust_chain_verification == TrustChainVerification::AcceptUntrusted as i32;
    Some(Validation { roots, names, untrusted })
}

fn read_roots(source: Option<DataSource>, system: bool, at: &At<'_>, problems: &mut Problems) -> Option<Roots> {
    match source {
        None if system => Some(Roots::System),
        Some(DataSource { specifier: Some(Specifier::Filename(path)), .. }) if path == SYSTEM_ROOTS => {
            Some(Roots::System)
        }
        None => {
            problems.advise(at, "is required", "write the certificates inline, or `system_root_certs: {}`");
            None
        }
        Some(source) => {
            let source = scalar::transcode(&source, at, problems)?;
            secret::read_text(Some(source), at, problems).map(Roots::Pem)
        }
    }
}

fn read_name(message: SubjectAltNameMatcher, at: &At<'_>, problems: &mut Problems) -> Option<SubjectName> {
    fields!(message => SubjectAltNameMatcher, at, problems; read san_type matcher; refuse oid; pass;);
    let kind = match SanType::try_from(san_type) {
        Ok(SanType::Dns) => SubjectName::Dns,
        Ok(SanType::Uri) => SubjectName::Uri,
        _ => {
            problems.advise(&at.field("san_type"), "is not supported", "a name is DNS or URI");
            return None;
        }
    };
    match matcher {
        Some(StringMatcher { match_pattern: Some(MatchPattern::Exact(name)), ignore_case: false })
            if !name.is_empty() =>
        {
            Some(kind(name))
        }
        _ => {
            problems.add(&at.field("matcher"), "must be `exact`, and not empty");
            None
        }
    }
}
