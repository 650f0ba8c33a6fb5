//! Access log: one JSON line an exchange.
