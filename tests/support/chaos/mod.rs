//! A fleet that is treated badly: [`fleet`] has its processes, [`relay`] the stream of usage between proxy
//! and server, [`load`] clients whose every completed exchange is counted, [`guests`] tenants that come and go,
//! [`disk`] a disk that can be full.

pub mod disk;
pub mod fleet;
pub mod guests;
pub mod load;
pub mod relay;
