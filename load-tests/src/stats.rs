//! Figures out of rounds.

/// The middle of the values; between the middle two, where their number is even. None of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The distance between the quartiles over the median: how far rounds are apart. None of less than three.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    if values.len() < 3 {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = median(&sorted)?;
    // Halves without the middle value.
    let half = sorted.len() / 2;
    let (low, high) = (median(&sorted[..half])?, median(&sorted[sorted.len() - half..])?);
    (middle > 0.0).then(|| (high - low) / middle)
}

#[cfg(test)]
mod tests {
    use super::{median, spread};

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[1.0, 1.0, 1.0, 1000.0, 1.0]), Some(1.0), "one bad round does not move it");
    }

    #[test]
    fn the_spread_leaves_out_the_ends() {
        assert_eq!(spread(&[1.0, 2.0]), None);
        assert_eq!(spread(&[10.0, 10.0, 10.0]), Some(0.0));
        assert_eq!(spread(&[8.0, 10.0, 12.0]), Some(0.4));
        assert_eq!(spread(&[1.0, 9.0, 10.0, 11.0, 500.0]), Some((255.5 - 5.0) / 10.0));
    }
}
