//! YAML to a type, with every unknown field named.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::FieldError;

/// Reads `text` as a `T`.
pub(super) fn yaml<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, Vec<FieldError>> {
    let value: Value = serde_saphyr::from_str(text).map_err(|e| vec![FieldError::new("", e.to_string())])?;
    // An empty file is a file of defaults.
    let value = if value.is_null() { Value::Object(Default::default()) } else { value };
    let schema = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let mut errors = Vec::new();
    unknown_fields("", &value, &schema.into_root_schema_for::<T>(), &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        vec![FieldError::new(if path == "." { String::new() } else { path }, e.inner().to_string())]
    })
}

/// Adds an error for every field of `value` that `schema` does not have.
fn unknown_fields(path: &str, value: &Value, schema: &Schema, errors: &mut Vec<FieldError>) {
    let (Some(fields), Some(known)) = (value.as_object(), schema.get("properties").and_then(Value::as_object)) else {
        return;
    };
    for (name, value) in fields {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known.get(name).map(<&Schema>::try_from) {
            Some(Ok(schema)) => unknown_fields(&here, value, schema, errors),
            Some(Err(_)) => {}
            None => errors.push(FieldError::new(here, "there is no such field").hint(nearest(name, known.keys()))),
        }
    }
}

/// Advice for a name that is not known.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n String> + Clone) -> String {
    let similar = |candidate: &&String| (strsim::jaro_winkler(name, candidate) * 1000.0) as u32;
    match known.clone().max_by_key(similar).filter(|best| similar(best) > 800) {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!("known here: {}", known.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}
