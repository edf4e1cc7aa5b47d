//! The values of a chart with its subcharts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A chart's values as Helm coalesces them, with those of its subcharts below their keys.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    pub values: Map<String, Value>,
    pub subcharts: Subcharts,
}

/// The keys of a chart's values that belong to subcharts: their names or aliases.
#[derive(Debug, Clone, Default)]
pub struct Subcharts(pub BTreeMap<String, Subcharts>);

impl Chart {
    /// Adds the values of a subchart. The parent's values take precedence.
    pub fn add_subchart(&mut self, key: &str, subchart: Self) {
        let mut values = subchart.values;
        if let Some(Value::Object(own)) = self.values.remove(key) {
            coalesce(&mut values, own);
        }
        self.values.insert(key.to_owned(), Value::Object(values));
        self.subcharts.0.insert(key.to_owned(), subchart.subcharts);
    }

    /// Adds values that take precedence over the present ones, like those of a later `--values`.
    pub fn add_values(&mut self, values: Map<String, Value>) {
        coalesce(&mut self.values, values);
    }
}

/// Merges values as Helm does: mappings are merged, null removes a key, other values replace.
fn coalesce(values: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, later) in later {
        match (values.get_mut(&key), later) {
            (_, Value::Null) => drop(values.remove(&key)),
            (Some(Value::Object(values)), Value::Object(later)) => coalesce(values, later),
            (_, later) => drop(values.insert(key, later)),
        }
    }
}
