//! What becomes of a path: Envoy's `prefix_rewrite`, `regex_rewrite` and `path_redirect`.

use weir_config::FieldError;
use weir_config::model::PathRewrite;
use weir_config::model::pattern::Rewrite;

/// A rewrite, compiled.
#[derive(Clone, Debug)]
pub enum PathTable {
    /// The whole path.
    Full(Box<str>),
    /// What the route's path or prefix matched; of an expression, the whole path.
    Prefix(Box<str>),
    /// What the expression finds.
    Regex(Rewrite),
}

impl PathTable {
    /// Compiles.
    ///
    /// # Errors
    /// A text holds what no target may hold, or the expression or its substitution is none.
    pub fn new(model: &PathRewrite) -> Result<Self, FieldError> {
        Ok(match model {
            PathRewrite::Full(path) => PathTable::Full(visible(path)?.into()),
            PathRewrite::Prefix(prefix) => {
                PathTable::Prefix(visible(prefix).map_err(|error| error.within("prefix_rewrite"))?.into())
            }
            PathRewrite::Regex { pattern, substitution } => {
                visible(substitution).map_err(|error| error.within("regex_rewrite.substitution"))?;
                PathTable::Regex(Rewrite::new(pattern, substitution).map_err(|error| error.within("regex_rewrite"))?)
            }
        })
    }

    /// Writes `path` (without query), of which the route matched the first `matched` bytes, rewritten, after what
    /// `out` holds. What would be no path is made one: a slash goes before it; of an empty one nothing is
    /// rewritten, as at Envoy.
    pub fn write(&self, path: &str, matched: usize, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            PathTable::Full(whole) => out.extend_from_slice(whole.as_bytes()),
            PathTable::Prefix(prefix) => {
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(path.as_bytes().get(matched..).unwrap_or_default());
            }
            PathTable::Regex(rewrite) => rewrite.apply(path.as_bytes(), out),
        }
        match out.get(start) {
            Some(b'/') => {}
            Some(_) => out.insert(start, b'/'),
            None => out.extend_from_slice(path.as_bytes()),
        }
    }
}

/// A text that may stand in a target: whatever it holds goes to the endpoint as it is.
fn visible(text: &str) -> Result<&str, FieldError> {
    match text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        true => Ok(text),
        false => Err(FieldError::new("", "holds what no path does").hint("escape it, as in %20")),
    }
}
