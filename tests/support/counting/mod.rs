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
