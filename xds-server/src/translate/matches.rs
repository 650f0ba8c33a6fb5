//! `HTTPRouteMatch` to [`RouteMatch`].

use weir_config::FieldError;
use weir_config::kinds::gateway::{HttpPathMatch, HttpRouteMatch, HttpValueMatch};
use weir_config::model::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch, pattern};

/// Translates one match of a rule.
///
/// # Errors
/// The first field that cannot be used, seen from the match.
pub(crate) fn translate(matches: &HttpRouteMatch) -> Result<RouteMatch, FieldError> {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for (index, header) in matches.headers.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        let value = value(header).map_err(|e| e.within(&format!("headers[{index}]")))?;
        // Of entries with an equivalent name only the first counts (HTTPHeaderMatch).
        if headers.iter().all(|other| other.name != name) {
            headers.push(HeaderMatch { name, invert: false, value: Some(value) });
        }
    }
    let mut query: Vec<QueryMatch> = Vec::new();
    for (index, parameter) in matches.query_params.iter().enumerate() {
        let value = value(parameter).map_err(|e| e.within(&format!("queryParams[{index}]")))?;
        if query.iter().all(|other| other.name != parameter.name) {
            query.push(QueryMatch { name: parameter.name.clone(), value: Some(value) });
        }
    }
    let path = path(matches.path.as_ref()).map_err(|e| e.within("path"))?;
    Ok(RouteMatch { path, method: matches.method.clone(), headers, query, fraction: None })
}

fn path(path: Option<&HttpPathMatch>) -> Result<PathMatch, FieldError> {
    let (kind, value) = match path {
        Some(path) => (path.type_.as_deref().unwrap_or("PathPrefix"), path.value.as_deref().unwrap_or("/")),
        None => ("PathPrefix", "/"),
    };
    if kind != "RegularExpression" && !value.starts_with('/') {
        return Err(FieldError::new("value", format!("`{value}` does not begin with `/`")));
    }
    match kind {
        "Exact" => Ok(PathMatch::Exact(value.to_owned())),
        "PathPrefix" => Ok(match value.trim_end_matches('/') {
            "" => PathMatch::Prefix("/".into()),
            prefix => PathMatch::SegmentPrefix(prefix.to_owned()),
        }),
        "RegularExpression" => Ok(PathMatch::Regex(regex(value)?)),
        other => Err(FieldError::new("type", format!("`{other}` is not supported"))),
    }
}

fn value(matches: &HttpValueMatch) -> Result<StringMatch, FieldError> {
    if matches.name.is_empty() {
        return Err(FieldError::new("name", "must not be empty"));
    }
    match matches.type_.as_deref().unwrap_or("Exact") {
        "Exact" => Ok(StringMatch::Exact(matches.value.clone())),
        "RegularExpression" => Ok(StringMatch::Regex(regex(&matches.value)?)),
        other => Err(FieldError::new("type", format!("`{other}` is not supported"))),
    }
}

fn regex(text: &str) -> Result<String, FieldError> {
    pattern::regex(text).map(|_| text.to_owned()).map_err(|error| error.within("value"))
}
