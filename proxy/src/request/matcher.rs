//! Whether a request matches a route: path, method, headers, query. Compiled from the model.

use std::sync::Arc;

use regex::bytes::Regex;
use weir_config::FieldError;
use weir_config::model::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch, pattern};

use super::head::{Head, Headers};

/// Every part must match.
#[derive(Clone, Debug)]
pub struct Matcher {
    path: Path,
    /// Method, headers and query: most routes have none.
    rest: Option<Box<Rest>>,
}

#[derive(Clone, Debug)]
enum Path {
    Exact(Box<str>),
    Prefix(Box<str>),
    SegmentPrefix(Box<str>),
    Regex(Arc<Regex>),
}

#[derive(Clone, Debug)]
struct Rest {
    method: Option<Box<str>>,
    headers: Box<[Header]>,
    query: Box<[Query]>,
}

#[derive(Clone, Debug)]
struct Header {
    name: Box<str>,
    invert: bool,
    value: Option<Text>,
}

#[derive(Clone, Debug)]
struct Query {
    name: Box<str>,
    value: Option<Text>,
}

/// A [`StringMatch`], compiled.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Regex(Arc<Regex>),
}

impl Matcher {
    /// Compiles.
    ///
    /// # Errors
    /// Every expression that does not compile, by its path in the `RouteMatch` message.
    pub fn new(model: &RouteMatch) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let path = Path::new(&model.path).map_err(|e| errors.push(e)).ok();
        // `:method` is the first header matcher on the wire, where there is one.
        let first = usize::from(model.method.is_some());
        let mut headers = Vec::new();
        for (at, header) in (first..).zip(&model.headers) {
            match Header::new(header) {
                Ok(header) => headers.push(header),
                Err(error) => errors.push(error.within(&format!("headers[{at}].string_match"))),
            }
        }
        let mut query = Vec::new();
        for (at, parameter) in model.query.iter().enumerate() {
            match Query::new(parameter) {
                Ok(parameter) => query.push(parameter),
                Err(error) => errors.push(error.within(&format!("query_parameters[{at}].string_match"))),
            }
        }
        let method = model.method.as_deref().map(Box::from);
        let rest = (method.is_some() || !headers.is_empty() || !query.is_empty())
            .then(|| Box::new(Rest { method, headers: headers.into(), query: query.into() }));
        match path {
            Some(path) if errors.is_empty() => Ok(Self { path, rest }),
            _ => Err(errors),
        }
    }

    /// How many of the first bytes of `path`, which it matched, it names: those that `prefix_rewrite` replaces. An
    /// expression names all.
    pub fn named(&self, path: &str) -> usize {
        match &self.path {
            Path::Exact(text) | Path::Prefix(text) | Path::SegmentPrefix(text) => text.len(),
            Path::Regex(_) => path.len(),
        }
    }

    /// Whether the request matches.
    pub fn matches<H: Headers + ?Sized>(&self, head: &Head<'_, H>) -> bool {
        self.path.matches(head.path) && self.rest.as_ref().is_none_or(|rest| rest.matches(head))
    }
}

impl Path {
    fn new(model: &PathMatch) -> Result<Self, FieldError> {
        Ok(match model {
            PathMatch::Exact(path) => Path::Exact(path.as_str().into()),
            PathMatch::Prefix(path) => Path::Prefix(path.as_str().into()),
            PathMatch::SegmentPrefix(path) => Path::SegmentPrefix(path.as_str().into()),
            PathMatch::Regex(pattern) => Path::Regex(regex(pattern).map_err(|e| e.within("safe_regex"))?),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Path::Exact(whole) => **whole == *path,
            Path::Prefix(prefix) => path.starts_with(&**prefix),
            Path::SegmentPrefix(prefix) => {
                path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Path::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

impl Rest {
    fn matches<H: Headers + ?Sized>(&self, head: &Head<'_, H>) -> bool {
        self.method.as_deref().is_none_or(|method| method == head.method)
            && self.headers.iter().all(|header| header.matches(head.headers))
            && self.query.iter().all(|parameter| parameter.matches(head.query))
    }
}

impl Header {
    fn new(model: &HeaderMatch) -> Result<Self, FieldError> {
        let value = model.value.as_ref().map(Text::new).transpose()?;
        Ok(Self { name: model.name.as_str().into(), invert: model.invert, value })
    }

    /// As Envoy 1.40: each value (line) is looked at by itself and one that matches is enough;
    /// `invert` turns that round. A header that is not there has no value to match or not to
    /// match, so only "is not there" is true of it.
    fn matches<H: Headers + ?Sized>(&self, headers: &H) -> bool {
        let mut values = headers.values(&self.name).peekable();
        let there = values.peek().is_some();
        match &self.value {
            None => there != self.invert,
            Some(text) => there && values.any(|value| text.matches(value)) != self.invert,
        }
    }
}

impl Query {
    fn new(model: &QueryMatch) -> Result<Self, FieldError> {
        let value = model.value.as_ref().map(Text::new).transpose()?;
        Ok(Self { name: model.name.as_str().into(), value })
    }

    /// The first value counts, as it was written: nothing is decoded.
    fn matches(&self, query: Option<&str>) -> bool {
        let found = query.into_iter().flat_map(|q| q.split('&')).find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == &*self.name).then_some(value)
        });
        match (found, &self.value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(value), Some(text)) => text.matches(value.as_bytes()),
        }
    }
}

impl Text {
    /// Compiles.
    pub(super) fn new(model: &StringMatch) -> Result<Self, FieldError> {
        Ok(match model {
            StringMatch::Exact(text) => Text::Exact(text.as_str().into()),
            StringMatch::Prefix(text) => Text::Prefix(text.as_str().into()),
            StringMatch::Suffix(text) => Text::Suffix(text.as_str().into()),
            StringMatch::Contains(text) => Text::Contains(text.as_str().into()),
            StringMatch::Regex(pattern) => Text::Regex(regex(pattern).map_err(|e| e.within("safe_regex"))?),
        })
    }

    /// Whether a value matches.
    pub(super) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Text::Exact(text) => text.as_bytes() == value,
            Text::Prefix(text) => value.starts_with(text.as_bytes()),
            Text::Suffix(text) => value.ends_with(text.as_bytes()),
            Text::Contains(text) => contains(value, text.as_bytes()),
            Text::Regex(regex) => regex.is_match(value),
        }
    }
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    part.is_empty() || value.windows(part.len()).any(|window| window == part)
}

/// [`pattern::regex`], with its errors at the `regex` field.
///
/// # Errors
/// It does not parse, or grows too large.
pub fn regex(text: &str) -> Result<Arc<Regex>, FieldError> {
    pattern::regex(text).map_err(|error| error.within("regex"))
}
