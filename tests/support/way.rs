//! The ways by which an Envoy can take its configuration, beside the one that `weir bootstrap envoy` writes.

use serde_json::{Value, json};

/// Another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// State of the world, all types on one stream.
    World,
    /// A delta stream for each type, each cluster's endpoints and each secret.
    Streams,
    /// The same in state of the world.
    WorldStreams,
    /// Delta, and virtual hosts when a request first names them.
    OnDemand,
}

impl Way {
    /// What `weir bootstrap envoy` is asked for.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::OnDemand => &["--on-demand"],
            Self::World | Self::Streams | Self::WorldStreams => &[],
        }
    }

    /// Its bootstrap, changed to go this way.
    pub fn take(self, mut bootstrap: Value) -> Value {
        match self {
            Self::World => bootstrap["dynamic_resources"]["ads_config"]["api_type"] = "GRPC".into(),
            Self::Streams => separate(&mut bootstrap, "DELTA_GRPC"),
            Self::WorldStreams => separate(&mut bootstrap, "GRPC"),
            Self::OnDemand => {}
        }
        bootstrap
    }
}

/// The same server, with no stream of all types.
fn separate(bootstrap: &mut Value, api_type: &str) {
    bootstrap["node"]["client_features"].as_array_mut().unwrap().push("weir.dev/separate-streams".into());
    let ads = bootstrap["dynamic_resources"].as_object_mut().unwrap().remove("ads_config").unwrap();
    let mut stream = ads.clone();
    stream["api_type"] = api_type.into();
    for kind in ["cds_config", "lds_config"] {
        bootstrap["dynamic_resources"][kind] = json!({"resource_api_version": "V3", "api_config_source": stream});
    }
}
