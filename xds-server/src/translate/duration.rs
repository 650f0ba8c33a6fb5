//! Durations of the Gateway API (GEP-2257): `1h30m`, `500ms`, `0s`.

use std::time::Duration;

/// Reads one to four numbers of at most five digits, each with a unit `h`, `m`, `s` or `ms`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if !(1..=5).contains(&digits) || parts == 4 {
            return None;
        }
        let number: u64 = number.parse().ok()?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        total += match unit {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        rest = tail;
        parts += 1;
    }
    (parts > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_gateway_api_writes_them() {
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1h30m10s5ms"), Some(Duration::from_millis(5_410_005)));
        for bad in ["", "5", "s", "1.5s", "-1s", "100000s", "1s1s1s1s1s", "1d", "1 s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
