//! The token by which this proxy proves who it is.

use std::fs;
use std::path::PathBuf;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Adds the token to each call, read anew: it rotates on disk.
#[derive(Clone, Debug)]
pub struct Bearer {
    file: Option<PathBuf>,
}

impl Bearer {
    /// Of this file; none: no token is sent.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let Some(file) = &self.file else { return Ok(request) };
        let unusable = |problem: String| Status::unavailable(format!("token file {}: {problem}", file.display()));
        let token = fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        // What is wrong with it is not repeated: it is a secret.
        let mut value: MetadataValue<_> =
            format!("Bearer {}", token.trim()).parse().map_err(|_| unusable("it holds no token".into()))?;
        if token.trim().is_empty() {
            return Err(unusable("it is empty".into()));
        }
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}
