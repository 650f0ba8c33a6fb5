//! What tests of this crate, of the whole system and of its speed share.

pub mod postgres;
pub mod receiver;
