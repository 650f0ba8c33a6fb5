//! Asking the API server whose a token is.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::PostParams;
use weir_config::bootstrap::ServiceAccount;

use super::token::account_of;
use crate::apiserver::ApiServer;

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

/// The API server of a cluster, asked by TokenReview.
#[derive(Clone)]
pub struct TokenReviews(ApiServer);

impl TokenReviews {
    /// Asks this one.
    pub fn new(api: ApiServer) -> Self {
        Self(api)
    }
}

#[tonic::async_trait]
impl Reviewer for TokenReviews {
    async fn review(&self, token: &str, audience: &str) -> Result<Verdict, String> {
        let question = TokenReview {
            spec: TokenReviewSpec { audiences: Some(vec![audience.to_owned()]), token: token.to_owned() },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.0.client().clone());
        let parameters = PostParams::default();
        match self.0.ask(api.create(&parameters, &question)).await {
            Ok(answer) => Ok(verdict(answer.status.unwrap_or_default(), token, audience)),
            Err(failure) => Err(without(token, &failure.to_string())),
        }
    }
}

/// What an answer says of `token`.
fn verdict(status: TokenReviewStatus, token: &str, audience: &str) -> Verdict {
    if status.authenticated != Some(true) {
        let why = status.error.unwrap_or_else(|| "it is not authenticated".into());
        return Verdict::No(without(token, &why));
    }
    // An API server that knows nothing of audiences lists none: then the token is its own, and not ours.
    if !status.audiences.unwrap_or_default().iter().any(|one| one == audience) {
        return Verdict::No(format!("it is not meant for `{audience}`"));
    }
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    match account_of(&user) {
        Some(account) => Verdict::Account(account),
        None => Verdict::No(format!("user {user:?} is no service account")),
    }
}

/// A text of the API server's, without the token, whatever it repeats.
fn without(token: &str, text: &str) -> String {
    text.replace(token, "(the token)")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn yes(user: &str, audiences: Option<&[&str]>) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: audiences.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            user: Some(UserInfo { username: Some(user.into()), ..UserInfo::default() }),
            error: None,
        }
    }

    #[test]
    fn only_a_yes_for_our_audience_about_a_service_account_counts() {
        const EDGE: &str = "system:serviceaccount:weir-system:weir-edge";
        let is_yes = |status| matches!(verdict(status, "t", "weir"), Verdict::Account(_));
        assert_eq!(
            verdict(yes(EDGE, Some(&["other", "weir"])), "t", "weir"),
            Verdict::Account("weir-system/weir-edge".parse().unwrap())
        );
        assert!(!is_yes(yes(EDGE, Some(&["kubernetes"]))));
        assert!(!is_yes(yes(EDGE, Some(&[]))));
        assert!(!is_yes(yes(EDGE, None)), "an API server that does not know audiences");
        assert!(!is_yes(yes("system:admin", Some(&["weir"]))));
        assert!(!is_yes(TokenReviewStatus { authenticated: Some(false), ..yes(EDGE, Some(&["weir"])) }));
        assert!(!is_yes(TokenReviewStatus { authenticated: None, ..yes(EDGE, Some(&["weir"])) }));
        assert!(!is_yes(TokenReviewStatus::default()));
    }

    #[test]
    fn what_the_api_server_says_is_told_without_the_token() {
        let status =
            TokenReviewStatus { error: Some("[invalid bearer token: a.b.c is old]".into()), ..Default::default() };
        assert_eq!(verdict(status, "a.b.c", "weir"), Verdict::No("[invalid bearer token: (the token) is old]".into()));
    }
}
