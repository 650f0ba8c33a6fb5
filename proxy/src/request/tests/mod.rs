//! The decision against naive references, and buckets in virtual time.

mod bucket;
mod hosts;
mod matching;
mod redirect;
mod rewriting;
