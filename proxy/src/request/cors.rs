//! Who may read a response from another origin, answered as Envoy's `cors` filter does (Fetch standard, section 3.3).

use weir_config::FieldError;
use weir_config::model::{Cors, HeaderMutation, HeaderOp};

use super::head::{Head, Headers};
use super::matcher::Text;

/// A policy, compiled.
#[derive(Clone, Debug)]
pub struct CorsTable {
    origins: Box<[Text]>,
    /// Whether some pattern takes `*`: then every origin is one of those.
    any: bool,
    methods: Box<str>,
    headers: Box<str>,
    expose: Box<str>,
    max_age: Option<Box<str>>,
    credentials: bool,
}

/// What a policy says of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on, and its response gets these headers.
    GoesOn(HeaderMutation),
    /// It is a preflight, which is answered with these headers.
    Preflight(HeaderMutation),
}

impl CorsTable {
    /// Compiles.
    ///
    /// # Errors
    /// Every expression that does not compile, by its path in the `CorsPolicy` message.
    pub fn new(model: &Cors) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut origins = Vec::with_capacity(model.origins.len());
        for (at, origin) in model.origins.iter().enumerate() {
            match Text::new(origin) {
                Ok(text) => origins.push(text),
                Err(error) => errors.push(error.within(&format!("allow_origin_string_match[{at}]"))),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            any: origins.iter().any(|origin| origin.matches(b"*")),
            origins: origins.into(),
            methods: model.methods.join(", ").into(),
            headers: model.headers.join(", ").into(),
            expose: model.expose.join(", ").into(),
            max_age: model.max_age.map(|seconds| seconds.to_string().into()),
            credentials: model.credentials,
        })
    }

    /// Judges a request; none where it is not of another origin, or of one that may not read: that one goes on as it
    /// is, and whoever asked keeps the response from it.
    pub fn judge<H: Headers + ?Sized>(&self, head: &Head<'_, H>) -> Option<Judgement> {
        let origin = head.headers.values("origin").next().filter(|origin| !origin.is_empty())?;
        if !self.any && !self.origins.iter().any(|pattern| pattern.matches(origin)) {
            return None;
        }
        // What is no text is no origin.
        let origin = std::str::from_utf8(origin).ok()?;
        let mut changes = HeaderMutation::default();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                changes.ops.push(HeaderOp { name: name.to_owned(), value: value.to_owned(), append: false });
            }
        };
        set("access-control-allow-origin", origin);
        set("access-control-allow-credentials", if self.credentials { "true" } else { "" });
        set("access-control-expose-headers", &self.expose);
        let asked = |name| head.headers.values(name).next().and_then(|value| std::str::from_utf8(value).ok());
        let method = asked("access-control-request-method").filter(|method| !method.is_empty());
        let Some(method) = method.filter(|_| head.method == "OPTIONS") else {
            return Some(Judgement::GoesOn(changes));
        };
        let wanted = asked("access-control-request-headers").unwrap_or_default();
        set("access-control-allow-methods", if &*self.methods == "*" { method } else { &self.methods });
        set("access-control-allow-headers", if &*self.headers == "*" { wanted } else { &self.headers });
        set("access-control-max-age", self.max_age.as_deref().unwrap_or_default());
        Some(Judgement::Preflight(changes))
    }
}
