//! The one form in which a bad value is reported.

use std::fmt;

/// A value that cannot be used: which field holds it, what is wrong with it, and what to do.
///
/// `field` is a path in the reader's own notation: `spec.rules[0].matches[1].path.value` in an
/// object, `virtual_hosts[2].routes[0].route.timeout` in an xDS message. An empty path is the
/// whole object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct FieldError {
    /// Path of the field, outermost name first; list places as `[n]`.
    pub field: String,
    /// What is wrong, as a sentence without its full stop.
    pub problem: String,
    /// What to do about it, when that is known.
    pub hint: Option<String>,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), hint: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error one level further out: `a` seen from `b` is `b.a`, and `[0]` is `b[0]`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        let joint = if self.field.is_empty() || self.field.starts_with('[') || parent.is_empty() { "" } else { "." };
        self.field = format!("{parent}{joint}{}", self.field);
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FieldError;

    #[test]
    fn paths_grow_outwards() {
        let error = FieldError::new("value", "must not be empty").within("[1]").within("matches").within("spec");
        assert_eq!(error.field, "spec.matches[1].value");
        assert_eq!(error.hint("write `/`").to_string(), "spec.matches[1].value: must not be empty (write `/`)");
    }
}
