//! Filters of a rule or of a backend: what they come to, and what may not stand together.

use std::fmt;

use weir_config::FieldError;
use weir_config::kinds::gateway::{
    CorsFilter, HeaderModifier, HttpFilter, HttpHeader, PathModifier, RequestMirror, RequestRedirect,
};
use weir_config::model::{HeaderMutation, HeaderOp};

/// A rule that is left out: the reason for the route's condition, and what is wrong where.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    pub(crate) reason: &'static str,
    pub(crate) error: FieldError,
}

impl Dropped {
    fn incompatible(error: FieldError) -> Self {
        Self { reason: "IncompatibleFilters", error }
    }

    /// The same, seen from what holds it.
    pub(crate) fn within(self, at: &str) -> Self {
        Self { error: self.error.within(at), ..self }
    }
}

impl From<FieldError> for Dropped {
    fn from(error: FieldError) -> Self {
        Self { reason: "UnsupportedValue", error }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// What filters come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects<'a> {
    pub(crate) request: HeaderMutation,
    pub(crate) response: HeaderMutation,
    pub(crate) redirect: Option<&'a RequestRedirect>,
    /// Host that the backend sees.
    pub(crate) host: Option<String>,
    /// Path that the backend sees.
    pub(crate) path: Option<&'a PathModifier>,
    pub(crate) mirrors: Vec<&'a RequestMirror>,
    pub(crate) cors: Option<&'a CorsFilter>,
}

/// Types that cannot both stand in one list, and why.
const INCOMPATIBLE: [(&str, &str, &str); 2] = [
    ("RequestRedirect", "URLRewrite", "a request that is redirected reaches no backend"),
    ("RequestRedirect", "RequestMirror", "a request that is redirected is not sent on, so there is nothing to copy"),
];

/// Takes a list of filters together.
///
/// # Errors
/// The first filter that cannot be honoured, seen from what has the list.
pub(crate) fn collect(filters: &[HttpFilter]) -> Result<Effects<'_>, Dropped> {
    let mut effects = Effects::default();
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("filters[{index}]");
        if let Some(problem) = clash(filter, &filters[..index]) {
            return Err(Dropped::incompatible(FieldError::new("type", problem).within(&at)));
        }
        effects.take(filter).map_err(|error| error.within(&at))?;
    }
    Ok(effects)
}

/// Why a filter cannot stand behind those before it.
fn clash(filter: &HttpFilter, before: &[HttpFilter]) -> Option<String> {
    let type_ = filter.type_.as_str();
    let has = |wanted: &str| before.iter().any(|other| other.type_ == wanted);
    if type_ != "RequestMirror" && has(type_) {
        return Some(format!("`{type_}` stands twice in one rule"));
    }
    let other = |(one, two, why): (&'static str, &'static str, &'static str)| match type_ {
        type_ if type_ == one && has(two) => Some((two, why)),
        type_ if type_ == two && has(one) => Some((one, why)),
        _ => None,
    };
    let (other, why) = INCOMPATIBLE.into_iter().find_map(other)?;
    Some(format!("`{type_}` cannot stand beside `{other}`: {why}"))
}

impl<'a> Effects<'a> {
    fn take(&mut self, filter: &'a HttpFilter) -> Result<(), FieldError> {
        fn settings<'s, T>(settings: Option<&'s T>, field: &str) -> Result<&'s T, FieldError> {
            settings.ok_or_else(|| FieldError::new(field, "is missing"))
        }
        match filter.type_.as_str() {
            "RequestHeaderModifier" => {
                let modifier = settings(filter.request_header_modifier.as_ref(), "requestHeaderModifier")?;
                self.request = mutation(modifier).map_err(|e| e.within("requestHeaderModifier"))?;
            }
            "ResponseHeaderModifier" => {
                let modifier = settings(filter.response_header_modifier.as_ref(), "responseHeaderModifier")?;
                self.response = mutation(modifier).map_err(|e| e.within("responseHeaderModifier"))?;
            }
            "RequestRedirect" => {
                self.redirect = Some(settings(filter.request_redirect.as_ref(), "requestRedirect")?);
            }
            "URLRewrite" => {
                let rewrite = settings(filter.url_rewrite.as_ref(), "urlRewrite")?;
                self.host = rewrite.hostname.clone().filter(|host| !host.is_empty());
                self.path = rewrite.path.as_ref();
            }
            "RequestMirror" => self.mirrors.push(settings(filter.request_mirror.as_ref(), "requestMirror")?),
            "CORS" => self.cors = Some(settings(filter.cors.as_ref(), "cors")?),
            other => return Err(FieldError::new("type", format!("`{other}` is not supported"))),
        }
        Ok(())
    }

    /// The same, and then what a backend's own filters do.
    pub(crate) fn then(self, own: Self) -> Self {
        Self {
            request: compose(&self.request, &own.request),
            response: compose(&self.response, &own.response),
            redirect: own.redirect.or(self.redirect),
            host: own.host.or(self.host),
            path: own.path.or(self.path),
            mirrors: self.mirrors.into_iter().chain(own.mirrors).collect(),
            cors: own.cors.or(self.cors),
        }
    }
}

/// One change after another as one: what the second takes away, the first need not add.
pub(crate) fn compose(first: &HeaderMutation, second: &HeaderMutation) -> HeaderMutation {
    let mut remove = first.remove.clone();
    remove.extend(second.remove.iter().filter(|name| !first.remove.contains(name)).cloned());
    let kept = first.ops.iter().filter(|op| !second.remove.contains(&op.name));
    HeaderMutation { remove, ops: kept.chain(&second.ops).cloned().collect() }
}

/// Changes to headers.
///
/// # Errors
/// The field that cannot be honoured, seen from the modifier.
pub(crate) fn mutation(settings: &HeaderModifier) -> Result<HeaderMutation, FieldError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(remove: &[&str], ops: &[(&str, &str, bool)]) -> HeaderMutation {
        HeaderMutation {
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            ops: ops
                .iter()
                .map(|(name, value, append)| HeaderOp { name: (*name).into(), value: (*value).into(), append: *append })
                .collect(),
        }
    }

    #[test]
    fn two_changes_are_one() {
        let first = changes(&["a"], &[("b", "1", false), ("c", "1", true)]);
        let second = changes(&["a", "b"], &[("c", "2", true)]);
        assert_eq!(compose(&first, &second), changes(&["a", "b"], &[("c", "1", true), ("c", "2", true)]));
    }

    #[test]
    fn what_cannot_stand_together_says_why() {
        let filter = |type_: &str| HttpFilter { type_: type_.into(), ..HttpFilter::default() };
        let redirect = HttpFilter { request_redirect: Some(RequestRedirect::default()), ..filter("RequestRedirect") };
        let twice = collect(&[redirect.clone(), redirect.clone()]).unwrap_err();
        assert_eq!((twice.reason, twice.error.field.as_str()), ("IncompatibleFilters", "filters[1].type"));
        for other in ["URLRewrite", "RequestMirror"] {
            let error = collect(&[redirect.clone(), filter(other)]).unwrap_err();
            assert_eq!(error.reason, "IncompatibleFilters");
            assert!(error.to_string().contains("a request that is redirected"), "{error}");
        }
        assert_eq!(collect(&[filter("ExtensionRef")]).unwrap_err().reason, "UnsupportedValue");
    }
}
