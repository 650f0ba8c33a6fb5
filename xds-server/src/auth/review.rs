//! Asking the API server whose a token is.

use weir_config::bootstrap::ServiceAccount;

/// Who is asked.
#[tonic::async_trait]
pub trait Reviewer: Send + Sync {
    /// Whose `token` is, if it is meant for `audience`.
    ///
    /// # Errors
    /// Why nobody could say.
    async fn review(&self, token: &str, audience: &str) -> Result<Verdict, String>;
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This account's.
    Account(ServiceAccount),
    /// Nobody's that has a part here; the text says why.
    No(String),
}
