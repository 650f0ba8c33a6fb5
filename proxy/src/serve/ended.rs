//! Why connections of clients end, as far as they are counted.

/// Why a connection was refused before it had a filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its TLS handshake took too long.
    Timeout,
    /// The two sides cannot agree on TLS, or what came is none.
    Tls,
    /// No filter chain takes it.
    NoFilterChain,
    /// Its socket broke, or the client closed it.
    Broken,
}

impl Refusal {
    pub(super) const ALL: [Self; 4] = [Self::Timeout, Self::Tls, Self::NoFilterChain, Self::Broken];

    /// The value of the label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::NoFilterChain => "no_filter_chain",
            Self::Broken => "broken",
        }
    }
}

impl From<&std::io::Error> for Refusal {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::TimedOut => Self::Timeout,
            // rustls's, as tokio-rustls hands them on.
            ErrorKind::InvalidData => Self::Tls,
            ErrorKind::NotFound => Self::NoFilterChain,
            _ => Self::Broken,
        }
    }
}

/// Why a connection of HTTP/2 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it.
    Closed,
    /// Its socket broke.
    Broken,
    /// It had no stream for the idle timeout.
    Idle,
    /// The proxy drains, or the connection's filter chain is gone.
    Drained,
    /// A PING was not answered in time.
    Silent,
    /// Its preface was wrong, or not whole in time.
    Handshake,
    /// The client's frames are against the protocol.
    Protocol,
    /// Too many streams that were given up, or frames that mean nothing (ENHANCE_YOUR_CALM).
    Abuse,
}

impl End {
    pub(super) const ALL: [Self; 8] = [
        Self::Closed,
        Self::Broken,
        Self::Idle,
        Self::Drained,
        Self::Silent,
        Self::Handshake,
        Self::Protocol,
        Self::Abuse,
    ];

    /// The value of the label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Silent => "ping_timeout",
            Self::Handshake => "handshake",
            Self::Protocol => "protocol_error",
            Self::Abuse => "abuse",
        }
    }
}

impl From<&h2::Error> for End {
    fn from(error: &h2::Error) -> Self {
        match error.reason() {
            // The client said that it goes.
            Some(_) if error.is_remote() => Self::Closed,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::Abuse,
            Some(_) => Self::Protocol,
            None => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place_and_name() {
        for (at, reason) in End::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        for (at, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        let mut names: Vec<_> = End::ALL.iter().map(|end| end.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), End::ALL.len());
    }
}
