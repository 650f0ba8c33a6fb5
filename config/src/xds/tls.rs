//! `DownstreamTlsContext` and `UpstreamTlsContext`: TLS that ends at a filter chain, and TLS that begins at a cluster.

use envoy_types::pb::envoy::config::core::v3::ConfigSource;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
};
use envoy_types::pb::google::protobuf::BoolValue;
use xds_api::pb::envoy::config::core::v3::{TransportSocket, transport_socket};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::scalar;
use super::style::Style;
use super::validation::{self, Validation};
use crate::model::{ClientCertificates, DownstreamTls, SubjectName, UpstreamTls};

/// Envoy's name of the transport socket.
const NAME: &str = "envoy.transport_sockets.tls";
/// What an endpoint may be offered by ALPN: the protocols that a cluster can speak.
const SPOKEN: [&str; 2] = ["h2", "http/1.1"];

pub(super) fn write(value: &DownstreamTls, style: Style) -> TransportSocket {
    let clients = value.clients.as_deref();
    socket(&DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: value.secrets.iter().map(|name| sds(name, style)).collect(),
            alpn_protocols: value.alpn.clone(),
            validation_context_type: clients.map(|clients| validation::write(&clients.roots, &[], clients.untrusted)),
            ..Default::default()
        }),
        require_client_certificate: clients.filter(|clients| clients.required).map(|_| BoolValue { value: true }),
        ..Default::default()
    })
}

/// ALPN is left to the cluster's protocol, as Envoy does where none is given.
pub(super) fn write_upstream(value: &UpstreamTls, style: Style) -> TransportSocket {
    socket(&UpstreamTlsContext {
        sni: value.sni.clone(),
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: value.certificate.iter().map(|name| sds(name, style)).collect(),
            validation_context_type: Some(validation::write(&value.roots, &value.names, false)),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn socket(context: &impl prost::Name) -> TransportSocket {
    TransportSocket {
        name: NAME.to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(scalar::any14(context, &scalar::NO_MAPS))),
    }
}

fn sds(name: &str, style: Style) -> SdsSecretConfig {
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(scalar::to14::<ConfigSource>(&style.source())) }
}

/// The message of a transport socket, which must be of this type.
fn unpack<M>(any: &Any, whose: &str, at: &At<'_>, problems: &mut Problems) -> Option<M>
where
    M: prost::Message + prost::Name + Default,
{
    if !scalar::holds::<M>(any) {
        problems.advise(
            at,
            format!("{:?} is not supported", any.type_url),
            format!("a {whose}'s transport socket is {}", M::type_url()),
        );
        return None;
    }
    scalar::unpack14(any, at, problems)
}

/// Reads a chain's TLS; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<DownstreamTls> {
    let message: DownstreamTlsContext = unpack(any, "listener", at, problems)?;
    fields!(message => DownstreamTlsContext, at, problems;
        read common_tls_context require_client_certificate require_sni session_ticket_keys_type;
        refuse ocsp_staple_policy;
        pass disable_stateful_session_resumption session_timeout full_scan_certs_on_sni_mismatch
            prefer_client_ciphers;);
    if require_sni.is_some_and(|wrapped| wrapped.value) {
        problems.unsupported(&at.field("require_sni"));
    }
    if matches!(
        session_ticket_keys_type,
        Some(SessionTicketKeysType::SessionTicketKeys(_) | SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_))
    ) {
        problems.unsupported(&at.field("session_ticket_keys"));
    }
    let common = read_common(common_tls_context, &at.field("common_tls_context"), problems)?;
    if common.secrets.is_empty() {
        problems.missing(&at.field("common_tls_context").field("tls_certificate_sds_secret_configs"));
    }
    let required = require_client_certificate.is_some_and(|wrapped| wrapped.value);
    let clients = read_clients(required && common.unvalidated, required, common.validation, at, problems);
    Some(DownstreamTls { secrets: common.secrets, alpn: common.alpn, clients })
}

