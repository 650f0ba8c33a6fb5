//! An object as an API server serves it.
//!
//! It is read as a document of a file is, with two differences, because it is a fact of the cluster that two
//! replicas must read alike, and not a text that can be refused: a field that Weir's own kinds do not have is
//! passed over (the CRD may be newer than the server), and of an HTTPRoute or GRPCRoute only the rules that are wrong are.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::parse::{complete, drop_nulls, typed};
use super::unknown::take_unknown;
use crate::FieldError;
use crate::kinds::{Kind, Object, validate::validate};

/// What an API server's text says.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The object, without what cannot be used of it; none: nothing of it can be used.
    pub object: Option<Object>,
    /// What was left out, and why.
    pub problems: Vec<FieldError>,
}

/// Reads the JSON of an object of `kind`. Its `status` is left out: the server writes it and never reads it.
pub fn served(kind: Kind, json: &str) -> Served {
    // What is numerous and rarely wrong is read without a tree of values between.
    if let Some(object) = directly(kind, json)
        && validate(&object).is_empty()
    {
        return Served { object: Some(object), problems: Vec::new() };
    }
    let mut value: Value = match serde_json::from_str(json) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return Served { object: None, problems: vec![FieldError::new("", "is not an object")] },
        Err(error) => {
            let problem = format!("is not JSON, at byte {} of line {}", error.column(), error.line());
            return Served { object: None, problems: vec![FieldError::new("", problem)] };
        }
    };
    if let Some(fields) = value.as_object_mut() {
        // Metadata alone comes as a kind of its own, and the items of a list as none.
        for field in ["apiVersion", "kind", "status"] {
            fields.shift_remove(field);
        }
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    drop_nulls(&mut value);
    let mut problems = take_unknown(kind, &mut value);
    let mut object = match typed(kind, value) {
        Ok(object) => object,
        Err(error) => {
            problems.push(error);
            return Served { object: None, problems };
        }
    };
    complete(&mut object);
    let errors = validate(&object);
    let usable = errors.is_empty() || mend(&mut object, &errors);
    problems.extend(errors);
    Served { object: usable.then_some(object), problems }
}

fn directly(kind: Kind, json: &str) -> Option<Object> {
    fn read<T: DeserializeOwned + Into<Object>>(json: &str) -> Option<Object> {
        serde_json::from_str::<T>(json).ok().map(Into::into)
    }
    let mut object = match kind {
        Kind::Namespace => read::<Namespace>(json),
        Kind::Service => read::<Service>(json),
        Kind::Secret => read::<Secret>(json),
        Kind::ConfigMap => read::<ConfigMap>(json),
        Kind::EndpointSlice => read::<EndpointSlice>(json),
        // The others have fields that are kept as values, where absent and null differ.
        _ => None,
    }?;
    complete(&mut object);
    Some(object)
}

/// Takes the rules with errors out of a route; false where that does not mend it, or leaves no rule.
fn mend(object: &mut Object, errors: &[FieldError]) -> bool {
    let rule = |error: &FieldError| error.field.strip_prefix("spec.rules[")?.split_once(']')?.0.parse().ok();
    let Some(wrong) = errors.iter().map(rule).collect::<Option<BTreeSet<usize>>>() else { return false };
    let left = match object {
        Object::HTTPRoute(route) => leave_out(route.spec.rules.as_mut(), &wrong),
        Object::GRPCRoute(route) => leave_out(route.spec.rules.as_mut(), &wrong),
        _ => false,
    };
    left && validate(object).is_empty()
}

