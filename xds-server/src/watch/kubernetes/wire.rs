//! The API server's bytes: a page of a list, a line of a watch.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use weir_config::FieldError;
use weir_config::kinds::manifest::served;
use weir_config::kinds::{Kind, Object, ObjectKey};

use super::trim::trim;
use crate::apiserver::Failure;
use crate::seen::{Digest, digest_of, has_status};

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// The version of the whole list.
    pub(crate) version: String,
    /// Where the next page begins; none: this is the last.
    pub(crate) next: Option<String>,
}

/// A line of a watch.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// An object is new or different.
    Put(Item),
    /// An object is gone, as of this version.
    Gone(ObjectKey, String),
    /// Nothing happened up to this version.
    Bookmark(String),
    /// The watch has failed.
    Failed(Failure),
    /// Something that later API servers may say.
    Unknown,
}

/// An object and its version.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: ObjectKey,
    pub(crate) version: String,
    /// Without what is never read of it; none: it cannot be used.
    pub(crate) object: Option<Arc<Object>>,
    /// What its status is, of a kind that has one of Weir's.
    pub(crate) status: Option<Digest>,
    /// What is wrong with it.
    pub(crate) problems: Vec<FieldError>,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    type_: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
struct Head {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
}

/// Reads a page of a list of `kind`.
///
/// # Errors
/// What is no such page. Nothing of it is quoted.
pub(crate) fn page(kind: Kind, bytes: &[u8]) -> Result<Page, Failure> {
    let List { metadata, items } = parse(bytes)?;
    let items = items.unwrap_or_default().into_iter().map(|raw| item(kind, raw)).collect::<Result<_, _>>()?;
    let version = metadata.resource_version.unwrap_or_default();
    Ok(Page { items, version, next: metadata.next.filter(|next| !next.is_empty()) })
}

/// Reads a line of a watch of `kind`.
///
/// # Errors
/// What is no such line. Nothing of it is quoted.
pub(crate) fn line(kind: Kind, bytes: &[u8]) -> Result<Told, Failure> {
    let Line { type_, object } = parse(bytes)?;
    match type_.as_str() {
        "ADDED" | "MODIFIED" => item(kind, object).map(Told::Put),
        "DELETED" => identity(kind, object).map(|(key, version)| Told::Gone(key, version)),
        "BOOKMARK" => {
            let head: Head = parse(object.get().as_bytes())?;
            Ok(Told::Bookmark(head.metadata.resource_version.unwrap_or_default()))
        }
        "ERROR" => {
            let status: kube::core::Status = parse(object.get().as_bytes())?;
            Ok(Told::Failed(Failure::answered(&status)))
        }
        _ => Ok(Told::Unknown),
    }
}

fn item(kind: Kind, raw: &RawValue) -> Result<Item, Failure> {
    let (key, version) = identity(kind, raw)?;
    let read = served(kind, raw.get());
    let object = read.object.map(|mut object| {
        trim(&mut object);
        object.shared()
    });
    let status = match has_status(kind) {
        true => Some(digest_of(kind, &parse::<Status>(raw.get().as_bytes())?.status)),
        false => None,
    };
    Ok(Item { key, version, object, status, problems: read.problems })
}

fn identity(kind: Kind, raw: &RawValue) -> Result<(ObjectKey, String), Failure> {
    let Head { metadata: Metadata { name, namespace, resource_version } } = parse(raw.get().as_bytes())?;
    let namespace = namespace.filter(|_| kind.namespaced());
    match name {
        Some(name) if !name.is_empty() && namespace.is_some() == kind.namespaced() => {
            let key = ObjectKey::new(kind, namespace.unwrap_or_default(), name);
            Ok((key, resource_version.unwrap_or_default()))
        }
        _ => Err(Failure::unreadable(&format!("a {} has no name, or no namespace", kind.name()))),
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_data() { "an unexpected value" } else { "no JSON" };
        Failure::unreadable(&format!("{what} at line {}, byte {}", error.line(), error.column()))
    })
}
