//! What a frame holds. Fields are added, never reused: a log may be read by a newer Weir.

use weir_config::usage::v1;

/// One append.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// Epochs that have not ended: in the first frame of a segment.
    #[prost(message, repeated, tag = "1")]
    pub open: Vec<OpenEpoch>,
    /// Batches that were acknowledged since the frame before.
    #[prost(message, repeated, tag = "2")]
    pub acknowledged: Vec<Acknowledged>,
    /// Batches.
    #[prost(message, repeated, tag = "3")]
    pub logged: Vec<Logged>,
}

/// How far an epoch had come when a segment was begun, for when older segments are deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenEpoch {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub epoch: Vec<u8>,
    /// The last sequence that was logged.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// End of that window.
    #[prost(int64, tag = "3")]
    pub ended_ms: i64,
}

/// A batch that the server has.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Acknowledged {
    /// Its epoch's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub epoch: Vec<u8>,
    /// Its sequence.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

/// A batch, with what it brings the counters' marks to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Logged {
    /// As it is sent.
    #[prost(message, required, tag = "1")]
    pub batch: v1::UsageBatch,
    /// Totals up to the batch's end, of each place that it holds usage of. Empty where batches were merged: their totals
    /// are marked in the counters.
    #[prost(message, repeated, tag = "2")]
    pub reached: Vec<Reached>,
}

/// What a place had counted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reached {
    /// The place's incarnation.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// All that it had counted.
    #[prost(message, required, tag = "2")]
    pub totals: v1::Units,
}
