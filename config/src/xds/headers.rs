//! Changes to headers: `*_headers_to_add` and `*_headers_to_remove`.

use xds_api::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use xds_api::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use super::read::{At, Problems, fields, fitting};
use crate::model::{HeaderMutation, HeaderOp};

/// What the two fields of one direction hold.
pub(super) type Fields = (Vec<HeaderValueOption>, Vec<String>);

/// The two fields of requests.
pub(super) const REQUEST: [&str; 2] = ["request_headers_to_add", "request_headers_to_remove"];
/// The two fields of responses.
pub(super) const RESPONSE: [&str; 2] = ["response_headers_to_add", "response_headers_to_remove"];

pub(super) fn write(value: &HeaderMutation) -> Fields {
    (value.ops.iter().map(write_op).collect(), value.remove.clone())
}

fn write_op(op: &HeaderOp) -> HeaderValueOption {
    let action =
        if op.append { HeaderAppendAction::AppendIfExistsOrAdd } else { HeaderAppendAction::OverwriteIfExistsOrAdd };
    HeaderValueOption {
        header: Some(HeaderValue { key: op.name.clone(), value: op.value.replace('%', "%%"), ..Default::default() }),
        append_action: action as i32,
        // Without it Envoy would not send a header whose value is empty.
        keep_empty_value: op.value.is_empty(),
        ..Default::default()
    }
}

/// Reads one direction; `names` are the two fields' own.
pub(super) fn read(fields: Fields, names: [&str; 2], at: &At<'_>, problems: &mut Problems) -> HeaderMutation {
    let (add, remove) = fields;
    let remove = remove.into_iter().enumerate();
    let remove = fitting(remove.filter_map(|(index, name)| read_name(name, &at.item(names[1], index), problems)));
    let add = add.into_iter().enumerate();
    let ops = fitting(add.filter_map(|(index, option)| read_op(option, &at.item(names[0], index), problems)));
    HeaderMutation { remove, ops }
}

fn read_op(message: HeaderValueOption, at: &At<'_>, problems: &mut Problems) -> Option<HeaderOp> {
    fields!(message => HeaderValueOption, at, problems;
        read header append append_action keep_empty_value;
        refuse;
        pass;);
    let append = match (append, HeaderAppendAction::try_from(append_action)) {
        (Some(append), Ok(HeaderAppendAction::AppendIfExistsOrAdd)) => append.value,
        (_, Ok(HeaderAppendAction::AppendIfExistsOrAdd)) => true,
        (_, Ok(HeaderAppendAction::OverwriteIfExistsOrAdd)) => false,
        _ => {
            problems.advise(
                &at.field("append_action"),
                "is not supported",
                "use APPEND_IF_EXISTS_OR_ADD or OVERWRITE_IF_EXISTS_OR_ADD",
            );
            return None;
        }
    };
    let at = at.field("header");
    let Some(HeaderValue { key, value, raw_value }) = header else {
        problems.missing(&at);
        return None;
    };
    let name = read_name(key, &at.field("key"), problems);
    let value = match (raw_value.is_empty(), String::from_utf8(raw_value)) {
        (true, _) => value,
        (false, Ok(raw)) if value.is_empty() => raw,
        _ => {
            problems.add(&at.field("raw_value"), "must be text, in place of `value`");
            return None;
        }
    };
    let value = read_value(&value, &at.field("value"), problems)?;
    // Envoy adds no header whose value is empty unless it is told to.
    if value.is_empty() && !keep_empty_value {
        return None;
    }
    Some(HeaderOp { name: name?, value, append })
}

/// A header's name in lower case.
fn read_name(name: String, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if name.starts_with(':') || name == "host" {
        problems.advise(at, format!("{name} cannot be changed"), "Envoy refuses it too");
        return None;
    }
    if !is_token(&name) {
        problems.add(at, format!("{name:?} is not a header's name"));
        return None;
    }
    Some(name)
}

/// RFC 9110 5.6.2, lower case.
pub(super) fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| token(byte) && !byte.is_ascii_uppercase())
}

/// A value with `%%` read as `%`; commands (`%REQ(..)%`) are not supported.
fn read_value(text: &str, at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next == '%' && rest.next() != Some('%') {
            problems.advise(at, "commands (`%..%`) are not supported", "a literal `%` is written `%%`");
            return None;
        }
        if next.is_ascii_control() && next != '\t' {
            problems.add(at, "holds a control character");
            return None;
        }
        value.push(next);
    }
    Some(value)
}
