//! Admin endpoint of the proxy, with names that operators know from Envoy.
