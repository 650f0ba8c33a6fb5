//! Numbers as people read them: three digits that count.

/// `17.4`, `174`, `0.21`, `12,300`.
pub(crate) fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        thousands(value)
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn thousands(value: f64) -> String {
    // Three digits that count, from ten thousand on.
    let unit = if value.abs() >= 10_000.0 { 10_f64.powf(value.abs().log10().floor() - 2.0) } else { 1.0 };
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn three_digits_count() {
        let texts: Vec<_> =
            [0.0, 0.214, 9.99, 17.44, 174.4, 999.4, 1234.4, 12_345.0, 1_234_567.0, -2000.0].map(short).into();
        assert_eq!(texts, ["0.00", "0.21", "9.99", "17.4", "174", "999", "1,234", "12,300", "1,230,000", "-2,000"]);
    }
}
