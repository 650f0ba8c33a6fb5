//! Frames as bytes: magic, length, checksum, message.

use prost::Message;

use super::Frame;

/// First bytes of a frame; they change with its form. Behind damage the next frame is found by them.
pub(super) const MAGIC: [u8; 4] = *b"WUL1";
/// Magic, length and checksum.
const HEAD: usize = 12;

/// The bytes of a frame.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let len = frame.encoded_len();
    let mut bytes = Vec::with_capacity(HEAD + len);
    bytes.extend(MAGIC);
    // A frame is some MiB. A longer one than a length can say is not readable, and so is never written well.
    bytes.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(frame.encode_to_vec());
    let checksum = checksum(&bytes).to_le_bytes();
    bytes[8..HEAD].copy_from_slice(&checksum);
    bytes
}

/// The frame at the begin of `bytes`, and its length; none where there is no whole one.
pub fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let head: &[u8; HEAD] = bytes.first_chunk()?;
    if head[..4] != MAGIC {
        return None;
    }
    let len = HEAD.checked_add(u32::from_le_bytes(head[4..8].try_into().ok()?) as usize)?;
    let whole = bytes.get(..len)?;
    if head[8..] != checksum(whole).to_le_bytes() {
        return None;
    }
    Some((Frame::decode(&whole[HEAD..]).ok()?, len))
}

/// Of the length and the message.
fn checksum(frame: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[4..8]);
    crc.update(&frame[HEAD..]);
    crc.finalize()
}
