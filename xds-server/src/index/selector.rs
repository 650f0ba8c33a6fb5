//! Kubernetes label selectors.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether `labels` fulfil every part of `selector`. An empty selector matches everything; an
/// operator that Kubernetes does not know matches nothing.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut wanted = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|v| v == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        matches(&serde_json::from_str(selector).unwrap(), &labels)
    }

    #[test]
    fn selectors_match_as_kubernetes_says() {
        let expression = |operator: &str, values: &str| {
            format!(r#"{{"matchExpressions":[{{"key":"a","operator":"{operator}","values":{values}}}]}}"#)
        };
        assert!(check("{}", &[]));
        assert!(check(r#"{"matchLabels":{"a":"1"}}"#, &[("a", "1"), ("b", "2")]));
        assert!(!check(r#"{"matchLabels":{"a":"1"}}"#, &[("a", "2")]));
        assert!(check(&expression("In", r#"["1","2"]"#), &[("a", "2")]));
        assert!(!check(&expression("In", r#"["1"]"#), &[]));
        assert!(check(&expression("NotIn", r#"["1"]"#), &[]));
        assert!(!check(&expression("NotIn", r#"["1"]"#), &[("a", "1")]));
        assert!(check(&expression("Exists", "[]"), &[("a", "")]));
        assert!(check(&expression("DoesNotExist", "[]"), &[("b", "")]));
        assert!(!check(&expression("Like", r#"["1"]"#), &[("a", "1")]));
    }
}
