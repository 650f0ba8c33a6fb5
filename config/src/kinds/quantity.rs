//! Kubernetes quantities (`10Mi`, `1500`, `2k`, `100m`, `1e3`) as exact numbers.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::FieldError;

/// What the API server lets through; [`Quantity::value`] refuses the rest (too large).
const PATTERN: &str = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// Significant digits that are read. `u64::MAX` has 20, and 20 digits times 2^60 (`Ei`) still fit a `u128`.
const MAX_DIGITS: usize = 20;

/// A quantity as it was written; [`Quantity::value`] is its number. It may be written as a string
/// or as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// The number, in the field's own unit; a fraction counts as a whole, as Kubernetes rounds (`100m` is 1).
    ///
    /// # Errors
    /// The text is not a quantity, is negative, or is beyond `u64`. The error's path is empty.
    pub fn value(&self) -> Result<u64, FieldError> {
        let text = self.0.as_str();
        if text.starts_with('-') {
            return Err(FieldError::new("", format!("`{text}` is negative")));
        }
        let (mantissa, scale) = split(text).ok_or_else(|| {
            FieldError::new("", format!("`{text}` is not a quantity"))
                .hint("write a number with an optional suffix: k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei")
        })?;
        number(mantissa, scale).ok_or_else(|| FieldError::new("", format!("`{text}` is too large")))
    }
}

/// What a number is multiplied by.
#[derive(Clone, Copy)]
struct Scale {
    /// A power of two.
    binary: u32,
    /// A power of ten.
    decimal: i32,
}

/// The unsigned decimal number and the scale that its suffix stands for.
fn split(text: &str) -> Option<(&str, Scale)> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (mantissa, suffix) = text.split_at(end);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || mantissa.len() - digits > 1 {
        return None;
    }
    Some((mantissa, scale(suffix)?))
}

fn scale(suffix: &str) -> Option<Scale> {
    let decimal = |decimal| Some(Scale { binary: 0, decimal });
    let binary = |binary| Some(Scale { binary, decimal: 0 });
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => decimal(exponent(suffix.strip_prefix(['e', 'E'])?)?),
    }
}

/// A signed exponent. Beyond the bounds the number is 0, a fraction, or too large, whatever the exact power.
fn exponent(text: &str) -> Option<i32> {
    const BOUND: i32 = 1000;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let power = digits.parse().unwrap_or(BOUND).min(BOUND);
    Some(if negative { -power } else { power })
}

/// `mantissa` times `scale`, rounded up; none where that is beyond `u64`.
fn number(mantissa: &str, scale: Scale) -> Option<u64> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let scaled = digits.parse::<u128>().ok()? << scale.binary;
    let power = scale.decimal - i32::try_from(fraction.len()).ok()?;
    let value = match (power >= 0, 10u128.checked_pow(power.unsigned_abs())) {
        (true, factor) => scaled.checked_mul(factor?)?,
        (false, Some(divisor)) => scaled.div_ceil(divisor),
        (false, None) => 1,
    };
    u64::try_from(value).ok()
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<u64> for Quantity {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a number, or a string such as `10Mi`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Quantity;

    fn value(text: &str) -> Result<u64, String> {
        Quantity::from(text).value().map_err(|error| error.to_string())
    }

    #[test]
    fn every_suffix_is_exact() {
        let cases = [
            ("0", 0),
            ("1500", 1500),
            ("+7", 7),
            ("2k", 2_000),
            ("3M", 3_000_000),
            ("4G", 4_000_000_000),
            ("5T", 5_000_000_000_000),
            ("6P", 6_000_000_000_000_000),
            ("18E", 18_000_000_000_000_000_000),
            ("1Ki", 1 << 10),
            ("10Mi", 10 << 20),
            ("500Gi", 500 << 30),
            ("1Ti", 1 << 40),
            ("1Pi", 1 << 50),
            ("15Ei", 15 << 60),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("12e+2", 1_200),
            ("1200e-2", 12),
            ("1.5Ki", 1536),
            (".5k", 500),
            ("5.", 5),
            ("0.1000Mi", 104_858),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_fraction_counts_as_a_whole() {
        for text in ["100m", "1u", "1n", "1e-30", "1e-999999", "0.0001"] {
            assert_eq!(value(text), Ok(1), "{text}");
        }
        assert_eq!(value("1001m"), Ok(2));
        assert_eq!(value("0m"), Ok(0));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "Mi", "10MB", "10mi", "10 Mi", "1.2.3", "1e", "1e+", "1e1.5", "0x10", "ten", "+-1", "1ki"]
        {
            assert!(value(text).is_err_and(|e| e.contains("is not a quantity")), "{text}");
        }
        assert_eq!(value("-1").unwrap_err(), "`-1` is negative");
        for text in ["18446744073709551616", "16Ei", "19E", "1e20", "1e999999", "123456789012345678901m"] {
            assert!(value(text).is_err_and(|e| e.contains("too large")), "{text}");
        }
    }

    #[test]
    fn it_is_written_as_a_number_or_as_text() {
        for (written, expected) in [("1500", 1500), ("\"10Ki\"", 10_240), ("1.5", 2), ("1e3", 1000), ("1e20", 0)] {
            let quantity: Quantity = serde_json::from_str(written).unwrap();
            assert_eq!(quantity.value().unwrap_or(0), expected, "{written}");
        }
        assert!(serde_json::from_str::<Quantity>("true").unwrap_err().to_string().contains("a quantity"));
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer_and_never_a_panic(text in "[+-]?[0-9.]{0,45}[numkKMGTPEei]{0,2}[+-]?[0-9]{0,12}") {
            let _ = value(&text);
        }

        #[test]
        fn plain_numbers_are_themselves(number: u64) {
            prop_assert_eq!(Quantity::from(number).value(), Ok(number));
        }

        #[test]
        fn what_has_a_value_passes_the_schema(text in "[+]?[0-9]{0,3}[.]?[0-9]{0,3}([KMGTPE]i?|[numk]|e[+-]?[0-9]{0,2})?") {
            let pattern = regex::Regex::new(super::PATTERN).unwrap();
            let refused = value(&text).is_err_and(|e| e.contains("is not a quantity"));
            prop_assert_eq!(pattern.is_match(&text), !refused);
        }
    }
}
