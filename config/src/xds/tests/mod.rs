//! What the codec promises, as properties.

mod descriptors;
mod foreign;
mod http2;
mod json;
mod layer4;

use proptest::prelude::*;

use super::{decode, encode};
use crate::model::ResourceType;
use crate::testing::{resource, soak};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_back(value in resource()) {
        let read = decode(value.kind(), &encode(&value));
        prop_assert_eq!(read.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>()), Ok(value));
    }

    // Every HashMap has a seed of its own, so that a second encoding puts map entries in another order.
    #[test]
    fn equal_values_are_equal_bytes(value in resource()) {
        let first = encode(&value);
        for _ in 0..4 {
            prop_assert_eq!(&encode(&value.clone()), &first);
        }
    }
}

#[test]
fn soak_no_bytes_make_decoding_panic() {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let cut = prop::option::weighted(0.3, any::<prop::sample::Index>());
    let random = prop::collection::vec(any::<u8>(), 0..200);
    soak::property(&(resource(), damage, cut, random), |(value, damage, cut, random)| {
        let mut bytes = encode(&value).to_vec();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        for bytes in [&bytes, &random] {
            for kind in ResourceType::ALL {
                let _ = decode(*kind, bytes);
            }
        }
        Ok(())
    });
}

/// Whatever decodes is written in the one form, and read back as itself.
#[test]
fn soak_what_is_read_from_damaged_bytes_is_a_value_like_any_other() {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    soak::property(&(resource(), damage), |(value, damage)| {
        let mut bytes = encode(&value).to_vec();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        if let Ok(read) = decode(value.kind(), &bytes) {
            let again = decode(value.kind(), &encode(&read));
            prop_assert_eq!(again.map_err(|errors| format!("{errors:?}")), Ok(read));
        }
        Ok(())
    });
}
