//! What passes from the client to warming.

use std::collections::BTreeSet;

use weir_config::model::{Resource, Snapshot};

use super::held::Held;
use super::refs::Key;

/// What a response changed in the accepted resources.
#[derive(Debug, Default)]
pub struct Change {
    /// New or changed resources.
    pub upserts: Vec<Resource>,
    /// Gone by the server's word.
    pub removed: Vec<Key>,
    /// No longer referred to by anything accepted, or given up for others, and therefore no longer asked for.
    pub released: Vec<Key>,
    /// Names of secrets that were asked for, of which there is none that can be used.
    pub absent: Vec<String>,
}

/// All that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Accepted resources.
    pub world: &'a Snapshot,
    /// Names about which the server has said something: what they hold, that there is nothing, or
    /// something that was refused. For virtual hosts, the names of their route configurations.
    pub answered: &'a BTreeSet<Key>,
    /// Which secrets are asked for, and which wait until a handshake needs them.
    pub held: &'a Held,
}
