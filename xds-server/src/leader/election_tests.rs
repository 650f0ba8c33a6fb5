//! A simulation: replicas whose clocks run at different speeds, an API server that is slow, away, or does what it is
//! told and does not say so. Whatever happens, no two lead at once, and soon after it is over one does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use weir_config::testing::soak;

use super::*;

const REPLICAS: usize = 3;
/// A step of real time.
const STEP: Duration = Duration::from_millis(250);

/// What happens to one request of a replica, and how long it takes (in steps, each way).
#[derive(Clone, Debug)]
enum Way {
    Well(u8, u8),
    NeverArrives,
    AnswerLost(u8),
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        6 => (0u8..3, 0u8..3).prop_map(|(there, back)| Way::Well(there, back)),
        1 => (0u8..80, 0u8..80).prop_map(|(there, back)| Way::Well(there, back)),
        1 => Just(Way::NeverArrives),
        1 => (0u8..80).prop_map(Way::AnswerLost),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    /// Speed of each clock, in thousandths of real time.
    speeds: [u32; REPLICAS],
    ways: Vec<Way>,
    /// Steps at which a replica is killed and comes back as another process, or ends cleanly.
    ends: BTreeMap<u16, (u8, bool)>,
    /// Steps in which the API server is away.
    away: Vec<(u16, u16)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let ends = prop::collection::btree_map(0u16..1200, (0u8..REPLICAS as u8, any::<bool>()), 0..5);
    let away = prop::collection::vec((0u16..1200, 0u16..200), 0..3);
    let speeds = prop::array::uniform3(900u32..1100);
    (speeds, prop::collection::vec(way(), 1..400), ends, away).prop_map(|(speeds, ways, ends, away)| Plan {
        speeds,
        ways,
        ends,
        away: away.into_iter().map(|(from, length)| (from, from + length)).collect(),
    })
}

enum Request {
    Look,
    Write { claim: Claim, holder: String, begun: Instant },
}

enum Answer {
    Looked(Option<Record>),
    Wrote(Record, Instant),
    Failed,
}

/// A request or an answer under way: when it arrives, in steps.
struct Travelling<T> {
    at: u32,
    what: T,
}

struct Replica {
    election: Election,
    process: u32,
    /// Real time to its own.
    base: Instant,
    speed: u32,
    out: Option<Travelling<Request>>,
    back: Option<Travelling<Answer>>,
    way: Way,
    next: u32,
    /// When it gives a request up.
    patience: u32,
}

impl Replica {
    fn now(&self, step: u32) -> Instant {
        self.base + STEP * step * self.speed / 1000
    }
}

struct Server {
    lease: Option<Record>,
    writes: u64,
}

impl Server {
    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Look => Answer::Looked(self.lease.clone()),
            Request::Write { claim, holder, begun } => {
                if self.lease.as_ref().map(|lease| &lease.version) != claim.version.as_ref() {
                    return Answer::Failed;
                }
                self.writes += 1;
                let record = Record { holder, transitions: claim.transitions, version: self.writes.to_string() };
                self.lease = Some(record.clone());
                Answer::Wrote(record, begun)
            }
        }
    }
}

fn simulate(plan: &Plan) -> Result<(), TestCaseError> {
    let base = Instant::now();
    let mut server = Server { lease: None, writes: 0 };
    let mut ways = plan.ways.iter().cycle().cloned();
    let mut replicas: Vec<Replica> = plan
        .speeds
        .iter()
        .enumerate()
        .map(|(index, speed)| Replica {
            election: Election::new(format!("{index}-0"), TIMING),
            process: 0,
            // Their clocks have nothing to do with each other.
            base: base + Duration::from_secs(1000 * index as u64),
            speed: *speed,
            out: None,
            back: None,
            way: Way::NeverArrives,
            next: 0,
            patience: 0,
        })
        .collect();
    let (mut leads_since, quiet) = (None, 1500u32);
    for step in 0..quiet + 160 {
        let disturbed = step < quiet;
        let away = disturbed && plan.away.iter().any(|(from, to)| (u32::from(*from)..u32::from(*to)).contains(&step));
        if let Some((who, clean)) = u16::try_from(step).ok().and_then(|step| plan.ends.get(&step)) {
            let replica = &mut replicas[usize::from(*who)];
            let now = replica.now(step);
            if *clean && let Some(claim) = replica.election.release(now) {
                // It is sent, and whoever sent it is gone.
                server.answer(Request::Write { claim, holder: String::new(), begun: now });
            }
            replica.process += 1;
            replica.election = Election::new(format!("{who}-{}", replica.process), TIMING);
            (replica.out, replica.back, replica.next) = (None, None, step + 4);
        }
        for replica in &mut replicas {
            one(replica, &mut server, step, away, if disturbed { ways.next() } else { None });
        }
        let leaders = replicas.iter().filter(|r| r.election.until(r.now(step)).is_some()).count();
        prop_assert!(leaders <= 1, "{leaders} lead at step {step}");
        leads_since = if leaders == 1 { leads_since.or(Some(step)) } else { None };
    }
    prop_assert!(leads_since.is_some_and(|since| since < quiet + 120), "nobody leads, or only since {leads_since:?}");
    Ok(())
}

