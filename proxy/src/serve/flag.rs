//! Why an exchange ended as it did, in Envoy's terms (`%RESPONSE_FLAGS%`).

/// A response flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flag {
    /// `-`: nothing to say.
    #[default]
    None,
    /// `NR`: no route.
    NoRoute,
    /// `RL`: rate limited.
    RateLimited,
    /// `NC`: the cluster is not known.
    NoCluster,
    /// `UH`: the cluster has no endpoint that takes requests.
    NoHealthyUpstream,
    /// `UF`: no endpoint could be reached.
    UpstreamConnectionFailure,
    /// `UC`: the upstream connection ended before the response did.
    UpstreamConnectionTermination,
    /// `UR`: the endpoint reset the stream.
    UpstreamRemoteReset,
    /// `UPE`: the upstream's bytes are not HTTP.
    UpstreamProtocolError,
    /// `UT`: the route's timeout passed.
    UpstreamRequestTimeout,
    /// `SI`: no byte moved for too long.
    StreamIdleTimeout,
    /// `DC`: the client went away.
    DownstreamConnectionTermination,
    /// `DPE`: the client's bytes are not HTTP.
    DownstreamProtocolError,
    /// `DT`: the proxy ended, or the listener's chain was removed, before the exchange did.
    Drained,
}

impl Flag {
    /// Every flag, in the order of this enumeration.
    pub(crate) const ALL: [Flag; 14] = [
        Flag::None,
        Flag::NoRoute,
        Flag::RateLimited,
        Flag::NoCluster,
        Flag::NoHealthyUpstream,
        Flag::UpstreamConnectionFailure,
        Flag::UpstreamConnectionTermination,
        Flag::UpstreamRemoteReset,
        Flag::UpstreamProtocolError,
        Flag::UpstreamRequestTimeout,
        Flag::StreamIdleTimeout,
        Flag::DownstreamConnectionTermination,
        Flag::DownstreamProtocolError,
        Flag::Drained,
    ];

    /// Envoy's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Flag::None => "-",
            Flag::NoRoute => "NR",
            Flag::RateLimited => "RL",
            Flag::NoCluster => "NC",
            Flag::NoHealthyUpstream => "UH",
            Flag::UpstreamConnectionFailure => "UF",
            Flag::UpstreamConnectionTermination => "UC",
            Flag::UpstreamRemoteReset => "UR",
            Flag::UpstreamProtocolError => "UPE",
            Flag::UpstreamRequestTimeout => "UT",
            Flag::StreamIdleTimeout => "SI",
            Flag::DownstreamConnectionTermination => "DC",
            Flag::DownstreamProtocolError => "DPE",
            Flag::Drained => "DT",
        }
    }
}
