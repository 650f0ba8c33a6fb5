//! The forms that some resources have, by who asks for them.

use weir_config::xds::{FEATURE_USAGE_ALS, FEATURE_VHDS};

/// What a client gets of the resources that have several forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Virtual hosts inside their RouteConfiguration: a stock Envoy.
    #[default]
    Inline,
    /// The same, and listeners that report usage: a node with the client feature `weir.dev/usage-als`.
    Reporting,
    /// Virtual hosts, each as a resource of its own: a node with the client feature `weir.dev/vhds`.
    Vhds,
}

impl Form {
    /// The form for a node with these client features. VHDS is what Weir's own proxy asks for, which
    /// counts for itself.
    pub fn of(features: &[String]) -> Self {
        let has = |feature: &str| features.iter().any(|other| other == feature);
        match (has(FEATURE_VHDS), has(FEATURE_USAGE_ALS)) {
            (true, _) => Self::Vhds,
            (false, true) => Self::Reporting,
            (false, false) => Self::Inline,
        }
    }

    /// How virtual hosts travel.
    pub(super) fn of_hosts(self) -> Self {
        match self {
            Self::Vhds => Self::Vhds,
            Self::Inline | Self::Reporting => Self::Inline,
        }
    }
}
