//! What the codec promises, as properties.

mod descriptors;
mod foreign;
mod json;

use proptest::prelude::*;

use super::{decode, encode};
use crate::model::ResourceType;
use crate::testing::resource;

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

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in ResourceType::ALL {
            let _ = decode(*kind, &bytes);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(
        value in resource(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&value).to_vec();
        for (place, byte) in edits {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        let _ = decode(value.kind(), &bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = decode(value.kind(), &bytes);
    }
}
