//! What every reader here uses: where it is in a message, and what it found wrong there.

use std::collections::HashMap;

use crate::FieldError;

/// How many problems of one resource are reported; more than that helps nobody.
const MOST_PROBLEMS: usize = 32;
/// How long a path or a problem may be, in bytes.
const MOST_TEXT: usize = 500;

/// A place in a message. It lies on the stack, so that a message without problems costs no text.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Item(&'a str, usize),
    Key(&'a str, &'a str),
}

impl<'a> At<'a> {
    /// The whole message.
    pub(super) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    /// A field of what is here.
    pub(super) fn field(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Field(name) }
    }

    /// An element of a list of what is here.
    pub(super) fn item(&'a self, name: &'a str, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Item(name, index) }
    }

    /// An entry of a map of what is here.
    pub(super) fn key(&'a self, name: &'a str, key: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Key(name, key) }
    }

    fn text(&self) -> String {
        let mut text = self.parent.map(At::text).unwrap_or_default();
        let (name, rest) = match self.step {
            Step::Root => return text,
            Step::Field(name) => (name, String::new()),
            Step::Item(name, index) => (name, format!("[{index}]")),
            Step::Key(name, key) => (name, format!("[{key:?}]")),
        };
        if !text.is_empty() {
            text.push('.');
        }
        // A field that Rust cannot name without `r#` (`match`) has no such prefix in the protocol.
        text.push_str(name.trim_start_matches("r#"));
        text.push_str(&rest);
        text
    }
}

/// Collects without room to spare: collected in place, values that are kept would keep the room of the
/// messages that they were read from, which are larger by far.
pub(super) fn fitting<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.collect();
    list.shrink_to_fit();
    list
}

/// The problems of one resource, in the order of its message.
#[derive(Default)]
pub(super) struct Problems(Vec<FieldError>);

impl Problems {
    /// Something is wrong at `at`.
    pub(super) fn add(&mut self, at: &At<'_>, problem: impl Into<String>) {
        self.push(FieldError::new(at.text(), problem));
    }

    /// The same, with what to do about it.
    pub(super) fn advise(&mut self, at: &At<'_>, problem: impl Into<String>, hint: impl Into<String>) {
        self.push(FieldError::new(at.text(), problem).hint(hint));
    }

    /// A field is set that changes what a proxy does and that Weir does not have.
    pub(super) fn unsupported(&mut self, at: &At<'_>) {
        self.add(at, "is not supported");
    }

    /// A field is missing.
    pub(super) fn missing(&mut self, at: &At<'_>) {
        self.add(at, "is required");
    }

    fn push(&mut self, mut error: FieldError) {
        // Texts quote what a peer sent, which may be long.
        for text in [&mut error.field, &mut error.problem] {
            if text.len() > MOST_TEXT {
                text.truncate(text.floor_char_boundary(MOST_TEXT));
                text.push_str("..");
            }
        }
        if self.0.len() < MOST_PROBLEMS {
            self.0.push(error);
        }
    }

    /// `value`, if nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ if self.0.is_empty() => Err(vec![FieldError::new("", "cannot be used")]),
            _ => Err(self.0),
        }
    }
}

/// Whether a field says anything that its absence would not.
pub(super) trait IsSet {
    /// See the trait.
    fn is_set(&self) -> bool;
}

impl<T> IsSet for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T> IsSet for Vec<T> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> IsSet for HashMap<K, V> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

macro_rules! is_set_unless_default {
    ($($type:ty),*) => { $(impl IsSet for $type {
        fn is_set(&self) -> bool { *self != <$type>::default() }
    })* };
}
is_set_unless_default!(String, bool, i32, u32, u64);

/// Takes a message apart, every field of it, so that a field which a newer crate brings does not
/// compile until somebody has decided what it means: `read` binds, `refuse` reports what is set,
/// `pass` ignores what only tunes or names.
macro_rules! fields {
    ($message:expr => $type:ident, $at:expr, $problems:expr;
     read $($read:ident)*; refuse $($refuse:ident)*; pass $($pass:ident)*;) => {
        #[allow(deprecated, reason = "what a peer may still send is looked at, deprecated or not")]
        let $type { $($read,)* $($refuse,)* $($pass: _,)* } = $message;
        $(if $crate::xds::read::IsSet::is_set(&$refuse) {
            $problems.unsupported(&$at.field(stringify!($refuse)));
        })*
    };
}
pub(super) use fields;
