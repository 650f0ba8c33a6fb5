//! A fleet that is treated badly: [`fleet`] has its processes, [`relay`] the stream of usage between proxy
//! and server, [`load`] clients whose every completed exchange is counted, [`disk`] a disk that can be full.

pub mod disk;
pub mod fleet;
pub mod load;
pub mod relay;
