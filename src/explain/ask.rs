//! Where it is known: a server, or a directory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use weir_xds_server::explain::{Question, Scene, Traffic, scene};
use weir_xds_server::translate::World;
use weir_xds_server::watch::directory::read_once;

use crate::check::Unassigned;

/// Where a server's admin endpoint is, unless it is said.
const SERVER: &str = "http://127.0.0.1:18001";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MOST_BYTES: u64 = 64 << 20;

/// What a directory of manifests would do. Documents that cannot be used are reported and left out.
pub(super) fn directory(dir: &Path, unassigned: Unassigned, question: &Question) -> anyhow::Result<Scene> {
    let batch = read_once(dir)?;
    for finding in &batch.findings {
        eprintln!("weir: {finding}");
    }
    let mut world = World::new(unassigned.settings());
    world.apply(&batch.events);
    Ok(scene(&world, question))
}

/// What a server does.
pub(super) fn server(url: Option<&str>, question: &Question) -> anyhow::Result<Scene> {
    let url = format!("{}/v1/explain", url.unwrap_or(SERVER).trim_end_matches('/'));
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
    let mut query = vec![("host", question.host.clone()), ("tls", question.tls.to_string())];
    // A server of an older version knows requests alone, and refuses what it does not know.
    query.extend((question.traffic != Traffic::Requests).then(|| ("traffic", question.traffic.name().to_owned())));
    query.extend(question.sni.iter().map(|sni| ("sni", sni.clone())));
    query.extend(question.port.map(|port| ("port", port.to_string())));
    query.extend(question.gateway.iter().map(|gateway| ("gateway", gateway.clone())));
    let mut answer = agent.get(&url).query_pairs(query).call().with_context(|| {
        format!(
            "no answer from {url}: is the server running, and is that its admin endpoint? (--server URL, or --dir DIR)"
        )
    })?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string()?;
    if status != 200 {
        bail!("{url} answered {status}: {}", text.trim().chars().take(500).collect::<String>());
    }
    serde_json::from_str(&text).context("this explains nothing; is it a server of another version?")
}
