//! The forms that some resources have, by who asks for them.

use weir_config::xds::{
    FEATURE_SEPARATE_STREAMS, FEATURE_USAGE_ALS, FEATURE_VHDS, FEATURE_VHDS_ON_DEMAND, Sources, Style,
};

use super::mode::Mode;

/// What a client gets of the resources that have several forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Form {
    /// How virtual hosts travel.
    pub hosts: Hosts,
    /// How resources are written.
    pub style: Style,
}

/// How virtual hosts travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hosts {
    /// Inside their RouteConfiguration: a stock Envoy.
    #[default]
    Inline,
    /// Each as a resource of its own, all that there are: a delta stream of a node with the client feature
    /// `weir.dev/vhds`.
    Each,
    /// Each as a resource of its own, once it is asked for: a delta stream of a node with the client feature
    /// `weir.dev/vhds-on-demand`.
    OnDemand,
}

impl Form {
    /// The form of the resources as they are stored, which Weir's proxy gets.
    pub const STORED: Self =
        Self { hosts: Hosts::Each, style: Style { reporting: false, on_demand: false, sources: Sources::Ads } };

    /// The form on a stream of a node with these client features. Weir's own proxy asks for VHDS, and counts for
    /// itself. Virtual hosts by themselves know no state of the world.
    pub fn of(features: &[String], mode: Mode) -> Self {
        let has = |feature: &str| features.iter().any(|other| other == feature);
        let delta = mode.is_delta();
        if has(FEATURE_VHDS) {
            return Self { hosts: if delta { Hosts::Each } else { Hosts::Inline }, style: Style::default() };
        }
        let on_demand = has(FEATURE_VHDS_ON_DEMAND);
        let sources = match (has(FEATURE_SEPARATE_STREAMS) && mode.alone, delta) {
            (false, _) => Sources::Ads,
            (true, true) => Sources::Delta,
            (true, false) => Sources::World,
        };
        Self {
            hosts: if on_demand && delta { Hosts::OnDemand } else { Hosts::Inline },
            style: Style { reporting: has(FEATURE_USAGE_ALS), on_demand, sources },
        }
    }

    /// Whether virtual hosts are inside their RouteConfiguration.
    pub fn is_inline(self) -> bool {
        self.hosts == Hosts::Inline
    }
}
