//! The door with an API server that says what a test wants, and clocks that a test sets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use weir_config::bootstrap::ServiceAccount;

use super::super::refusal::Answer;
use super::*;
use crate::scope::Role;

const SECOND: Duration = Duration::from_secs(1);

/// Says what it is told, and counts.
struct Scripted {
    says: Mutex<Result<Verdict, String>>,
    asked: AtomicUsize,
}

#[tonic::async_trait]
impl Reviewer for Scripted {
    async fn review(&self, _: &str, audience: &str) -> Result<Verdict, String> {
        assert_eq!(audience, "weir");
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.says.lock().unwrap().clone()
    }
}

struct Place {
    door: Arc<Door>,
    reviewer: Arc<Scripted>,
    now: Arc<Mutex<Now>>,
}

impl Place {
    fn new() -> Self {
        let start = Now { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000), mono: Instant::now() };
        let now = Arc::new(Mutex::new(start));
        let reviewer = Arc::new(Scripted { says: Mutex::new(Ok(yes())), asked: AtomicUsize::new(0) });
        let clock: Clock = {
            let now = Arc::clone(&now);
            Arc::new(move || *now.lock().unwrap())
        };
        let bootstrap = ServerBootstrap::parse("source: {kubernetes: {}}").unwrap();
        let asked: Arc<dyn Reviewer> = reviewer.clone();
        let door =
            Arc::new(Door::new(&bootstrap, None, Some(asked), Arc::new(Metrics::new().unwrap()), clock).unwrap());
        Self { door, reviewer, now }
    }

    fn says(&self, answer: Result<Verdict, String>) {
        *self.reviewer.says.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.reviewer.asked.load(Ordering::Relaxed)
    }

    /// A token that lives for `lives` from now on; whoever signed it, the API server is asked.
    fn token(&self, lives: u64) -> String {
        let now = self.now.lock().unwrap().wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://cluster.test", "sub": "system:serviceaccount:weir-system:weir-edge", "aud": ["weir"],
            "exp": now + lives,
        });
        encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(b"x")).unwrap()
    }

    async fn try_with(&self, token: &str) -> Result<Admitted, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        self.door.admit(&headers, &Peer::default()).await
    }

    /// So much time passes, and what is due is asked.
    async fn pass(&self, time: Duration) {
        let later = self.now.lock().unwrap().plus(time);
        *self.now.lock().unwrap() = later;
        self.door.tend();
        // What was asked is answered at once: a few turns are enough for it to arrive.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

fn yes() -> Verdict {
    Verdict::Account(ServiceAccount { namespace: "weir-system".into(), name: "weir-edge".into() })
}

#[tokio::test]
async fn a_token_is_reviewed_once_for_streams_that_open_together() {
    let place = Place::new();
    let token = place.token(3600);
    let first = place.try_with(&token).await.unwrap();
    let second = place.try_with(&token).await.unwrap();
    assert_eq!((place.asked(), &first.caller.role), (1, &Role::Edge("edge".into())));
    assert!(Arc::ptr_eq(&first.caller.identity, &second.caller.identity));
}

#[tokio::test]
async fn a_no_is_a_refusal_and_is_not_asked_for_again_at_once() {
    let place = Place::new();
    place.says(Ok(Verdict::No("bound to a pod that is gone".into())));
    let token = place.token(3600);
    for _ in 0..10 {
        let refusal = place.try_with(&token).await.unwrap_err();
        assert!(refusal.answer() == Answer::Unauthenticated && refusal.to_string().contains("pod that is gone"));
    }
    assert_eq!(place.asked(), 1);
    place.says(Ok(yes()));
    place.pass(5 * SECOND).await;
    assert!(place.try_with(&token).await.is_ok());
}

#[tokio::test]
async fn nobody_is_asked_about_what_would_not_be_let_in_anyway() {
    let place = Place::new();
    assert_eq!(place.try_with("noise").await.unwrap_err().kind(), "malformed");
    let over = place.token(1);
    place.pass(SECOND).await;
    assert_eq!(place.try_with(&over).await.unwrap_err().kind(), "expired");
    assert_eq!(place.asked(), 0);
}

#[tokio::test]
async fn the_api_servers_word_and_the_tokens_own_must_be_the_same() {
    let place = Place::new();
    place.says(Ok(Verdict::Account("acme/default".parse().unwrap())));
    assert_eq!(place.try_with(&place.token(3600)).await.unwrap_err().kind(), "not_vouched");
}

#[tokio::test]
async fn a_token_that_is_taken_back_ends_its_streams() {
    let place = Place::new();
    let stream = place.try_with(&place.token(3600)).await.unwrap();
    place.says(Ok(Verdict::No("deleted".into())));
    place.pass(76 * SECOND).await;
    assert!(stream.caller.ended.is_cancelled());
}

#[tokio::test]
async fn while_nobody_answers_open_streams_stay_and_new_ones_shall_come_again() {
    let place = Place::new();
    let token = place.token(3600);
    let stream = place.try_with(&token).await.unwrap();
    place.says(Err("connection refused".into()));
    for _ in 0..10 {
        place.pass(76 * SECOND).await;
    }
    assert!(place.asked() > 5 && !stream.caller.ended.is_cancelled());
    let refusal = place.try_with(&token).await.unwrap_err();
    assert!(refusal.answer() == Answer::Unavailable && refusal.to_string().contains("connection refused"));

    // The last answer stands until the token expires, and no longer.
    place.pass(Duration::from_secs(3600)).await;
    assert!(stream.caller.ended.is_cancelled());
}
