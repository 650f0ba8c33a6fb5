//! Metrics, and amounts by metric.

use std::ops::{Index, IndexMut};

use super::v1;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Metric {
    /// Exchanges with a parsed head, refused ones too.
    Requests,
    /// Bytes read from the client's connection above TLS: start line, headers, framing, body.
    RequestBytes,
    /// Bytes written to it.
    ResponseBytes,
    /// Milliseconds from the head's first byte to the response's last.
    ExecutionMs,
    /// 429 and 402, a part of `Requests`.
    LimitedRequests,
    /// 401 and 403, a part of `Requests`.
    DeniedRequests,
    /// Bytes from the client through an upgraded connection.
    TunnelRequestBytes,
    /// Bytes to the client through an upgraded connection.
    TunnelResponseBytes,
}

impl Metric {
    /// Every metric, in the order of [`Units`].
    pub const ALL: [Metric; 8] = [
        Metric::Requests,
        Metric::RequestBytes,
        Metric::ResponseBytes,
        Metric::ExecutionMs,
        Metric::LimitedRequests,
        Metric::DeniedRequests,
        Metric::TunnelRequestBytes,
        Metric::TunnelResponseBytes,
    ];

    /// Its name in usage exports and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Requests => "requests",
            Metric::RequestBytes => "request_bytes",
            Metric::ResponseBytes => "response_bytes",
            Metric::ExecutionMs => "execution_ms",
            Metric::LimitedRequests => "limited_requests",
            Metric::DeniedRequests => "denied_requests",
            Metric::TunnelRequestBytes => "tunnel_request_bytes",
            Metric::TunnelResponseBytes => "tunnel_response_bytes",
        }
    }
}

/// Amounts of one tenant, one for each metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Units(pub [u64; Metric::ALL.len()]);

impl Units {
    /// Nothing.
    pub const ZERO: Units = Units([0; Metric::ALL.len()]);

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Adds, metric by metric; the greatest `u64` is never passed.
    pub fn add(&mut self, other: &Units) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// What `self` has more than `other`, metric by metric; nothing where it has less.
    pub fn since(&self, other: &Units) -> Units {
        Units(std::array::from_fn(|n| self.0[n].saturating_sub(other.0[n])))
    }

    /// The greater of both, metric by metric.
    pub fn max(&self, other: &Units) -> Units {
        Units(std::array::from_fn(|n| self.0[n].max(other.0[n])))
    }

    /// Amounts with their metrics.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, u64)> + '_ {
        Metric::ALL.into_iter().zip(self.0)
    }
}

impl Index<Metric> for Units {
    type Output = u64;

    fn index(&self, metric: Metric) -> &u64 {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for Units {
    fn index_mut(&mut self, metric: Metric) -> &mut u64 {
        &mut self.0[metric as usize]
    }
}

impl From<&v1::Units> for Units {
    fn from(m: &v1::Units) -> Self {
        Units([
            m.requests,
            m.request_bytes,
            m.response_bytes,
            m.execution_ms,
            m.limited_requests,
            m.denied_requests,
            m.tunnel_request_bytes,
            m.tunnel_response_bytes,
        ])
    }
}

impl From<&Units> for v1::Units {
    fn from(units: &Units) -> Self {
        let [
            requests,
            request_bytes,
            response_bytes,
            execution_ms,
            limited_requests,
            denied_requests,
            tunnel_request_bytes,
            tunnel_response_bytes,
        ] = units.0;
        Self {
            requests,
            request_bytes,
            response_bytes,
            execution_ms,
            limited_requests,
            denied_requests,
            tunnel_request_bytes,
            tunnel_response_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, Units, v1};

    #[test]
    fn each_metric_has_its_own_field_of_the_message() {
        for metric in Metric::ALL {
            let mut units = Units::ZERO;
            units[metric] = 7;
            assert_eq!(Units::from(&v1::Units::from(&units)), units, "{}", metric.name());
        }
        let all = Units([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Units::from(&v1::Units::from(&all)), all);
    }

    #[test]
    fn amounts_never_wrap() {
        let mut sum = Units([u64::MAX; 8]);
        sum.add(&Units([1; 8]));
        assert_eq!(sum, Units([u64::MAX; 8]));
        assert_eq!(Units::ZERO.since(&sum), Units::ZERO);
    }
}
