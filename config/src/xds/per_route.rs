//! What filters do for one route alone: `typed_per_filter_config` of CORS and session persistence.

use std::collections::HashMap;

use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::StatefulSessionPerRoute;
use prost::Name;
use xds_api::pb::google::protobuf::Any;

use super::read::{At, Problems};
use super::{cors, http_filter, scalar, session};
use crate::model::{Cors, Route, SessionPersistence};

/// Name of the field.
const FIELD: &str = "typed_per_filter_config";

pub(super) fn write(route: &Route) -> HashMap<String, Any> {
    let cors = route.cors.as_deref().map(|cors| (http_filter::CORS.to_owned(), cors::write(cors)));
    let session =
        route.session.as_deref().map(|session| (http_filter::STATEFUL_SESSION.to_owned(), session::write(session)));
    cors.into_iter().chain(session).collect()
}

/// What was read.
#[derive(Default)]
pub(super) struct PerRoute {
    pub(super) cors: Option<Box<Cors>>,
    pub(super) session: Option<Box<SessionPersistence>>,
}

/// Reads the map; `at` is the route's. The type says what is meant, whatever the filter's name is there.
pub(super) fn read(configs: HashMap<String, Any>, at: &At<'_>, problems: &mut Problems) -> PerRoute {
    let mut kept = PerRoute::default();
    let mut configs: Vec<(String, Any)> = configs.into_iter().collect();
    configs.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, any) in configs {
        let at = at.key(FIELD, &name);
        if scalar::holds::<CorsPolicy>(&any) {
            let read = cors::read(&any, &at, problems).map(Box::new);
            once(&mut kept.cors, read, &at, problems);
        } else if scalar::holds::<StatefulSessionPerRoute>(&any) {
            let read = session::read(&any, &at, problems).map(Box::new);
            once(&mut kept.session, read, &at, problems);
        } else {
            problems.advise(
                &at,
                format!("{:?} is not supported", any.type_url),
                format!("types are {} and {}", CorsPolicy::type_url(), StatefulSessionPerRoute::type_url()),
            );
        }
    }
    kept
}

fn once<T>(slot: &mut Option<T>, read: Option<T>, at: &At<'_>, problems: &mut Problems) {
    if slot.is_some() {
        problems.add(at, "is the second of its type");
    }
    *slot = read;
}
