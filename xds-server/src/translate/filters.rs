//! Filters of a rule, as far as they are supported: header modifiers.

use weir_config::FieldError;
use weir_config::kinds::gateway::{HeaderModifier, HttpFilter, HttpHeader};
use weir_config::model::{HeaderMutation, HeaderOp};

/// What a rule's filters do to headers.
#[derive(Debug, Default)]
pub(crate) struct Mutations {
    pub(crate) request: HeaderMutation,
    pub(crate) response: HeaderMutation,
}

/// Translates a rule's filters.
///
/// # Errors
/// The first filter that cannot be honoured, seen from the rule.
pub(crate) fn translate(filters: &[HttpFilter]) -> Result<Mutations, FieldError> {
    let (mut request, mut response) = (None, None);
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("filters[{index}]");
        let (slot, settings, field) = match filter.type_.as_str() {
            "RequestHeaderModifier" => (&mut request, &filter.request_header_modifier, "requestHeaderModifier"),
            "ResponseHeaderModifier" => (&mut response, &filter.response_header_modifier, "responseHeaderModifier"),
            other => return Err(FieldError::new("type", format!("`{other}` is not supported yet")).within(&at)),
        };
        let Some(settings) = settings else {
            return Err(FieldError::new(field, "is missing").within(&at));
        };
        let mutation = mutation(settings).map_err(|e| e.within(field).within(&at))?;
        if slot.replace(mutation).is_some() {
            return Err(FieldError::new("type", format!("`{}` stands twice in one rule", filter.type_)).within(&at));
        }
    }
    Ok(Mutations { request: request.unwrap_or_default(), response: response.unwrap_or_default() })
}

fn mutation(settings: &HeaderModifier) -> Result<HeaderMutation, FieldError> {
    let mut mutation = HeaderMutation::default();
    for (index, header) in settings.remove.iter().enumerate() {
        mutation.remove.push(name(header).map_err(|e| e.within(&format!("remove[{index}]")))?);
    }
    for (field, headers, append) in [("set", &settings.set, false), ("add", &settings.add, true)] {
        for (index, header) in headers.iter().enumerate() {
            let op = op(header, append).map_err(|e| e.within(&format!("{field}[{index}]")))?;
            mutation.ops.push(op);
        }
    }
    Ok(mutation)
}

fn op(header: &HttpHeader, append: bool) -> Result<HeaderOp, FieldError> {
    let name = name(&header.name).map_err(|e| e.within("name"))?;
    // RFC 9110 5.5: a field value holds no control characters but the tab.
    if header.value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(FieldError::new("value", "holds a control character"));
    }
    Ok(HeaderOp { name, value: header.value.clone(), append })
}

fn name(text: &str) -> Result<String, FieldError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(token) {
        return Err(FieldError::new("", format!("`{text}` is no header name")));
    }
    let name = text.to_ascii_lowercase();
    if name == "host" {
        return Err(FieldError::new("", "`Host` cannot be changed by a header modifier"));
    }
    Ok(name)
}
