//! The counting client: randomised exchanges whose every byte above TLS is counted at the client's
//! end of the connection, by tenant and direction, to be held against what the proxy metered.
//!
//! [`exchange`] draws what is asked and [`origin`] answers it, as [`answer`] says; [`session`] runs
//! exchanges over a [`wire`] and keeps a [`tally`]; [`messages`] reads what comes. [`place`] has the
//! tenants. [`cut`] ends exchanges before their end, and [`witness`] sees the proxy's own socket
//! calls.

pub mod answer;
pub mod cut;
pub mod exchange;
pub mod messages;
pub mod origin;
pub mod place;
pub mod session;
pub mod tally;
pub mod wire;
pub mod witness;

use std::env;
use std::time::SystemTime;

/// A number in the environment; 0 where there is none.
pub fn number(variable: &str) -> u64 {
    env::var(variable).map_or(0, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number")))
}

/// What is drawn is drawn from this: 0, another one for each long run, or `WEIR_SEED`.
pub fn seed() -> u64 {
    if env::var("WEIR_SOAK_SECONDS").is_err() || env::var("WEIR_SEED").is_ok() {
        return number("WEIR_SEED");
    }
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20);
    eprintln!("WEIR_SEED={seed} draws the same again");
    seed
}
