//! Who opened a stream.

use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::auth::{Caller, Principal};
use crate::scope::Role;

/// Who opened a stream.
pub(super) struct Client {
    pub(super) role: Role,
    pub(super) principal: Principal,
    /// Cancelled when its identity ends.
    pub(super) ended: CancellationToken,
    pub(super) peer: String,
}

impl Client {
    /// What the caller is.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let peer = request.remote_addr().map(|address| address.to_string()).unwrap_or_default();
        match Caller::of(request)? {
            Caller { role: Role::Operator, .. } => Err(no_discovery()),
            Caller { identity, role, ended } => {
                Ok(Self { role: role.clone(), principal: identity.principal.clone(), ended: ended.clone(), peer })
            }
        }
    }
}

/// What an operator hears who asks for resources.
pub(super) fn no_discovery() -> Status {
    Status::permission_denied(
        "an operator may see what proxies have (client status discovery), and gets nothing itself",
    )
}
