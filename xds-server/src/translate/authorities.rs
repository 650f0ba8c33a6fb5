//! Certificates of authorities, as ConfigMaps hold them.

use k8s_openapi::api::core::v1::ConfigMap;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The key of a ConfigMap that the Gateway API reads.
const FIELD: &str = "ca.crt";

/// The certificates of a ConfigMap, as PEM.
///
/// # Errors
/// Why they cannot be used, as the end of a sentence that begins with the ConfigMap's name.
pub(crate) fn read(config_map: &ConfigMap) -> Result<String, String> {
    let text = config_map.data.as_ref().and_then(|data| data.get(FIELD));
    let text = text.filter(|text| !text.trim().is_empty()).ok_or_else(|| format!("has no `{FIELD}`"))?;
    let mut any = false;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let der = certificate.map_err(|_| format!("has a `{FIELD}` that is not PEM"))?;
        x509_parser::parse_x509_certificate(&der)
            .map_err(|_| format!("has a `{FIELD}` that holds no X.509 certificate"))?;
        any = true;
    }
    if any { Ok(text.clone()) } else { Err(format!("has a `{FIELD}` without a certificate in PEM")) }
}

/// Several bundles as one.
pub(crate) fn joined(bundles: &[String]) -> String {
    let ended = |text: &String| if text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
    match bundles {
        [one] => one.clone(),
        many => many.iter().map(ended).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config_map(text: &str) -> ConfigMap {
        ConfigMap { data: Some(BTreeMap::from([(FIELD.to_owned(), text.to_owned())])), ..ConfigMap::default() }
    }

    #[test]
    fn only_certificates_are_taken() {
        let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        assert!(read(&config_map(&made.cert.pem())).is_ok());
        for (text, problem) in [
            ("", "has no"),
            ("hello", "without a certificate"),
            ("-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n", "no X.509"),
            (&made.signing_key.serialize_pem(), "without a certificate"),
        ] {
            let found = read(&config_map(text)).unwrap_err();
            assert!(found.contains(problem), "{found}");
        }
        assert!(read(&ConfigMap::default()).is_err());
    }
}
