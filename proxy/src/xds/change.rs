//! What passes from the client to warming.

use std::collections::BTreeSet;

use weir_config::model::{Resource, Snapshot};

use super::refs::Key;

/// What a response changed in the accepted resources.
#[derive(Debug, Default)]
pub struct Change {
    /// New or changed resources.
    pub upserts: Vec<Resource>,
    /// Gone by the server's word.
    pub removed: Vec<Key>,
    /// No longer referred to by anything accepted, and therefore no longer asked for.
    pub released: Vec<Key>,
}

/// All that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Accepted resources.
    pub world: &'a Snapshot,
    /// Names about which the server has said something: what they hold, that there is nothing, or
    /// something that was refused. For virtual hosts, the names of their route configurations.
    pub answered: &'a BTreeSet<Key>,
}
