//! `Secret`.

use xds_api::pb::envoy::config::core::v3::DataSource;
use xds_api::pb::envoy::config::core::v3::data_source::Specifier;
use xds_api::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use xds_api::pb::envoy::extensions::transport_sockets::tls::v3::{
    Secret as ProtoSecret, TlsCertificate as ProtoCertificate,
};

use super::read::{At, Problems, fields};
use crate::model::{PrivateKey, Secret, TlsCertificate};

pub(super) fn write(value: &Secret) -> ProtoSecret {
    ProtoSecret {
        name: value.name.clone(),
        r#type: Some(Type::TlsCertificate(ProtoCertificate {
            certificate_chain: Some(inline(&value.certificate.chain)),
            private_key: Some(inline(&value.certificate.key.0)),
            ..Default::default()
        })),
    }
}

fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}

pub(super) fn read(message: ProtoSecret, at: &At<'_>, problems: &mut Problems) -> Option<Secret> {
    let ProtoSecret { name, r#type } = message;
    if name.is_empty() {
        problems.missing(&at.field("name"));
    }
    let other = match r#type {
        Some(Type::TlsCertificate(certificate)) => {
            let certificate = read_certificate(certificate, &at.field("tls_certificate"), problems)?;
            return Some(Secret { name, certificate });
        }
        Some(Type::SessionTicketKeys(_)) => "session_ticket_keys",
        Some(Type::ValidationContext(_)) => "validation_context",
        Some(Type::GenericSecret(_)) => "generic_secret",
        None => {
            problems.missing(&at.field("tls_certificate"));
            return None;
        }
    };
    problems.advise(&at.field(other), "is not supported", "a secret is a `tls_certificate`");
    None
}

fn read_certificate(message: ProtoCertificate, at: &At<'_>, problems: &mut Problems) -> Option<TlsCertificate> {
    fields!(message => ProtoCertificate, at, problems;
        read certificate_chain private_key;
        refuse pkcs12 watched_directory private_key_provider password ocsp_staple signed_certificate_timestamp;
        pass;);
    let chain = read_text(certificate_chain, &at.field("certificate_chain"), problems);
    let key = read_text(private_key, &at.field("private_key"), problems);
    Some(TlsCertificate { chain: chain?, key: PrivateKey(key?) })
}

/// PEM text that came inline. What it says is never part of an error.
pub(super) fn read_text(source: Option<DataSource>, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let Some(source) = source else {
        problems.missing(at);
        return None;
    };
    fields!(source => DataSource, at, problems; read specifier; refuse watched_directory; pass;);
    let text = match specifier {
        Some(Specifier::InlineString(text)) => Some(text),
        Some(Specifier::InlineBytes(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                problems.add(&at.field("inline_bytes"), "must be PEM text");
                return None;
            }
        },
        Some(Specifier::Filename(_)) => {
            problems.advise(&at.field("filename"), "is not supported", "send it inline");
            return None;
        }
        Some(Specifier::EnvironmentVariable(_)) => {
            problems.advise(&at.field("environment_variable"), "is not supported", "send it inline");
            return None;
        }
        None => None,
    };
    if text.as_ref().is_none_or(String::is_empty) {
        problems.missing(at);
        return None;
    }
    text
}
