//! What whole-system tests share.

pub mod address;
pub mod ads;
pub mod ads_client;
pub mod apiserver;
pub mod case;
pub mod chaos;
pub mod clock;
pub mod counting;
pub mod envoy;
pub mod guests;
pub mod helm;
pub mod http;
pub mod inside;
pub mod load;
pub mod plane;
pub mod process;
pub mod requests;
pub mod rights;
pub mod runner;
pub mod service;
pub mod site;
pub mod swarm;
pub mod tls;
pub mod tokens;
pub mod wait;
pub mod way;
