//! One document into an object.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::locate::Lines;
use super::split::Raw;
use super::unknown::{nearest, take_unknown};
use super::{Content, Document, Problem, explain::explain, identify, path};
use crate::FieldError;
use crate::kinds::gateway::{
    BackendTLSPolicy, GATEWAY_GROUP, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ListenerSet, ReferenceGrant,
    TCPRoute, TLSRoute, UDPRoute,
};
use crate::kinds::{
    GROUP, Kind, Object, ObjectKey, plan::Plan, tenant::Tenant, traffic_policy::TrafficPolicy, validate::validate,
};

/// Namespace of an object that names none, as with kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// Reads one document: itself, or the items of a `List`.
pub(super) fn document(raw: Raw<'_>) -> Vec<Document> {
    let mut value = match serde_saphyr::from_str_with_options::<Value>(raw.text, super::options()) {
        Ok(value) => value,
        Err(error) => return vec![unparsable(raw, &error)],
    };
    drop_nulls(&mut value);
    if let Some(items) = list_items(&mut value) {
        return list(raw, items);
    }
    if value.is_null() {
        return Vec::new();
    }
    let (key, read) = object(value);
    let content = match read {
        Ok(Some(object)) => Content::Object(object.shared()),
        Ok(None) => Content::Ignored,
        Err(errors) => Content::Bad(placed(raw, "", errors, &Lines::of(raw.text))),
    };
    vec![Document { line: raw.line, text: raw.text.into(), key, content }]
}

fn unparsable(raw: Raw<'_>, error: &serde_saphyr::Error) -> Document {
    let place = error.location();
    let line = place.and_then(|at| usize::try_from(at.line()).ok()).filter(|line| *line > 0);
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    // The place is told by the problem's line, in the file's count.
    let message = message.split(" at line ").next().unwrap_or(message);
    let problem = Problem {
        line: raw.line + line.unwrap_or(1) - 1,
        error: FieldError::new("", format!("is not valid YAML: {message}")),
    };
    // A last line that does not end may be cut off within a name.
    let whole = raw.text.rfind('\n').map_or("", |end| &raw.text[..end]);
    let key = resolve(&identify::outline(whole)).ok().flatten().and_then(|kind| key(kind, &identify::outline(whole)));
    Document { line: raw.line, text: raw.text.into(), key, content: Content::Bad(vec![problem]) }
}

fn placed(raw: Raw<'_>, within: &str, errors: Vec<FieldError>, lines: &Lines) -> Vec<Problem> {
    let line = |error: &FieldError| {
        let field = error.clone().within(within).field;
        raw.line + lines.line(&field).unwrap_or(1) - 1
    };
    let mut problems: Vec<_> = errors.into_iter().map(|error| Problem { line: line(&error), error }).collect();
    problems.sort();
    problems
}

/// The items of a `List`, as `kubectl get -o yaml` writes them.
fn list_items(value: &mut Value) -> Option<Vec<Value>> {
    let is_list = value["apiVersion"] == "v1" && value["kind"] == "List";
    match value.get_mut("items")? {
        Value::Array(items) if is_list => Some(std::mem::take(items)),
        _ => None,
    }
}

fn list(raw: Raw<'_>, items: Vec<Value>) -> Vec<Document> {
    let lines = Lines::of(raw.text);
    let read = |(index, item): (usize, Value)| {
        let at = path::item("items", index);
        let line = raw.line + lines.line(&at).unwrap_or(1) - 1;
        let text = item.to_string().into();
        let (key, read) = object(item);
        let content = match read {
            Ok(Some(object)) => Content::Object(object.shared()),
            Ok(None) => Content::Ignored,
            Err(errors) => Content::Bad(placed(raw, &at, errors, &lines)),
        };
        Document { line, text, key, content }
    };
    items.into_iter().enumerate().map(read).collect()
}

/// Absent and null are the same, as in Kubernetes.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

type Read = Result<Option<Object>, Vec<FieldError>>;

/// The identity of the object, where it can be read, and the object; none of a kind that is not read.
fn object(mut value: Value) -> (Option<ObjectKey>, Read) {
    let kind = match resolve(&value) {
        Ok(Some(kind)) => kind,
        Ok(None) => return (None, Ok(None)),
        Err(errors) => return (None, Err(errors)),
    };
    let key = key(kind, &value);
    let mut errors = take_unknown(kind, &mut value);
    match typed(kind, value) {
        Ok(mut object) => {
            complete(&mut object);
            errors.extend(validate(&object));
            (key, if errors.is_empty() { Ok(Some(object)) } else { Err(errors) })
        }
        Err(error) => {
            errors.push(error);
            (key, Err(errors))
        }
    }
}

