//! GRPCRoute.

use serde_json::Value;

use super::accepted;
use crate::client::Place;
use crate::h2::grpc;
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

fn call(case: &Case<'_>, place: &Place, row: &Value) -> Result<(u32, String), String> {
    let methods = [("EchoRequest", "Echo"), ("EchoTwoRequest", "EchoTwo"), ("EchoThreeRequest", "EchoThree")];
    let method = methods.iter().find(|(field, _)| !row[*field].is_null()).map_or("Echo", |(_, method)| method);
    let metadata = &row["RequestMetadata"];
    let authority = metadata["Authority"].as_str().map_or_else(|| place.authority(), str::to_owned);
    let pairs = metadata["Metadata"].as_object().into_iter().flatten();
    let headers: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let (code, seen) = grpc::call(&case.world.backends.handle(), place.address, &authority, method, &headers)?;
    let context = seen.context.unwrap_or_default();
    if code == 0 && seen.fully_qualified_method != format!("/{}/{method}", grpc::SERVICE) {
        return Err(format!("{method} arrived as {}", seen.fully_qualified_method));
    }
    if code == 0 && context.namespace != INFRA {
        return Err(format!("namespace {} answered", context.namespace));
    }
    Ok((code, context.pod))
}

fn rows(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    case.data.rows(case.test).iter().try_for_each(|row| {
        let unimplemented = row["Response"]["Code"]["$expr"] == "codes.Unimplemented";
        let backend = row["Backend"].as_str().unwrap_or_default();
        case.in_a_row(&row.to_string(), || match call(case, &place, row)? {
            (12, _) if unimplemented => Ok(()),
            (0, pod) if !unimplemented && pod.starts_with(backend) => Ok(()),
            (code, pod) => Err(format!("code {code}, pod {pod:?}")),
        })
    })
}

fn weight(case: &Case<'_>) -> Check {
    let place = accepted(case)?;
    let row = &case.data.rows(case.test)[0];
    case.in_a_row("a call", || match call(case, &place, row)? {
        (0, _) => Ok(()),
        (code, _) => Err(format!("code {code}")),
    })?;
    let weights = [("grpc-infra-backend-v1", 0.7), ("grpc-infra-backend-v2", 0.3), ("grpc-infra-backend-v3", 0.0)];
    case.spread(&weights, || match call(case, &place, row)? {
        (0, pod) => Ok(pod),
        (code, _) => Err(format!("code {code}")),
    })
}
