//! Shares of requests among routes that match the same (`RouteMatch.runtime_fraction`).
//!
//! As at Envoy a request has one draw, which every route compares with its share: so routes with one match and rising
//! shares cut the draws among them. Where Envoy draws by lot, a *run* of such routes draws in an order that gives each
//! its exact share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_config::model::{Fraction, Route};

use super::wheel::Wheel;

/// Draws go from 0 to below this: the greatest denominator, which the others divide.
const DRAWS: u32 = 1_000_000;

/// A route's share of the requests that it matches.
#[derive(Debug)]
pub struct ShareTable {
    fraction: Fraction,
    /// Of the first of its run.
    run: Option<Run>,
}

/// Routes in a row that match the same, but for their shares.
#[derive(Debug)]
pub struct Run {
    /// How many, with the one that takes the rest.
    pub routes: usize,
    /// Requests so far. Shared with the table that an edit puts in this one's place.
    turn: Arc<AtomicU64>,
    /// Order of turns among `ranges`, which are never all empty.
    wheel: Option<Wheel>,
    /// Draws (from, below) of each route, those of the rest last; of draws modulo `period`.
    ranges: Box<[(u32, u32)]>,
    period: u32,
}

impl ShareTable {
    /// The share of the route at `at` of a host's; none if it has all. A run goes on from `old`, what stood there.
    pub fn new(routes: &[Route], at: usize, old: Option<&Self>) -> Option<Box<Self>> {
        let fraction = routes[at].matches.fraction?;
        let within = at > 0 && routes[at - 1].matches.fraction.is_some() && alike(&routes[at - 1], &routes[at]);
        let run = (!within).then(|| Run::new(&routes[at..], old.and_then(|old| old.run.as_ref())));
        Some(Box::new(Self { fraction, run }))
    }

    /// Whether a request with this draw is the route's.
    pub fn has(&self, draw: u32) -> bool {
        let Fraction { numerator, denominator } = self.fraction;
        draw % denominator.max(1) < numerator
    }

    /// What it was made of.
    pub fn fraction(&self) -> Fraction {
        self.fraction
    }

    /// The run that begins here.
    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// The draw of a request that comes here first: its run's turn.
    pub fn draw(&self) -> u32 {
        // Who comes to a route within a run came to the first of it before.
        self.run.as_ref().map_or(0, Run::draw)
    }
}

/// Whether two routes match the same requests, shares aside.
fn alike(one: &Route, other: &Route) -> bool {
    let (one, other) = (&one.matches, &other.matches);
    one.path == other.path && one.method == other.method && one.headers == other.headers && one.query == other.query
}

impl Run {
    fn new(routes: &[Route], old: Option<&Self>) -> Self {
        let alike = routes.iter().take_while(|route| alike(&routes[0], route));
        let shares: Vec<Fraction> = alike.clone().map_while(|route| route.matches.fraction).collect();
        let (ranges, period) = ranges(&shares);
        let lengths: Vec<u32> = ranges.iter().map(|(from, below)| below - from).collect();
        // One without a share takes the rest.
        let routes = alike.count().min(shares.len() + 1);
        Self { routes, turn: turn(old), wheel: Wheel::new(&lengths), ranges: ranges.into(), period }
    }

    /// The next draw: its range by turn, its place in the range by lot, so that routes that come after the run and
    /// have shares of their own find nothing skewed.
    fn draw(&self) -> u32 {
        let turn = self.turn.fetch_add(1, Relaxed);
        let (from, below) = self.ranges[self.wheel.as_ref().map_or(0, |wheel| wheel.at(turn))];
        let random = mix(turn);
        let (low, high) = (random as u32, (random >> 32) as u32);
        from + low % (below - from).max(1) + self.period * (high % (DRAWS / self.period))
    }
}

/// Where the turns of a run begin: where the old one is, else by chance, so that not all proxies begin with one route.
fn turn(old: Option<&Run>) -> Arc<AtomicU64> {
    old.map_or_else(|| Arc::new(u64::from(rand::random::<u32>()).into()), |old| old.turn.clone())
}

/// The draws that each share leaves to its route, and the rest, modulo a period. Where denominators differ all draws
/// are one range.
fn ranges(shares: &[Fraction]) -> (Vec<(u32, u32)>, u32) {
    let period = shares.first().map_or(DRAWS, |share| share.denominator);
    if period == 0 || !DRAWS.is_multiple_of(period) || shares.iter().any(|share| share.denominator != period) {
        return (vec![(0, DRAWS)], DRAWS);
    }
    let mut ranges = Vec::with_capacity(shares.len() + 1);
    let mut from = 0;
    for end in shares.iter().map(|share| share.numerator.min(period)).chain([period]) {
        let below = end.max(from);
        ranges.push((from, below));
        from = below;
    }
    (ranges, period)
}

/// A number of chance for each turn (the finaliser of SplitMix64).
fn mix(turn: u64) -> u64 {
    let mut z = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
