//! The client of the API server.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use weir_config::bootstrap::Kubernetes;

use super::Failure;

/// How long a connection to the API server may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a request that is no watch may take, from first to last byte.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How long an answer may stand still. A slow API server sends something in this time; a dead connection never.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a watch may stand still. API servers send a bookmark every minute or so; where one does not, a quiet
/// watch is begun anew from where it was, which costs nothing.
const WATCH_SILENCE: Duration = Duration::from_secs(120);

/// The API server of the cluster that a server reads. Cheap to clone; credentials are read again when they rotate.
///
/// Nothing is tried again by itself: whoever asks knows how long an answer is worth waiting for.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    watches: Client,
    url: String,
}

impl ApiServer {
    /// Reads how to reach the API server; connects when first asked. Call it within a tokio runtime.
    ///
    /// # Errors
    /// A kubeconfig that cannot be read or has no such context; no kubeconfig and no pod's service account.
    pub async fn open(settings: &Kubernetes) -> anyhow::Result<Self> {
        let config = config(settings).await?;
        let url = config.cluster_url.to_string();
        let with_silence = |silence| {
            let mut config = config.clone();
            config.read_timeout = Some(silence);
            Client::try_from(config).with_context(|| format!("cannot make a client of the API server at {url}"))
        };
        Ok(Self { client: with_silence(SILENCE)?, watches: with_silence(WATCH_SILENCE)?, url: url.clone() })
    }

    /// The client for everything but watches: an answer that stands still for 30 s fails.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client for watches, which may stand still for two minutes.
    pub fn watches(&self) -> &Client {
        &self.watches
    }

    /// Address of the API server, for people.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The answer to a request made with [`ApiServer::client`], or why there is none, after 60 s at the latest.
    ///
    /// # Errors
    /// What the API server or the way to it said.
    pub async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(answer) => answer.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::slow(DEADLINE)),
        }
    }
}

async fn config(settings: &Kubernetes) -> anyhow::Result<Config> {
    let mut config = match &settings.kubeconfig {
        Some(file) => {
            let problem = || format!("cannot use the kubeconfig {} (source.kubernetes.kubeconfig)", file.display());
            let kubeconfig = Kubeconfig::read_from(file).with_context(problem)?;
            let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(problem)?
        }
        None => Config::incluster().context(
            "this is no pod with a service account; outside of the cluster give source.kubernetes.kubeconfig",
        )?,
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(SILENCE);
    // Else the time for which a pooled connection lay idle counts as silence of the next answer.
    config.reset_reader_on_write = true;
    // It would wait for as long as a `Retry-After` says, up to a quarter of an hour, without a word.
    config.default_retry = false;
    let agent = HeaderValue::from_static(concat!("weir-server/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::Cause;

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_said_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let settings = Kubernetes { kubeconfig: Some(file.clone()), ..Kubernetes::default() };
        let text = async |settings: &Kubernetes| format!("{:#}", ApiServer::open(settings).await.err().unwrap());
        assert!(text(&settings).await.contains(&format!("cannot use the kubeconfig {}", file.display())));

        let kubeconfig = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "a", "user": {}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}"#;
        std::fs::write(&file, kubeconfig).unwrap();
        assert_eq!(ApiServer::open(&settings).await.unwrap().url(), "http://127.0.0.1:1/");
        let other = Kubernetes { context: Some("b".into()), ..settings };
        let text = text(&other).await;
        assert!(text.contains("context: b"), "{text}");
    }

    #[tokio::test]
    async fn an_api_server_that_is_not_there_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let kubeconfig = format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{{"name": "a", "cluster": {{"server": "http://{address}"}}}}],
            "contexts": [{{"name": "a", "context": {{"cluster": "a", "user": "a"}}}}],
            "users": [{{"name": "a", "user": {{}}}}]}}"#
        );
        std::fs::write(&file, kubeconfig).unwrap();
        let settings = Kubernetes { kubeconfig: Some(file), ..Kubernetes::default() };
        let api = ApiServer::open(&settings).await.unwrap();
        let failure = api.ask(api.client().apiserver_version()).await.unwrap_err();
        assert_eq!(failure.cause(), Cause::Unreachable, "{failure}");
        assert!(failure.to_string().contains("cannot be reached"), "{failure}");
    }
}
