//! Looks which release of the Gateway API the cluster's CRDs are of, for the status of GatewayClasses.
//!
//! Rights that it needs: `get` of those CRDs (`customresourcedefinitions.apiextensions.k8s.io`), by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use weir_config::kinds::Kind;
use weir_config::kinds::gateway::GATEWAY_GROUP;

use crate::apiserver::{ApiServer, Cause, Failure};
use crate::state::State;
use crate::status::bundle::{ANNOTATION, supported_version};

/// Between two looks: CRDs are upgraded seldom.
const EVERY: Duration = Duration::from_secs(60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(2);
/// After so many failures the status is written without.
const PATIENCE: u32 = 5;

/// Looks for ever.
pub(super) async fn keep(api: ApiServer, state: Arc<State>) {
    let mut failures = 0;
    loop {
        let wait = match look(&api).await {
            Ok(found) => {
                failures = 0;
                state.set_bundle(Some(supported_version(&found)));
                EVERY
            }
            Err(failure) => {
                failures += 1;
                let forbidden = matches!(failure.cause(), Cause::Forbidden | Cause::Unauthenticated);
                if failures == 1 && forbidden {
                    tracing::warn!(problem = %failure, "nobody knows of which release the Gateway API's CRDs are");
                }
                if forbidden || failures >= PATIENCE {
                    state.set_bundle(None);
                    EVERY
                } else {
                    RETRY
                }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Of each CRD that is installed, of those that Weir reads, the release that it names.
async fn look(api: &ApiServer) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let crds: Api<CustomResourceDefinition> = Api::all(api.client().clone());
    let mut found = BTreeMap::new();
    for kind in Kind::ALL.iter().filter(|kind| kind.group() == GATEWAY_GROUP) {
        let name = format!("{}.{GATEWAY_GROUP}", kind.plural());
        match api.ask(crds.get_metadata(&name)).await {
            Ok(crd) => {
                let version = crd.metadata.annotations.and_then(|mut all| all.remove(ANNOTATION));
                found.insert(name, version);
            }
            Err(failure) if failure.cause() == Cause::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}
