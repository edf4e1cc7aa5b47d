//! Label selectors, evaluated as in the API server.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Expression, SelectorExt as _};

pub type Labels = BTreeMap<String, String>;

/// Returns the label that every namespace has.
pub fn labels_of_name(namespace: &str) -> Labels {
    Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())])
}

/// A requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    Known(Expression),
    /// A requirement with an unknown operator, which no labels meet. The API server rejects it.
    Unknown {
        key: String,
        operator: String,
    },
}

/// Returns all requirements of a selector, including `matchLabels`. A missing selector has none, and matches everything.
pub fn requirements(selector: Option<&LabelSelector>) -> Vec<Requirement> {
    let Some(LabelSelector { match_expressions, match_labels }) = selector else { return Vec::new() };
    let labels = match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Requirement::Known(Expression::In(key.clone(), [value.clone()].into())));
    labels.chain(match_expressions.iter().flatten().map(Requirement::new)).collect()
}

impl Requirement {
    fn new(requirement: &LabelSelectorRequirement) -> Self {
        match Expression::try_from(requirement.clone()) {
            Ok(expression) => Self::Known(expression),
            Err(_) => Self::Unknown { key: requirement.key.clone(), operator: requirement.operator.clone() },
        }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Known(expression) => expression.matches(labels),
            Self::Unknown { .. } => false,
        }
    }

    /// Returns the key of the label, if the requirement only excludes objects that have the label.
    pub fn excluded_key(&self) -> Option<&str> {
        match self {
            Self::Known(Expression::NotIn(key, _) | Expression::DoesNotExist(key)) => Some(key),
            _ => None,
        }
    }
}

impl fmt::Display for Requirement {
    /// Writes the requirement in the syntax of `kubectl --selector`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Keys and values have no commas.
            Self::Known(expression) => f.write_str(&expression.to_string().replace(',', ", ")),
            Self::Unknown { key, operator } => write!(f, "{key} {operator}"),
        }
    }
}

/// Returns the requirements that labels do not meet.
pub fn failed<'r>(requirements: &'r [Requirement], labels: &Labels) -> Vec<&'r Requirement> {
    requirements.iter().filter(|requirement| !requirement.matches(labels)).collect()
}

/// Returns whether a map of labels, such as a Service's selector, matches. An empty map matches nothing.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(selector: serde_json::Value, labels: serde_json::Value) -> bool {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels: Labels = serde_json::from_value(labels).unwrap();
        failed(&requirements(Some(&selector)), &labels).is_empty()
    }

    fn expression(operator: &str, values: &[&str]) -> serde_json::Value {
        json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]})
    }

    #[test]
    fn operators_are_evaluated_as_in_the_api_server() {
        for (operator, values, absent, same, other) in [
            ("In", &["a", "b"][..], false, true, false),
            ("NotIn", &["a", "b"], true, false, true),
            ("Exists", &[], false, true, true),
            ("DoesNotExist", &[], true, false, false),
            ("Sideways", &[], false, false, false),
        ] {
            let selector = || expression(operator, values);
            assert_eq!(matches(selector(), json!({"x": "a"})), absent, "{operator}, absent");
            assert_eq!(matches(selector(), json!({"k": "a"})), same, "{operator}, same");
            assert_eq!(matches(selector(), json!({"k": "c"})), other, "{operator}, other");
        }
    }

    #[test]
    fn requirements_are_written_in_the_syntax_of_kubectl() {
        let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [
            {"key": "b", "operator": "NotIn", "values": ["2", "1"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"},
            {"key": "e", "operator": "Sideways"},
        ]});
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let shown: Vec<_> = requirements(Some(&selector)).iter().map(Requirement::to_string).collect();
        assert_eq!(shown, ["a in (1)", "b notin (1, 2)", "c", "!d", "e Sideways"]);
    }

    #[test]
    fn all_requirements_count() {
        let selector = || json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]});
        assert!(matches(selector(), json!({"a": "1", "b": ""})));
        assert!(!matches(selector(), json!({"a": "1"})));
        assert!(!matches(selector(), json!({"a": "2", "b": ""})));
        assert!(matches(json!({}), json!({})));
        assert!(requirements(None).is_empty());
    }

    #[test]
    fn an_empty_service_selector_selects_nothing() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        assert!(!selects(&Labels::new(), &labels));
        assert!(selects(&labels, &labels));
    }
}