/// The kind of an object; none where Weir does not read it.
fn resolve(value: &Value) -> Result<Option<Kind>, Vec<FieldError>> {
    if !value.is_object() {
        return Err(vec![FieldError::new("", "is not an object").hint("a manifest has `apiVersion` and `kind`")]);
    }
    let text = |name: &str| match &value[name] {
        Value::String(text) if !text.is_empty() => Ok(text.as_str()),
        Value::Null => Err(FieldError::new(name, "is required")),
        _ => Err(FieldError::new(name, "must be text")),
    };
    let (api_version, name) = match (text("apiVersion"), text("kind")) {
        (Ok(api_version), Ok(name)) => (api_version, name),
        (api_version, name) => return Err([api_version.err(), name.err()].into_iter().flatten().collect()),
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let of_group = || Kind::ALL.iter().copied().filter(|kind| kind.group() == group);
    if let Some(kind) = of_group().find(|kind| kind.name() == name) {
        if kind.versions().contains(&version) {
            return Ok(Some(kind));
        }
        let newest = kind.versions()[0];
        let write = if group.is_empty() { newest.to_owned() } else { format!("{group}/{newest}") };
        let error = FieldError::new("apiVersion", format!("`{version}` is not a version of {name} that is read"));
        return Err(vec![error.hint(format!("write `{write}`"))]);
    }
    unknown_kind(group, name, of_group().map(Kind::name))
}

/// A kind that is not read: an error where it is likely meant to be one that is.
fn unknown_kind<'a>(
    group: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Result<Option<Kind>, Vec<FieldError>> {
    let near = nearest(name, known);
    if near.is_none() && group != GROUP && group != GATEWAY_GROUP {
        return match [GROUP, GATEWAY_GROUP].into_iter().find(|ours| strsim::damerau_levenshtein(group, ours) <= 2) {
            Some(ours) if Kind::ALL.iter().any(|kind| kind.group() == ours && kind.name() == name) => {
                let error = FieldError::new("apiVersion", format!("unknown group `{group}`"));
                Err(vec![error.hint(format!("did you mean `{ours}`?"))])
            }
            _ => Ok(None),
        };
    }
    let group = if group.is_empty() { "the core group" } else { group };
    let error = FieldError::new("kind", format!("unknown kind `{name}` of {group}"));
    Err(vec![match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }])
}

fn key(kind: Kind, value: &Value) -> Option<ObjectKey> {
    let name = value["metadata"]["name"].as_str().filter(|name| !name.is_empty())?;
    let namespace = match &value["metadata"]["namespace"] {
        _ if !kind.namespaced() => "",
        Value::Null => DEFAULT_NAMESPACE,
        Value::String(namespace) => namespace,
        _ => return None,
    };
    Some(ObjectKey::new(kind, namespace, name))
}

pub(super) fn typed(kind: Kind, value: Value) -> Result<Object, FieldError> {
    fn read<T: DeserializeOwned + Into<Object>>(kind: Kind, value: Value) -> Result<Object, FieldError> {
        serde_path_to_error::deserialize::<_, T>(value)
            .map(Into::into)
            .map_err(|error| explain(kind, &path::of_error(error.path()), &error.inner().to_string()))
    }
    match kind {
        Kind::Namespace => read::<Namespace>(kind, value),
        Kind::Service => read::<Service>(kind, value),
        Kind::Secret => read::<Secret>(kind, value),
        Kind::ConfigMap => read::<ConfigMap>(kind, value),
        Kind::EndpointSlice => read::<EndpointSlice>(kind, value),
        Kind::GatewayClass => read::<GatewayClass>(kind, value),
        Kind::Gateway => read::<Gateway>(kind, value),
        Kind::ListenerSet => read::<ListenerSet>(kind, value),
        Kind::HTTPRoute => read::<HTTPRoute>(kind, value),
        Kind::GRPCRoute => read::<GRPCRoute>(kind, value),
        Kind::TLSRoute => read::<TLSRoute>(kind, value),
        Kind::TCPRoute => read::<TCPRoute>(kind, value),
        Kind::UDPRoute => read::<UDPRoute>(kind, value),
        Kind::ReferenceGrant => read::<ReferenceGrant>(kind, value),
        Kind::BackendTLSPolicy => read::<BackendTLSPolicy>(kind, value),
        Kind::Plan => read::<Plan>(kind, value),
        Kind::Tenant => read::<Tenant>(kind, value),
        Kind::TrafficPolicy => read::<TrafficPolicy>(kind, value),
    }
}

/// What kubectl and the API server fill in.
pub(super) fn complete(object: &mut Object) {
    let namespaced = object.kind().namespaced();
    let namespace = &mut object.metadata_mut().namespace;
    if !namespaced {
        *namespace = None;
    } else if namespace.is_none() {
        *namespace = Some(DEFAULT_NAMESPACE.to_owned());
    }
    if let Object::Secret(secret) = object
        && let Some(texts) = secret.string_data.take()
    {
        let data = secret.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(name, text)| (name, k8s_openapi::ByteString(text.into_bytes()))));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
