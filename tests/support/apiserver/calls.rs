//! What a request to an API server asks for, in the terms of RBAC.

use std::fmt;

/// A request, as a rule of a ClusterRole would permit it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name of the kind; empty: no resource, and `name` is the path.
    pub resource: String,
    /// `status`, `token`, ...; or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name of the one object, or empty.
    pub name: String,
}

impl Call {
    /// Reads a request's method and target.
    pub fn read(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next() {
            Some("api") => Some(String::new()),
            Some("apis") => parts.next().map(str::to_owned),
            _ => None,
        };
        let version = parts.next();
        let (Some(group), Some(_), Some(first)) = (group, version, parts.next()) else {
            return Self { verb: verb(method, true, query), name: path.to_owned(), ..Self::default() };
        };
        let rest: Vec<&str> = parts.collect();
        let owned = |index: usize| rest.get(index).map(|part| (*part).to_owned()).unwrap_or_default();
        let (namespace, resource, name, subresource) = match (first, rest.len()) {
            ("namespaces", 2..) if !matches!(rest[1], "status" | "finalize") => {
                (owned(0), owned(1), owned(2), owned(3))
            }
            _ => (String::new(), first.to_owned(), owned(0), owned(1)),
        };
        Self { verb: verb(method, !name.is_empty(), query), group, resource, subresource, namespace, name }
    }

    /// Whether it asks for `resource` with `verb`.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }
}

fn verb(method: &str, named: bool, query: &str) -> &'static str {
    let watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    match (method, named) {
        ("GET", _) if watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "unknown",
    }
}

/// `watch secrets`, `patch gateways.gateway.networking.k8s.io/status web/gw`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resource.is_empty() {
            return write!(f, "{} {}", self.verb, self.name);
        }
        write!(f, "{} {}", self.verb, self.resource)?;
        for (separator, part) in [(".", &self.group), ("/", &self.subresource), (" ", &self.namespace)] {
            if !part.is_empty() {
                write!(f, "{separator}{part}")?;
            }
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

#[test]
fn requests_are_read_as_rbac_reads_them() {
    let shown = |method, target| Call::read(method, target).to_string();
    assert_eq!(shown("GET", "/api/v1/secrets?limit=500&watch=true"), "watch secrets");
    assert_eq!(shown("GET", "/api/v1/namespaces"), "list namespaces");
    assert_eq!(shown("GET", "/api/v1/namespaces/shop"), "get namespaces/shop");
    assert_eq!(shown("GET", "/api/v1/namespaces/shop/secrets?limit=1"), "list secrets shop");
    let status = "/apis/gateway.networking.k8s.io/v1/namespaces/web/gateways/gw/status?force=true";
    assert_eq!(shown("PATCH", status), "patch gateways.gateway.networking.k8s.io/status web/gw");
    assert_eq!(
        shown("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
        "create tokenreviews.authentication.k8s.io"
    );
    assert_eq!(shown("GET", "/version"), "get /version");
}