/// One step of one replica; without a `way`, nothing goes wrong.
fn one(replica: &mut Replica, server: &mut Server, step: u32, away: bool, way: Option<Way>) {
    let now = replica.now(step);
    if let Some(request) = replica.out.take_if(|request| request.at <= step)
        && !away
        && !matches!(replica.way, Way::NeverArrives)
    {
        let answer = server.answer(request.what);
        if let Way::Well(_, back) = replica.way {
            replica.back = Some(Travelling { at: step + u32::from(back), what: answer });
        }
    }
    if let Some(answer) = replica.back.take_if(|answer| answer.at <= step) {
        match answer.what {
            Answer::Looked(found) => replica.election.looked(found, now),
            Answer::Wrote(record, begun) => replica.election.claimed(record, begun),
            Answer::Failed => replica.election.failed(),
        }
        replica.next =
            if replica.election.seen.is_some() && replica.election.until(now).is_none() { step + 1 } else { step + 8 };
        replica.patience = 0;
    } else if replica.patience > 0 && step >= replica.patience {
        // No answer in time: whether it was heard is not known, and what is still under way may arrive later.
        replica.election.failed();
        (replica.back, replica.patience, replica.next) = (None, 0, step + 8);
    }
    if replica.patience > 0 || replica.out.is_some() || step < replica.next {
        return;
    }
    let request = if replica.election.seen.is_none() {
        Some(Request::Look)
    } else {
        match replica.election.claim(now) {
            Some(claim) => Some(Request::Write { claim, holder: replica.election.me.clone(), begun: now }),
            None => Some(Request::Look),
        }
    };
    if let Some(what) = request {
        replica.way = way.unwrap_or(Way::Well(0, 0));
        let there = match replica.way {
            Way::Well(there, _) | Way::AnswerLost(there) => there,
            Way::NeverArrives => 0,
        };
        replica.out = Some(Travelling { at: step + u32::from(there), what });
        // Requests are given up after five seconds.
        (replica.patience, replica.next) = (step + 20, step + 8);
    }
}

#[test]
fn soak_never_two_lead_and_soon_one_does() {
    soak::property(&plan(), |plan| simulate(&plan));
}

fn record(holder: &str, version: &str) -> Record {
    Record { holder: holder.into(), transitions: 3, version: version.into() }
}

#[test]
fn anothers_lease_is_taken_once_it_stood_still() {
    let (mut election, now) = (Election::new("me", TIMING), Instant::now());
    election.looked(Some(record("other", "7")), now);
    assert_eq!(election.claim(now), None);
    election.looked(Some(record("other", "8")), now + Duration::from_secs(14));
    election.looked(Some(record("other", "8")), now + Duration::from_secs(28));
    assert_eq!(election.claim(now + Duration::from_secs(28)), None, "it changed 14 s ago");
    let claim = election.claim(now + Duration::from_secs(29)).unwrap();
    assert_eq!(claim, Claim { version: Some("8".into()), transitions: 4, new: true });
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let (mut election, now) = (Election::new("me", TIMING), Instant::now());
    election.looked(Some(record("", "7")), now);
    assert!(election.claim(now).is_some());
}

#[test]
fn a_leader_leads_from_the_begin_of_its_last_write() {
    let (mut election, now) = (Election::new("me", TIMING), Instant::now());
    election.claimed(record("me", "7"), now);
    assert!(election.until(now + Duration::from_millis(9_999)).is_some());
    assert!(election.until(now + Duration::from_secs(10)).is_none());
    let claim = election.claim(now + Duration::from_secs(2)).unwrap();
    assert_eq!((claim.new, claim.transitions), (false, 3));
}

#[test]
fn who_sees_another_hold_it_leads_no_more() {
    let (mut election, now) = (Election::new("me", TIMING), Instant::now());
    election.claimed(record("me", "7"), now);
    election.looked(Some(record("other", "8")), now);
    assert!(election.until(now).is_none());
}

#[test]
fn only_a_leader_releases() {
    let (mut election, now) = (Election::new("me", TIMING), Instant::now());
    assert!(election.release(now).is_none());
    election.claimed(record("me", "7"), now);
    assert_eq!(election.release(now).unwrap().version.as_deref(), Some("7"));
    assert!(election.until(now).is_none());
}