fn read_clients(
    lacking: bool,
    required: bool,
    validation: Option<Validation>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Box<ClientCertificates>> {
    let common = at.field("common_tls_context");
    let Some(Validation { roots, names, untrusted }) = validation else {
        if lacking {
            problems.advise(
                &common.field("validation_context"),
                "is required",
                "a demanded certificate is checked against roots: write `trusted_ca` or `system_root_certs`",
            );
        }
        return None;
    };
    if !names.is_empty() {
        problems.unsupported(&common.field("validation_context").field("match_typed_subject_alt_names"));
    }
    Some(Box::new(ClientCertificates { roots, required, untrusted }))
}

/// Reads a cluster's TLS; `at` is the `Any`'s.
pub(super) fn read_upstream(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<UpstreamTls> {
    let message: UpstreamTlsContext = unpack(any, "cluster", at, problems)?;
    fields!(message => UpstreamTlsContext, at, problems;
        read common_tls_context sni auto_sni_san_validation;
        refuse auto_host_sni allow_renegotiation;
        pass max_session_keys enforce_rsa_key_usage;);
    if sni.is_empty() {
        problems.missing(&at.field("sni"));
    }
    let common_at = at.field("common_tls_context");
    let common = read_common(common_tls_context, &common_at, problems)?;
    for (index, name) in common.alpn.iter().enumerate().filter(|(_, name)| !SPOKEN.contains(&name.as_str())) {
        problems.add(&common_at.item("alpn_protocols", index), format!("{name:?} is not spoken to endpoints"));
    }
    let certificate = match common.secrets.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => {
            problems.add(&common_at.field("tls_certificate_sds_secret_configs"), "must not be more than one");
            None
        }
    };
    let at = common_at.field("validation_context");
    if common.unvalidated {
        problems.advise(&at, "is required", "an endpoint's certificate is always checked");
    }
    let Validation { roots, mut names, untrusted } = common.validation?;
    if untrusted {
        problems.unsupported(&at.field("trust_chain_verification"));
    }
    if names.is_empty() && auto_sni_san_validation {
        names.push(SubjectName::Dns(sni.clone()));
    } else if names.is_empty() {
        problems.advise(
            &at.field("match_typed_subject_alt_names"),
            "is required",
            "without a name, whoever has any certificate of these roots would do",
        );
    }
    Some(UpstreamTls { sni, roots, names, certificate })
}

/// What both sides have.
struct Common {
    secrets: Vec<String>,
    alpn: Vec<String>,
    validation: Option<Validation>,
    /// Whether there was none, which is another thing than one that cannot be used.
    unvalidated: bool,
}

fn read_common(message: Option<CommonTlsContext>, at: &At<'_>, problems: &mut Problems) -> Option<Common> {
    let Some(message) = message else {
        problems.missing(at);
        return None;
    };
    fields!(message => CommonTlsContext, at, problems;
        read tls_certificates tls_certificate_sds_secret_configs alpn_protocols validation_context_type;
        refuse tls_params tls_certificate_provider_instance custom_tls_certificate_selector
            tls_certificate_certificate_provider tls_certificate_certificate_provider_instance custom_handshaker;
        pass key_log;);
    if !tls_certificates.is_empty() {
        problems.advise(
            &at.field("tls_certificates"),
            "is not supported",
            "send certificates as secrets: `tls_certificate_sds_secret_configs`",
        );
        return None;
    }
    let mut secrets = Vec::with_capacity(tls_certificate_sds_secret_configs.len());
    for (index, secret) in tls_certificate_sds_secret_configs.into_iter().enumerate() {
        let at = at.item("tls_certificate_sds_secret_configs", index);
        let SdsSecretConfig { name, sds_config } = secret;
        if name.is_empty() {
            problems.missing(&at.field("name"));
        }
        let at = at.field("sds_config");
        let source = sds_config.and_then(|source| scalar::transcode(&source, &at, problems));
        scalar::read_ads(source, &at, problems);
        secrets.push(name);
    }
    let unvalidated = validation_context_type.is_none();
    let validation = validation::read(validation_context_type, at, problems);
    Some(Common { secrets, alpn: alpn_protocols, validation, unvalidated })
}
