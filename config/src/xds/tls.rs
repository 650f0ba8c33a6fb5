//! `DownstreamTlsContext`: what a filter chain needs to end TLS.

use envoy_types::pb::envoy::config::core::v3::ConfigSource;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
};
use prost::Message;
use xds_api::pb::envoy::config::core::v3::{TransportSocket, transport_socket};
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems, fields};
use super::scalar;
use super::style::Style;
use crate::model::DownstreamTls;

/// Envoy's name of the transport socket.
const NAME: &str = "envoy.transport_sockets.tls";

pub(super) fn write(value: &DownstreamTls, style: Style) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: value.secrets.iter().map(|name| sds(name, style)).collect(),
            alpn_protocols: value.alpn.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    TransportSocket {
        name: NAME.to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(scalar::any14(&context, &scalar::NO_MAPS))),
    }
}

fn sds(name: &str, style: Style) -> SdsSecretConfig {
    // The same message in both crates.
    let source = ConfigSource::decode(prost13::Message::encode_to_vec(&style.source()).as_slice());
    SdsSecretConfig { name: name.to_owned(), sds_config: source.ok() }
}

/// Reads a chain's TLS; `at` is the `Any`'s.
pub(super) fn read(any: &Any, at: &At<'_>, problems: &mut Problems) -> Option<DownstreamTls> {
    if !scalar::holds::<DownstreamTlsContext>(any) {
        problems.advise(
            at,
            format!("{:?} is not supported", any.type_url),
            format!("a listener's transport socket is {}", <DownstreamTlsContext as prost::Name>::type_url()),
        );
        return None;
    }
    let message: DownstreamTlsContext = scalar::unpack14(any, at, problems)?;
    fields!(message => DownstreamTlsContext, at, problems;
        read common_tls_context require_client_certificate require_sni session_ticket_keys_type;
        refuse ocsp_staple_policy;
        pass disable_stateful_session_resumption session_timeout full_scan_certs_on_sni_mismatch
            prefer_client_ciphers;);
    for (field, wrapped) in [("require_client_certificate", require_client_certificate), ("require_sni", require_sni)] {
        if wrapped.is_some_and(|wrapped| wrapped.value) {
            problems.unsupported(&at.field(field));
        }
    }
    if matches!(
        session_ticket_keys_type,
        Some(SessionTicketKeysType::SessionTicketKeys(_) | SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_))
    ) {
        problems.unsupported(&at.field("session_ticket_keys"));
    }
    match common_tls_context {
        Some(common) => read_common(common, &at.field("common_tls_context"), problems),
        None => {
            problems.missing(&at.field("common_tls_context"));
            None
        }
    }
}

fn read_common(message: CommonTlsContext, at: &At<'_>, problems: &mut Problems) -> Option<DownstreamTls> {
    fields!(message => CommonTlsContext, at, problems;
        read tls_certificates tls_certificate_sds_secret_configs alpn_protocols;
        refuse tls_params tls_certificate_provider_instance custom_tls_certificate_selector
            tls_certificate_certificate_provider tls_certificate_certificate_provider_instance custom_handshaker
            validation_context_type;
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
    if secrets.is_empty() {
        problems.missing(&at.field("tls_certificate_sds_secret_configs"));
    }
    Some(DownstreamTls { secrets, alpn: alpn_protocols, clients: None })
}
