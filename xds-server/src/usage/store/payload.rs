//! Batches as bytes of a column: the message, compressed.

use prost::Message;
use weir_config::usage::v1;

use super::{Result, StoreError};
use crate::usage::Batch;

/// Compression that costs little; names and small numbers shrink to a third.
const LEVEL: i32 = 1;
/// Bytes that a stored message may have: 4,096 entries with the longest names and largest numbers.
const MAX_BYTES: usize = 2 << 20;

/// Packs a message. An error is one of memory.
pub(super) fn pack(message: &v1::UsageBatch) -> Result<Vec<u8>> {
    zstd::bulk::compress(&message.encode_to_vec(), LEVEL).map_err(|error| sqlx::Error::Io(error).into())
}

/// Unpacks what is stored at `position`.
pub(super) fn unpack(position: i64, payload: &[u8]) -> Result<Batch> {
    let damaged = |error: String| StoreError::Damaged(position, error);
    let bytes = zstd::bulk::decompress(payload, MAX_BYTES).map_err(|error| damaged(error.to_string()))?;
    let message = v1::UsageBatch::decode(bytes.as_slice()).map_err(|error| damaged(error.to_string()))?;
    Batch::try_from(&message).map_err(|error| damaged(error.to_string()))
}
