//! Kubernetes quantities (`10Mi`, `1500`, `2k`, `100m`) as exact numbers.

use serde::{Deserialize, Serialize};

/// A quantity as it was written; [`Quantity::value`] is its number. It may be written as a string
/// or as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Quantity(pub String);
