//! One request to a receiver. Blocking: to be called where that is allowed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rustls_pki_types::CertificateDer;
use ureq::http::{StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::answer::{Answer, judge};
use super::make::Event;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are kept for people.
const MAX_TEXT: u64 = 500;

/// A receiver.
#[derive(Clone, Debug)]
pub struct Receiver {
    agent: ureq::Agent,
    url: String,
    token_file: Option<PathBuf>,
}

impl Receiver {
    /// The receiver at `url`. For `https://` the certificates that this machine trusts are read now
    /// (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    ///
    /// # Errors
    /// No trusted certificate can be read.
    pub fn new(url: &str, token_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
        let config = if url.starts_with("https:") { config.tls_config(tls()?) } else { config };
        Ok(Self { agent: config.build().new_agent(), url: url.to_owned(), token_file })
    }

    /// Sends events, and says what came of it, also in words.
    pub fn send(&self, events: &[Event], now_ms: i64) -> (Answer, String) {
        self.try_send(events, now_ms).unwrap_or_else(|error| (Answer::Again(None), format!("{error:#}")))
    }

    fn try_send(&self, events: &[Event], now_ms: i64) -> anyhow::Result<(Answer, String)> {
        let body = serde_json::to_vec(events)?;
        let mut request = self.agent.post(&self.url).header(header::CONTENT_TYPE, "application/cloudevents-batch+json");
        if let Some(file) = &self.token_file {
            // Read each time: tokens are renewed in place.
            let token =
                fs::read_to_string(file).with_context(|| format!("cannot read the token {}", file.display()))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let mut response = request.send(&body[..])?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let answer = judge(status.as_u16(), retry_after, now_ms);
        let text = match answer {
            Answer::Taken => String::new(),
            _ => {
                response.body_mut().with_config().limit(MAX_TEXT).lossy_utf8(true).read_to_string().unwrap_or_default()
            }
        };
        Ok((answer, describe(status, &text)))
    }
}

/// Trusted certificates of this machine.
fn tls() -> anyhow::Result<TlsConfig> {
    let found =
        rustls_native_certs::load_native_certs().context("cannot read the certificates that this machine trusts")?;
    anyhow::ensure!(!found.is_empty(), "this machine trusts no certificate (Debian: apt-get install ca-certificates)");
    let own = |der: CertificateDer<'static>| Certificate::from_der(&der).to_owned();
    let roots = RootCerts::new_with_certs(&found.into_iter().map(own).collect::<Vec<_>>());
    Ok(TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots).build())
}

/// An answer in words: one line.
fn describe(status: StatusCode, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT as usize).collect();
    format!("{status} {}", text.trim()).trim_end().to_owned()
}
