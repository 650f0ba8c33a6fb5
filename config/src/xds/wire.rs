//! One spelling for equal messages: protobuf lets the entries of a map stand in any order, and the
//! crates keep maps as `HashMap`, so that equal values would come out as different bytes.

/// Which fields of a message hold maps, seen from the message: only the paths to maps are drawn.
pub(super) struct Shape(pub(super) &'static [(u32, Field)]);

/// A field on the way to a map.
pub(super) enum Field {
    /// A message (or a list of them) that holds maps further in.
    Message(&'static Shape),
    /// A map; its entries are messages of this shape.
    Map(&'static Shape),
}

/// `google.protobuf.Struct`.
pub(super) static STRUCT: Shape = Shape(&[(1, Field::Map(&STRUCT_ENTRY))]);
static STRUCT_ENTRY: Shape = Shape(&[(2, Field::Message(&VALUE))]);
static VALUE: Shape = Shape(&[(5, Field::Message(&STRUCT)), (6, Field::Message(&LIST))]);
static LIST: Shape = Shape(&[(1, Field::Message(&VALUE))]);
static METADATA: Shape = Shape(&[(1, Field::Map(&METADATA_ENTRY))]);
static METADATA_ENTRY: Shape = Shape(&[(2, Field::Message(&STRUCT))]);
static FLAT: Shape = Shape(&[]);
/// `Route`: its metadata, and its filters' configurations by name.
static ROUTE: Shape = Shape(&[(4, Field::Message(&METADATA)), (13, Field::Map(&FLAT))]);
/// `VirtualHost`: its own metadata, and its routes'.
pub(super) static VIRTUAL_HOST: Shape = Shape(&[(3, Field::Message(&ROUTE)), (24, Field::Message(&METADATA))]);
/// `RouteConfiguration`.
pub(super) static ROUTE_CONFIGURATION: Shape = Shape(&[(2, Field::Message(&VIRTUAL_HOST))]);
/// `HttpConnectionManager`: `route_config`.
pub(super) static HTTP_CONNECTION_MANAGER: Shape = Shape(&[(4, Field::Message(&ROUTE_CONFIGURATION))]);
static SUBSTITUTION_FORMAT: Shape = Shape(&[(2, Field::Message(&STRUCT))]);
static FILTER_CHAIN: Shape = Shape(&[(5, Field::Message(&METADATA))]);
/// `Listener`: its chains' metadata, and its own.
pub(super) static LISTENER: Shape = Shape(&[(3, Field::Message(&FILTER_CHAIN)), (6, Field::Message(&METADATA))]);
/// `StdoutAccessLog`: `log_format.json_format`.
pub(super) static STDOUT_ACCESS_LOG: Shape = Shape(&[(1, Field::Message(&SUBSTITUTION_FORMAT))]);

/// The same message with the entries of its maps sorted. What is not a well-formed message comes
/// back as it is; the encoders here make none.
pub(super) fn canonical(message: Vec<u8>, shape: &Shape) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    match rewrite(&message, shape, &mut out) {
        Some(()) => out,
        None => message,
    }
}

fn rewrite(mut rest: &[u8], shape: &Shape, out: &mut Vec<u8>) -> Option<()> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut open_map = None;
    while !rest.is_empty() {
        let record = Record::take(&mut rest)?;
        if open_map.is_some_and(|tag| tag != record.tag) {
            close(&mut entries, out);
        }
        open_map = None;
        match (shape.0.iter().find(|(tag, _)| *tag == record.tag).map(|(_, field)| field), record.body) {
            (Some(Field::Message(inner)), Some(body)) => put(record.tag, body, inner, out)?,
            (Some(Field::Map(inner)), Some(body)) => {
                let mut entry = Vec::with_capacity(record.whole.len());
                put(record.tag, body, inner, &mut entry)?;
                entries.push(entry);
                open_map = Some(record.tag);
            }
            _ => out.extend_from_slice(record.whole),
        }
    }
    close(&mut entries, out);
    Some(())
}

/// Writes the entries of a map. They begin with their length, then the key: equal maps sort equally.
fn close(entries: &mut Vec<Vec<u8>>, out: &mut Vec<u8>) {
    entries.sort_unstable();
    for entry in entries.drain(..) {
        out.extend_from_slice(&entry);
    }
}

fn put(tag: u32, body: &[u8], shape: &Shape, out: &mut Vec<u8>) -> Option<()> {
    let mut inner = Vec::with_capacity(body.len());
    rewrite(body, shape, &mut inner)?;
    put_varint((u64::from(tag) << 3) | 2, out);
    put_varint(inner.len() as u64, out);
    out.extend_from_slice(&inner);
    Some(())
}

/// One field of a message as it stands on the wire.
struct Record<'a> {
    tag: u32,
    whole: &'a [u8],
    /// The content of a length-delimited field.
    body: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let start = *rest;
        let key = take_varint(rest)?;
        let tag = u32::try_from(key >> 3).ok()?;
        let (skip, delimited) = match key & 7 {
            0 => {
                take_varint(rest)?;
                (0, false)
            }
            1 => (8, false),
            2 => (usize::try_from(take_varint(rest)?).ok()?, true),
            5 => (4, false),
            _ => return None,
        };
        let body = rest.get(..skip)?;
        *rest = &rest[skip..];
        Some(Record { tag, whole: &start[..start.len() - rest.len()], body: delimited.then_some(body) })
    }
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
