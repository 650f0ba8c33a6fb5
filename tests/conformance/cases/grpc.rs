//! GRPCRoute.

use serde_json::Value;

use super::accepted;
use crate::client::Place;
use crate::h2::grpc::{self, Called};
use crate::suite::{Case, Check};
use crate::world::INFRA;

pub(super) fn run(case: &Case<'_>, name: &str) -> Option<Check> {
    match name {
        "GRPCRouteWeight" => Some(weight(case)),
        _ if case.test.features.iter().any(|feature| feature == "GRPCRoute") && !name.starts_with("Mesh") => {
            Some(rows(case))
        }
        _ => None,
    }
}

fn call(case: &Case<'_>, place: &Place, row: &Value) -> Result<Called, String> {
    let methods = [("EchoRequest", "Echo"), ("EchoTwoRequest", "EchoTwo"), ("EchoThreeRequest", "EchoThree")];
    let method = methods.iter().find(|(field, _)| !row[*field].is_null()).map_or("Echo", |(_, method)| method);
    let metadata = &row["RequestMetadata"];
    let authority = metadata["Authority"].as_str().map_or_else(|| place.authority(), str::to_owned);
    let headers: Vec<(String, String)> =
        pairs(&metadata["Metadata"]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let called = grpc::call(&case.world.backends.handle(), place.address, &authority, method, &headers)?;
    if called.code == 0 && called.seen.fully_qualified_method != format!("/{}/{method}", grpc::SERVICE) {
        return Err(format!("{method} arrived as {}", called.seen.fully_qualified_method));
    }
    match &called.seen.context {
        Some(context) if context.namespace != INFRA => Err(format!("namespace {} answered", context.namespace)),
        _ => Ok(called),
    }
}

fn pairs(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

fn pod(called: &Called) -> &str {
    called.seen.context.as_ref().map_or("", |context| context.pod.as_str())
}

fn rows(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    each(case, &place)
}

/// Each row of the test. Rows of the harness's own may say too what the backend must have seen, or not, of metadata
/// (`Seen`, `Unseen`) and of TLS (`Sni`), and what the caller must see (`Given`).
pub(super) fn each(case: &Case<'_>, place: &Place) -> Check {
    case.data
        .rows(case.test)
        .iter()
        .try_for_each(|row| case.in_a_row(&row.to_string(), || check(row, &call(case, place, row)?)))
}

fn check(row: &Value, called: &Called) -> Check {
    let said = row["Response"]["Code"].to_string();
    let codes = [("Unimplemented", 12), ("Unavailable", 14)];
    let wanted = codes.iter().find(|(name, _)| said.contains(name)).map_or(0, |(_, code)| *code);
    let backend = row["Backend"].as_str().unwrap_or_default();
    if called.code != wanted || (wanted == 0 && !pod(called).starts_with(backend)) {
        return Err(format!("code {}, pod {:?}", called.code, pod(called)));
    }
    let seen: Vec<(&str, &str)> =
        called.seen.headers.iter().map(|header| (header.key.as_str(), header.value.as_str())).collect();
    let given: Vec<(&str, &str)> = called.given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (who, fields, wanted) in [("backend", &seen, &row["Seen"]), ("caller", &given, &row["Given"])] {
        for (name, value) in pairs(wanted) {
            let found = joined(fields, name);
            if found != value {
                return Err(format!("the {who} saw {name}: {found:?} instead of {value:?}"));
            }
        }
    }
    let unseen = row["Unseen"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(name) = unseen.into_iter().find(|name| seen.iter().any(|(found, _)| found == name)) {
        return Err(format!("the backend saw {name}"));
    }
    let sni = called.seen.tls.as_ref().map_or("", |tls| tls.server_name.as_str());
    match row["Sni"].as_str() {
        Some(wanted) if wanted != sni => Err(format!("the backend was asked for {sni:?} instead of {wanted:?}")),
        _ => Ok(()),
    }
}

/// Values of one name, as a list in one line.
fn joined(fields: &[(&str, &str)], name: &str) -> String {
    let values: Vec<&str> = fields.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value).collect();
    values.join(",")
}

fn weight(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let row = &case.data.rows(case.test)[0];
    let ask = || match call(case, &place, row)? {
        called if called.code == 0 => Ok(pod(&called).to_owned()),
        called => Err(format!("code {}", called.code)),
    };
    case.in_a_row("a call", || ask().map(drop))?;
    let weights = [("grpc-infra-backend-v1", 0.7), ("grpc-infra-backend-v2", 0.3), ("grpc-infra-backend-v3", 0.0)];
    case.spread(&weights, ask)
}
