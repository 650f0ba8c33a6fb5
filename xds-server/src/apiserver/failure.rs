//! What went wrong between the server and its API server, told apart and put in words.

use std::fmt;
use std::time::Duration;

use kube::core::Status;

/// Kinds of failures, as callers act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// 401: the server's own credentials are not accepted.
    Unauthenticated,
    /// 403: the server has no permission.
    Forbidden,
    /// 404: the object, or its whole kind, does not exist.
    NotFound,
    /// 409: somebody else was faster, or owns the field.
    Conflict,
    /// 410: what was asked for was too long ago.
    Gone,
    /// 400, 422: the API server does not take what it was sent.
    Invalid,
    /// 429, 503: it asks to be left alone for a while.
    Busy,
    /// Any other answer that is an error.
    Failed,
    /// There is no connection, or it ended early.
    Unreachable,
    /// No answer within the time allowed.
    Slow,
    /// An answer that cannot be read.
    Unreadable,
}

/// A request that failed. Its text holds nothing of what was asked for or answered but the API server's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    cause: Cause,
    text: String,
    retry_after: Option<Duration>,
}

impl Failure {
    /// What `error` means.
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::answered(status),
            kube::Error::SerdeError(error) => Self::unreadable(error),
            // Of text: an error would quote what it cannot read.
            kube::Error::FromUtf8(_) => Self::unreadable(&"not UTF-8"),
            kube::Error::BuildRequest(error) => Self::new(Cause::Invalid, format!("the request is invalid: {error}")),
            kube::Error::Auth(error) => {
                Self::new(Cause::Unauthenticated, format!("the server's own credentials cannot be used: {error}"))
            }
            error => Self::unreachable(error),
        }
    }

    /// An answer that says that it is an error.
    pub fn answered(status: &Status) -> Self {
        let (cause, words) = match (status.code, status.reason.as_str()) {
            (401, _) => (Cause::Unauthenticated, "the API server does not accept the server's credentials"),
            (403, _) => (Cause::Forbidden, "the API server forbids it; grant it to the server's service account"),
            (404, _) => (Cause::NotFound, "the API server has no such thing"),
            (409, _) => (Cause::Conflict, "somebody else changed it at the same time, or owns it"),
            (410, _) | (_, "Expired" | "Gone") => (Cause::Gone, "that was too long ago"),
            (400 | 422, _) => (Cause::Invalid, "the API server does not take it"),
            (429 | 503, _) => (Cause::Busy, "the API server is busy, or not ready"),
            (504, _) | (_, "Timeout") => (Cause::Slow, "the API server gave up waiting"),
            _ => (Cause::Failed, "the API server failed"),
        };
        let said = match (status.message.trim(), status.code) {
            ("", code) => format!("HTTP status {code}"),
            (message, _) => message.to_owned(),
        };
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let retry_after = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
        Self { retry_after, ..Self::new(cause, format!("{words} ({said})")) }
    }

    /// No answer within `deadline`.
    pub fn slow(deadline: Duration) -> Self {
        Self::new(Cause::Slow, format!("the API server did not answer within {} s", deadline.as_secs()))
    }

    /// An answer that cannot be read. `error` must not quote it.
    pub fn unreadable(error: &impl fmt::Display) -> Self {
        Self::new(Cause::Unreadable, format!("the API server's answer cannot be read: {error}"))
    }

    /// No connection, or one that ended early.
    pub fn unreachable(error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            source = inner.source();
        }
        Self::new(Cause::Unreachable, format!("the API server cannot be reached: {reason}"))
    }

    /// Which kind of failure it is.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// How long the API server asks to wait before the next try; none: it says nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    fn new(cause: Cause, text: String) -> Self {
        Self { cause, text, retry_after: None }
    }
}

/// A sentence for people, without its full stop.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::{Cause, Failure};

    #[test]
    fn answers_are_told_apart_by_their_code() {
        let cause = |code, reason: &str| {
            let status = Status::failure("no", reason).with_code(code);
            Failure::of(&kube::Error::Api(status.boxed())).cause()
        };
        assert_eq!(cause(401, "Unauthorized"), Cause::Unauthenticated);
        assert_eq!(cause(403, "Forbidden"), Cause::Forbidden);
        assert_eq!(cause(404, "NotFound"), Cause::NotFound);
        assert_eq!(cause(409, "Conflict"), Cause::Conflict);
        assert_eq!(cause(410, "Expired"), Cause::Gone);
        assert_eq!(cause(500, "Expired"), Cause::Gone);
        assert_eq!(cause(422, "Invalid"), Cause::Invalid);
        assert_eq!(cause(429, "TooManyRequests"), Cause::Busy);
        assert_eq!(cause(500, "InternalError"), Cause::Failed);
    }

    #[test]
    fn the_words_of_the_api_server_are_passed_on() {
        let message = r#"secrets is forbidden: User "weir" cannot list resource "secrets""#;
        let failure = Failure::answered(&Status::failure(message, "Forbidden").with_code(403));
        let told = format!("the API server forbids it; grant it to the server's service account ({message})");
        assert_eq!(failure.to_string(), told);
        assert_eq!(
            Failure::answered(&Status::failure("", "").with_code(502)).to_string(),
            "the API server failed (HTTP status 502)"
        );
    }

    #[test]
    fn a_text_that_cannot_be_read_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"sesame\"").unwrap_err();
        let told = Failure::of(&kube::Error::SerdeError(error)).to_string();
        assert!(told.starts_with("the API server's answer cannot be read"), "{told}");
    }
}
