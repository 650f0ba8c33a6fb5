//! What passes today, and must not fail again.

/// Tests of the suite that pass, with Weir's edge and the suite's namespaces as `system`.
pub const FLOOR: &[&str] = &["HTTPRouteSimpleSameNamespace"];
