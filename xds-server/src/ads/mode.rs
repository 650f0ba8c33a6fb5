//! What sort of stream a client opened.

/// The variants of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Incremental xDS: changes of what is asked for, and of resources.
    Delta,
    /// State of the world: all that is asked for, each time.
    World,
}

/// What sort of stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Variant of the protocol.
    pub variant: Variant,
    /// Whether it has one type alone, and the others have streams of their own.
    pub alone: bool,
}

impl Mode {
    /// All types on one delta stream: what Weir's proxy opens.
    pub const DELTA: Self = Self { variant: Variant::Delta, alone: false };

    /// Whether it is incremental.
    pub fn is_delta(self) -> bool {
        self.variant == Variant::Delta
    }
}
