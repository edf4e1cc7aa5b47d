//! The values of a chart with its subcharts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A chart's values as Helm coalesces them: those of its subcharts below their keys.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    pub values: Map<String, Value>,
    pub subcharts: Subcharts,
}

/// Which keys of a chart's values are a subchart's: its name, or its alias.
#[derive(Debug, Clone, Default)]
pub struct Subcharts(pub BTreeMap<String, Subcharts>);

impl Chart {
    /// Adds the values of a subchart, of which those count that the parent does not have.
    pub fn add_subchart(&mut self, key: &str, subchart: Self) {
        let mut values = subchart.values;
        if let Some(Value::Object(own)) = self.values.remove(key) {
            coalesce(&mut values, own);
        }
        self.values.insert(key.to_owned(), Value::Object(values));
        self.subcharts.0.insert(key.to_owned(), subchart.subcharts);
    }

    /// Adds values that count before those that are there, as of a later `--values`.
    pub fn add_values(&mut self, values: Map<String, Value>) {
        coalesce(&mut self.values, values);
    }
}

/// As Helm does it: mappings are merged, null removes, all else replaces.
fn coalesce(values: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, later) in later {
        match (values.get_mut(&key), later) {
            (_, Value::Null) => drop(values.remove(&key)),
            (Some(Value::Object(values)), Value::Object(later)) => coalesce(values, later),
            (_, later) => drop(values.insert(key, later)),
        }
    }
}
