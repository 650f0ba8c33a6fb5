//! What is watched, and how it is asked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_config::bootstrap::Kubernetes;
use weir_config::kinds::Kind;

/// Objects in one answer of a list.
const PAGE: u32 = 500;
/// Of ConfigMaps, which may be large, most of it not read.
const PAGE_OF_CONFIG_MAPS: u32 = 100;

/// One watch: a kind, of the whole cluster or of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
}

/// Every watch that the settings ask for.
pub(crate) fn targets(settings: &Kubernetes) -> Vec<Target> {
    let one = |kind| vec![Target { kind, namespace: None }];
    let of = |kind: &Kind| match (kind, &settings.secret_namespaces) {
        (Kind::Secret, Some(namespaces)) => {
            let namespaces: BTreeSet<&String> = namespaces.iter().collect();
            namespaces.into_iter().map(|one| Target { kind: *kind, namespace: Some(one.clone()) }).collect()
        }
        _ => one(*kind),
    };
    Kind::ALL.iter().flat_map(of).collect()
}

impl Target {
    /// Path and query of a page of the list. `whole`: all in one page, for a server that loses its place between.
    pub(crate) fn list(&self, version: &str, next: Option<&str>, whole: bool) -> String {
        let mut target = format!("{}?{}", self.path(version), self.selector());
        if !whole {
            let page = if self.kind == Kind::ConfigMap { PAGE_OF_CONFIG_MAPS } else { PAGE };
            let _ = write!(target, "limit={page}");
        }
        if let Some(next) = next {
            let _ = write!(target, "&continue={}", encoded(next));
        }
        target
    }

    /// Path and query of a watch from `since`, which the API server is asked to end after `seconds`.
    pub(crate) fn watch(&self, version: &str, since: &str, seconds: u32) -> String {
        let (path, selector) = (self.path(version), self.selector());
        let since = encoded(since);
        format!("{path}?{selector}watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds={seconds}")
    }

    /// What is accepted as an answer to a list (`list`) or a watch. Of Namespaces only metadata is read.
    pub(crate) fn accept(&self, list: bool) -> &'static str {
        match (self.kind, list) {
            (Kind::Namespace, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (Kind::Namespace, false) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            _ => "application/json",
        }
    }

    fn path(&self, version: &str) -> String {
        let group = self.kind.group();
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let plural = self.kind.plural();
        match &self.namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{plural}", encoded(namespace)),
            None => format!("{root}/{plural}"),
        }
    }

    /// Which objects of the kind are wanted at all.
    fn selector(&self) -> &'static str {
        match self.kind {
            Kind::Secret => "fieldSelector=type%3Dkubernetes.io%2Ftls&",
            Kind::EndpointSlice => "labelSelector=kubernetes.io%2Fservice-name&",
            _ => "",
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_asked_for_by_type_and_namespace() {
        let settings =
            Kubernetes { secret_namespaces: Some(vec!["b".into(), "a".into(), "b".into()]), ..Kubernetes::default() };
        let secrets: Vec<String> = targets(&settings)
            .iter()
            .filter(|target| target.kind == Kind::Secret)
            .map(|target| target.list("v1", None, false))
            .collect();
        let asked = |namespace: &str| {
            format!("/api/v1/namespaces/{namespace}/secrets?fieldSelector=type%3Dkubernetes.io%2Ftls&limit=500")
        };
        assert_eq!(secrets, [asked("a"), asked("b")]);
        assert_eq!(targets(&Kubernetes::default()).len(), Kind::ALL.len());
    }

    #[test]
    fn what_an_api_server_said_goes_back_encoded() {
        let target = Target { kind: Kind::HTTPRoute, namespace: None };
        let path = "/apis/gateway.networking.k8s.io/v1/httproutes";
        assert_eq!(target.list("v1", Some("a=&b"), false), format!("{path}?limit=500&continue=a%3D%26b"));
        let watch = target.watch("v1", "7", 300);
        assert_eq!(watch, format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300"));
    }
}
