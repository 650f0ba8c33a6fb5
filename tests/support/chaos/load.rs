//! Clients that go on through everything: what they completed is exact, what was cut is bounded.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::counting::answer::{Manner, TUNNEL_END};
use crate::support::counting::exchange::Exchange;
use crate::support::counting::session::{Next, Session};
use crate::support::counting::tally::Tally;
use crate::support::http::Target;

/// Tenants, each with one client, so that at most one exchange of a tenant is cut by a kill.
pub const TENANTS: [(&str, &str); 8] = [
    ("one", "a.one.test"),
    ("two", "a.two.test"),
    ("three", "a.three.test"),
    ("four", "a.four.test"),
    ("five", "a.five.test"),
    ("six", "a.six.test"),
    ("seven", "a.seven.test"),
    ("eight", "a.eight.test"),
];

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(3);

/// What a tenant's client knows of a round.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Completed exchanges, exactly.
    pub completed: Tally,
    /// Exchanges that were cut.
    pub cuts: u64,
    /// Bytes sent for those: all that the proxy can have read.
    pub cut_sent: u64,
    /// Bytes that came of their answers: the least that the proxy has written.
    pub cut_received: u64,
    /// Bytes that their answers would have been, at most.
    pub cut_answers: u64,
}

/// Clients under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Starts a client for each tenant; `target` says where it connects, plain or TLS.
    pub fn start(seed: u64, target: impl Fn(bool, &str) -> Target) -> Self {
        let (stop, completed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..TENANTS.len()).map(|n| {
            let targets = [false, true].map(|tls| target(tls, TENANTS[n].1));
            let (stop, completed) = (stop.clone(), completed.clone());
            std::thread::spawn(move || client(n, seed, &targets, &stop, &completed))
        });
        Self { clients: clients.collect(), stop, completed }
    }

    /// Exchanges completed so far.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Returns the moment another exchange is completed: the proxy's call that wrote the last of its answer has
    /// perhaps not returned yet.
    pub fn await_the_next(&self) {
        let completed = self.completed();
        while self.completed() == completed {
            std::hint::spin_loop();
        }
    }

    /// Ends the clients after their present exchange: what each has seen, in the order of [`TENANTS`].
    pub fn finish(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}

fn client(n: usize, seed: u64, targets: &[Target; 2], stop: &AtomicBool, completed: &AtomicU64) -> Seen {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(n as u64));
    let (tenant, host) = TENANTS[n];
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let target = &targets[usize::from(rng.random_bool(0.3))];
        // Where nothing listens, or the handshake broke, no byte above TLS was sent.
        let Ok(mut session) = Session::open(target, rng.random()) else {
            std::thread::sleep(RETRY);
            continue;
        };
        for _ in 0..rng.random_range(1..40) {
            let exchange = Exchange::draw_answered(&mut rng, host, tenant);
            let (count, before) = (session.outcome.completed, session.moved());
            let result = session.one(&exchange);
            if let Err(error) = &result {
                assert!(error.kind() != ErrorKind::InvalidData, "{tenant}, seed {seed}: {error}\n{exchange:?}");
            }
            if session.outcome.completed > count {
                completed.fetch_add(1, Ordering::Relaxed);
            } else {
                let after = session.moved();
                seen.cuts += 1;
                seen.cut_sent += after.0 - before.0;
                seen.cut_received += after.1 - before.1;
                seen.cut_answers += longest(&exchange);
            }
            if !matches!(result, Ok(Next::Goes)) || stop.load(Ordering::Relaxed) {
                break;
            }
        }
        seen.completed.merge(&session.outcome.tally);
    }
    seen
}

/// The most that an answer can be at the client: what the backend sends, more fields, and other chunks.
fn longest(exchange: &Exchange) -> u64 {
    let bytes = match exchange.answer.manner {
        Manner::Tunnel => exchange.answer.size + TUNNEL_END.len(),
        _ => exchange.answer.response(false).len(),
    };
    (bytes + bytes / 2 + 2048) as u64
}