/// Leaves rules out by their places; whether any is left.
fn leave_out<R>(rules: Option<&mut Vec<R>>, wrong: &BTreeSet<usize>) -> bool {
    let Some(rules) = rules else { return false };
    let mut index = 0;
    rules.retain(|_| {
        index += 1;
        !wrong.contains(&(index - 1))
    });
    !rules.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kinds::manifest::objects;
    use crate::testing::soak;

    const EXAMPLES: [&str; 3] = [
        include_str!("../../../examples/quickstart/platform.yaml"),
        include_str!("../../../examples/quickstart/acme.yaml"),
        include_str!("../../../examples/quickstart/globex.yaml"),
    ];

    /// The examples, as an API server would give them: null where nothing is, managed fields, a status.
    fn examples() -> Vec<(Kind, Object, String)> {
        let all = EXAMPLES.iter().flat_map(|text| objects(text).unwrap());
        let show = |object: &Object| {
            macro_rules! value {
                ($($kind:ident),*) => { match object { $(Object::$kind(one) => serde_json::to_value(one).unwrap(),)* } };
            }
            let mut value = value!(
                Namespace,
                Service,
                Secret,
                ConfigMap,
                EndpointSlice,
                GatewayClass,
                Gateway,
                ListenerSet,
                HTTPRoute,
                GRPCRoute,
                TLSRoute,
                TCPRoute,
                UDPRoute,
                ReferenceGrant,
                BackendTLSPolicy,
                Plan,
                Tenant,
                TrafficPolicy
            );
            value["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Apply"}]);
            value["metadata"]["finalizers"] = Value::Null;
            value["status"] = json!({"conditions": []});
            if matches!(object, Object::EndpointSlice(_)) {
                value.as_object_mut().unwrap().remove("status");
            }
            value.to_string()
        };
        all.map(|object| (object.kind(), (*object).clone(), show(&object))).collect()
    }

    #[test]
    fn what_an_api_server_adds_changes_nothing() {
        for (kind, object, json) in examples() {
            let mut read = served(kind, &json);
            let metadata = read.object.as_mut().unwrap().metadata_mut();
            metadata.managed_fields = None;
            let status = |object: &Object| format!("{object:?}").split("status: Some").count();
            assert_eq!(read.problems, [], "{json}");
            let read = read.object.unwrap();
            assert_eq!(read.key(), object.key());
            if status(&read) == status(&object) {
                assert_eq!(read, object);
            }
        }
    }

    #[test]
    fn of_a_route_only_the_wrong_rules_are_left_out() {
        let route =
            |rules: Value| json!({"metadata": {"namespace": "shop", "name": "front"}, "spec": {"rules": rules}});
        let good = json!({"matches": [{"path": {"value": "/a"}}]});
        let bad = json!({"matches": [{"path": {"type": "RegularExpression", "value": "["}}]});
        let read = served(Kind::HTTPRoute, &route(json!([bad, good])).to_string());
        assert_eq!(read.problems[0].field, "spec.rules[0].matches[0].path.value");
        assert_eq!(read.object, served(Kind::HTTPRoute, &route(json!([good])).to_string()).object);
        assert!(read.object.is_some());
        // No rule at all would be one that matches everything.
        assert_eq!(served(Kind::HTTPRoute, &route(json!([bad])).to_string()).object, None);
    }

    #[test]
    fn a_field_of_a_newer_crd_is_told_and_passed_over() {
        let plan = json!({"metadata": {"name": "pro"}, "spec": {"weight": 3, "colour": "red"}});
        let read = served(Kind::Plan, &plan.to_string());
        assert_eq!(read.problems[0].field, "spec.colour");
        assert!(matches!(read.object, Some(Object::Plan(plan)) if plan.spec.weight == Some(3)));
    }

    #[test]
    fn what_cannot_be_used_says_why_and_of_a_secret_nothing_of_it() {
        let tenant = served(Kind::Tenant, &json!({"metadata": {"name": "acme"}, "spec": {}}).to_string());
        assert_eq!((tenant.object, tenant.problems[0].field.as_str()), (None, "spec.plan"));
        let secret = json!({"metadata": {"name": "a", "namespace": "b"}, "data": {"tls.key": "sesame!"}});
        let read = served(Kind::Secret, &secret.to_string());
        assert_eq!(read.object, None);
        assert!(!format!("{:?}", read.problems).contains("sesame"), "{:?}", read.problems);
    }

    #[test]
    fn soak_whatever_an_api_server_says_is_read_without_panic() {
        let examples = examples();
        let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..6);
        let which = (any::<prop::sample::Index>(), prop::sample::select(Kind::ALL.to_vec()), any::<bool>(), damage);
        soak::property(&which, |(index, other, mixed, damage)| {
            let (kind, _, json) = &examples[index.index(examples.len())];
            let mut bytes = json.clone().into_bytes();
            for (place, byte, how) in &damage {
                let place = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                match how {
                    0 => bytes.insert(place, *byte),
                    1 => bytes[place] = b"{}[]\",:0n"[usize::from(*byte) % 9],
                    _ => bytes.truncate(place.max(1)),
                }
            }
            let read = served(if mixed { other } else { *kind }, &String::from_utf8_lossy(&bytes));
            prop_assert!(read.object.is_some() || !read.problems.is_empty());
            if let Some(object) = read.object {
                prop_assert!(validate(&object).is_empty());
            }
            Ok(())
        });
    }
}
