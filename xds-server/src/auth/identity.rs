//! Identities, as values.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tonic::Status;
use weir_config::bootstrap::ServiceAccount;

use crate::scope::Role;

/// What a caller proved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Nothing: whoever can reach the port is trusted (`authentication.anonymous`).
    Anonymous,
    /// That it runs under this service account.
    ServiceAccount(ServiceAccount),
}

/// A proven principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// Until when it is proven; none: for as long as the process runs.
    pub expires: Option<SystemTime>,
}

/// Who opened a stream, what it may do, and word of its end.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub identity: Arc<Identity>,
    /// What it is to this server.
    pub role: Role,
    /// Cancelled when the identity expires or is revoked: the stream must end with UNAUTHENTICATED.
    pub ended: CancellationToken,
}

impl Caller {
    /// Who makes a request, as the [gate](super::gate) found out.
    ///
    /// # Errors
    /// UNAUTHENTICATED: it did not come through the gate.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        request.extensions().get().ok_or_else(|| Status::unauthenticated("nobody has found out who is calling"))
    }
}

/// `anonymous`, or `namespace/name`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::ServiceAccount(account) => account.fmt(f),
        }
    }
}
