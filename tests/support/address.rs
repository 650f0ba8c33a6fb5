//! Loopback addresses of a test's own.
//!
//! All of 127.0.0.0/8 is the machine itself (on Linux), so a test that holds an address of its own
//! has every port of it: no two tests race for a port, and a restarted server finds its port free.

use std::net::{Ipv4Addr, TcpListener};

/// The port by which an address is held.
const LOCK: u16 = 4007;

/// An address that no other test has while this one holds it.
pub struct Address {
    ip: Ipv4Addr,
    _lock: TcpListener,
}

impl Address {
    /// Takes a free one.
    pub fn reserve() -> Self {
        let pid = std::process::id();
        for attempt in 0..10_000_u32 {
            let n = pid.wrapping_mul(2_654_435_761).wrapping_add(attempt.wrapping_mul(40_503));
            let [a, b, c, _] = n.to_be_bytes();
            let ip = Ipv4Addr::new(127, 64 | (a & 63), b, c.clamp(1, 254));

            if let Ok(lock) = TcpListener::bind((ip, LOCK)) {
                return Self { ip, _lock: lock };
            }
        }
        panic!("no address of 127.64.0.0/10 can be held: do other loopback addresses exist on this system?");
    }

    /// Where its backends listen. A stock API server takes no loopback address for an endpoint: with one (`make
    /// test-stock`) it is of 198.18.0.0/15, which is for such purposes (RFC 2544) and there leads to the machine itself.
    pub fn of_backends(ip: Ipv4Addr) -> Ipv4Addr {
        let [_, b, c, d] = ip.octets();
        let stock = ip.is_loopback() && std::env::var_os("WEIR_STOCK_API_SERVER").is_some();
        if stock { Ipv4Addr::new(198, 18 | (b & 1), c, d) } else { ip }
    }

    /// The address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}
