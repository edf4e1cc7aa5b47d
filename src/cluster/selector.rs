//! Label selectors, evaluated as the API server does.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub type Labels = BTreeMap<String, String>;

/// What every namespace has, if nothing else is known.
pub fn labels_of_name(namespace: &str) -> Labels {
    Labels::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())])
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    /// None that is known; the API server would have refused it.
    Unknown(String),
}

/// All conditions of a selector, `matchLabels` among them. An absent selector has none, and matches everything.
pub fn requirements(selector: Option<&LabelSelector>) -> Vec<Requirement> {
    let Some(LabelSelector { match_expressions, match_labels }) = selector else { return Vec::new() };
    let labels = match_labels.iter().flatten();
    let labels =
        labels.map(|(key, value)| Requirement { key: key.clone(), operator: Operator::In(vec![value.clone()]) });
    labels.chain(match_expressions.iter().flatten().map(Requirement::new)).collect()
}

impl Requirement {
    fn new(requirement: &LabelSelectorRequirement) -> Self {
        let LabelSelectorRequirement { key, operator, values } = requirement;
        let mut values = values.clone().unwrap_or_default();
        values.sort();
        let operator = match operator.as_str() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => Operator::Unknown(other.to_owned()),
        };
        Self { key: key.clone(), operator }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            // An absent label is not among any values.
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown(_) => false,
        }
    }

    /// Whether it takes out what is labelled, and leaves all else.
    pub fn only_excludes(&self) -> bool {
        matches!(self.operator, Operator::NotIn(_) | Operator::DoesNotExist)
    }
}

impl fmt::Display for Requirement {
    /// As `kubectl --selector` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => write!(f, "{key} in ({})", values.join(", ")),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(", ")),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Unknown(operator) => write!(f, "{key} {operator}"),
        }
    }
}

/// The conditions that labels fail.
pub fn failed<'r>(requirements: &'r [Requirement], labels: &Labels) -> Vec<&'r Requirement> {
    requirements.iter().filter(|requirement| !requirement.matches(labels)).collect()
}

/// Whether a plain map of labels, such as a Service's selector, matches. An empty one selects nothing.
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
    fn operators_mean_what_the_api_server_means() {
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
    fn all_conditions_count() {
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
