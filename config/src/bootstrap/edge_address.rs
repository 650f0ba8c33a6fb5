//! Where clients reach an edge.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address of an edge: `192.0.2.1`, a network of them `192.0.2.0/24`, or a hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeAddress {
    /// An IP address.
    Ip(IpAddr),
    /// Every address whose first so many bits are these.
    Network(IpAddr, u8),
    /// A hostname.
    Hostname(String),
}

impl EdgeAddress {
    /// Whether `ip` is this address, or of this network.
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self, ip) {
            (Self::Ip(own), _) => *own == ip,
            (Self::Network(IpAddr::V4(net), bits), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (Self::Network(IpAddr::V6(net), bits), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for EdgeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("`{text}` is no IP address, network (192.0.2.0/24) or hostname");
        if let Some((net, bits)) = text.split_once('/') {
            let net: IpAddr = net.parse().map_err(|_| problem())?;
            let most = if net.is_ipv4() { 32 } else { 128 };
            let bits: u8 = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(problem)?;
            return Ok(Self::Network(net, bits));
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let right = (1..=253).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['.', '-']);
        if right { Ok(Self::Hostname(text.to_owned())) } else { Err(problem()) }
    }
}

impl fmt::Display for EdgeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Network(net, bits) => write!(f, "{net}/{bits}"),
            Self::Hostname(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_hold_what_they_say() {
        let read = |text: &str| text.parse::<EdgeAddress>();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(read("10.1.0.0/16").unwrap().holds(ip("10.1.255.1")));
        assert!(!read("10.1.0.0/16").unwrap().holds(ip("10.2.0.1")));
        assert!(read("0.0.0.0/0").unwrap().holds(ip("10.2.0.1")));
        assert!(read("fd00::/8").unwrap().holds(ip("fd12::1")) && !read("fd00::/8").unwrap().holds(ip("10.0.0.1")));
        assert_eq!(read("lb.example.com").unwrap().to_string(), "lb.example.com");
        for bad in ["", "10.0.0.0/33", "Lb.example", "a b", "x/8", "-a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
