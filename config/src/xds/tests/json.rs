//! Resources as JSON.

use proptest::prelude::*;
use serde_json::json;

use crate::model::{PrivateKey, Resource, ResourceType, Secret, TlsCertificate};
use crate::testing::resource;
use crate::xds::json::{from_json, to_json, to_json_with_keys};
use crate::xds::{decode, encode};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_says_all_that_bytes_say(value in resource()) {
        let json = to_json_with_keys(value.kind(), &encode(&value)).unwrap();
        let (kind, bytes) = from_json(&json).unwrap();
        prop_assert_eq!(decode(kind, &bytes), Ok(value));
    }

    #[test]
    fn equal_values_are_equal_text(value in resource()) {
        let text = |value: &Resource| to_json(value.kind(), &encode(value)).unwrap().to_string();
        prop_assert_eq!(text(&value), text(&value.clone()));
    }
}

#[test]
fn a_private_key_is_not_shown() {
    let secret = Resource::from(Secret {
        name: "shop/cert".into(),
        certificate: TlsCertificate { chain: "CHAIN".into(), key: PrivateKey("KEY".into()) },
    });
    assert_eq!(
        to_json(ResourceType::Secret, &encode(&secret)).unwrap(),
        json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": "shop/cert",
            "tls_certificate": {
                "certificate_chain": {"inline_string": "CHAIN"},
                "private_key": {"inline_string": "[redacted]"},
            },
        })
    );
}

#[test]
fn an_unknown_field_or_type_is_named() {
    let url = ResourceType::Cluster.url();
    let error = from_json(&json!({"@type": url, "nmae": "a"})).unwrap_err();
    assert!(error.to_string().contains("nmae"), "{error}");
    let error = from_json(&json!({"@type": "type.googleapis.com/x.Y"})).unwrap_err();
    assert!(error.to_string().contains("x.Y"), "{error}");
    assert!(from_json(&json!({"name": "a"})).is_err());
}
