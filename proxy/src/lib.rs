//! The data half of Weir: an edge proxy that obeys standard xDS v3.
//!
//! One way: [`xds`] receives resources, [`live`] compiles them into the tables of [`request`],
//! [`serve`] moves bytes by what the tables say, [`meter`] counts them and logs what was
//! counted, [`usage`] reports it.

pub mod admin;
pub mod balance;
pub mod clock;
pub mod connect;
pub mod live;
pub mod log;
pub mod meter;
pub mod request;
pub mod run;
pub mod serve;
pub mod tls;
pub mod usage;
pub mod xds;
