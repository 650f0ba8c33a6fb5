//! How numbers and texts stand in the files: little-endian, a text after its length.

use weir_config::model::{Resource, ResourceType};
use weir_config::xds::decode;

use super::Entry;

/// Adds a number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Adds a text after its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Takes a number off the front.
pub(super) fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

/// Takes a number of four bytes off the front.
pub(super) fn short(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

/// Takes a text off the front.
pub(super) fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}

/// Takes a type's URL off the front.
pub(super) fn kind(rest: &mut &[u8]) -> Option<ResourceType> {
    ResourceType::from_url(std::str::from_utf8(text(rest)?).ok()?)
}

/// Adds what [`entry`] reads after the kind: the version and the message.
pub(super) fn put_entry(out: &mut Vec<u8>, resource: &Resource, version: &str) {
    put_text(out, version.as_bytes());
    put_text(out, &weir_config::xds::encode(resource));
}

/// Takes version and message off the front: within, none of a message that this version of the program can no longer
/// read, which is asked for again.
pub(super) fn entry(kind: ResourceType, rest: &mut &[u8]) -> Option<Option<Entry>> {
    let (version, value) = (text(rest)?, text(rest)?);
    Some(decode(kind, value).ok().map(|resource| (resource, String::from_utf8_lossy(version).into_owned())))
}
