//! The decision against naive references, and buckets in virtual time.

mod bucket;
mod cors;
mod hosts;
mod matching;
mod redirect;
mod retry;
mod rewriting;
mod session;
