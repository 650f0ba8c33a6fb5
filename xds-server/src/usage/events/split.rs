//! Finding the events of a request that a receiver will not take.
//!
//! A request that is refused is halved until the refused events are alone; all others are taken.

use std::ops::Range;

/// Refusals of single events, one after the other, after which the receiver is taken for broken rather
/// than the events.
const MAX_IN_A_ROW: usize = 20;

/// What is left to send of the events `0..count`, in order. It begins anew with every try of a range.
#[derive(Debug)]
pub struct Split {
    /// The next ones are last.
    open: Vec<Range<usize>>,
    in_a_row: usize,
}

/// The receiver refuses whatever it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusesAll;

impl Split {
    /// All of them, in requests of at most `size` (at least 1).
    pub fn new(count: usize, size: usize) -> Self {
        let size = size.max(1);
        let mut open: Vec<_> = (0..count).step_by(size).map(|from| from..count.min(from + size)).collect();
        open.reverse();
        Self { open, in_a_row: 0 }
    }

    /// What to send next; none: all was sent.
    pub fn next(&self) -> Option<Range<usize>> {
        self.open.last().cloned()
    }

    /// The receiver has what was to be sent next.
    pub fn taken(&mut self) {
        self.open.pop();
        self.in_a_row = 0;
    }

    /// It refused it: gives the event, if there was only one.
    ///
    /// # Errors
    /// It refuses everything: nothing may be concluded about events.
    pub fn refused(&mut self) -> Result<Option<usize>, RefusesAll> {
        let Some(range) = self.open.pop() else { return Ok(None) };
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            self.open.push(middle..range.end);
            self.open.push(range.start..middle);
            return Ok(None);
        }
        self.in_a_row += 1;
        if self.in_a_row > MAX_IN_A_ROW { Err(RefusesAll) } else { Ok(Some(range.start)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    /// A receiver that takes no request with one of `bad` in it: what it took, what was refused, requests.
    fn run(count: usize, size: usize, bad: &[usize]) -> Result<(Vec<usize>, Vec<usize>, usize), RefusesAll> {
        let mut split = Split::new(count, size);
        let (mut taken, mut refused, mut requests) = (Vec::new(), Vec::new(), 0);
        while let Some(range) = split.next() {
            assert!(range.len() <= size.max(1));
            requests += 1;
            if range.clone().any(|n| bad.contains(&n)) {
                refused.extend(split.refused()?);
            } else {
                taken.extend(range);
                split.taken();
            }
        }
        Ok((taken, refused, requests))
    }

    proptest! {
        #[test]
        fn the_bad_ones_are_found_and_all_others_are_taken_in_order(
            count in 0usize..200, size in 0usize..50, bad in btree_set(0usize..200, 0..10)
        ) {
            let bad: Vec<_> = bad.into_iter().filter(|n| *n < count).collect();
            let good: Vec<_> = (0..count).filter(|n| !bad.contains(n)).collect();
            let (taken, refused, _) = run(count, size, &bad).unwrap();
            prop_assert_eq!(taken, good);
            prop_assert_eq!(refused, bad);
        }
    }

    #[test]
    fn a_bad_one_costs_few_requests() {
        let (_, _, requests) = run(1000, 100, &[314]).unwrap();
        assert!(requests <= 10 + 2 * 7, "{requests} requests");
    }

    #[test]
    fn a_receiver_that_refuses_everything_is_what_is_wrong() {
        let all: Vec<_> = (0..100).collect();
        assert_eq!(run(100, 10, &all), Err(RefusesAll));
        // Few events, all of them bad: they may be.
        assert_eq!(run(5, 10, &all[..5]).unwrap().1, [0, 1, 2, 3, 4]);
    }
}
