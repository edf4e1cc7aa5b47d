//! The dashboard of the chart has the structure that Grafana expects, and the words of the documentation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const DASHBOARD: &str = include_str!("../../manifests/chart/files/dashboard.json");
/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    dashboard["panels"].as_array().expect("panels").clone()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

#[test]
fn panels_have_ids_and_places_of_their_own() {
    let panels = panels();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let mut cells = BTreeMap::new();
    for panel in &panels {
        let of = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("no {key} in {panel}"));
        assert!(of("w") > 0 && of("h") > 0 && of("x") + of("w") <= COLUMNS, "{panel}");
        for cell in (of("y")..of("y") + of("h")).flat_map(|y| (of("x")..of("x") + of("w")).map(move |x| (y, x))) {
            let other = cells.insert(cell, text(panel, "title"));
            assert_eq!(other, None, "{} lies over another panel at {cell:?}", text(panel, "title"));
        }
    }
    let rows = cells.keys().map(|(y, _)| y).max().expect("a panel") + 1;
    assert_eq!(cells.len() as u64, rows * COLUMNS, "there is no gap");
}

/// A row has one unit, which its title names, and so does the title of a panel unless it counts something.
#[test]
fn a_row_has_one_unit() {
    let (mut row, mut unit) = (String::new(), None);
    for panel in panels() {
        let title = text(&panel, "title");
        if panel["type"] == "row" {
            (row, unit) = (title.to_owned(), None);
            continue;
        }
        assert!(!text(&panel, "description").is_empty(), "{title}");
        if panel["type"] == "table" {
            continue;
        }
        let of_panel = text(&panel["fieldConfig"]["defaults"], "unit").to_owned();
        assert_eq!(*unit.get_or_insert_with(|| of_panel.clone()), of_panel, "{title} in the row {row}");
        let named = match of_panel.as_str() {
            "none" => continue,
            "percentunit" => "(%)",
            "s" if row == "Rules and certificates (time)" => {
                assert!(title.starts_with("Time "), "{title}");
                continue;
            }
            "s" => "(s)",
            "bytes" => "(bytes)",
            "reqps" => "(requests/s)",
            other => &format!("({})", other.strip_prefix("suffix: ").unwrap_or_else(|| panic!("{title}: {other}"))),
        };
        assert!(title.ends_with(named) && row.ends_with(named), "{title} in the row {row} names {named}");
    }
}

#[test]
fn a_panel_asks_the_data_source_that_the_user_chose() {
    for panel in panels().iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().expect("targets");
        let references: BTreeSet<_> = targets.iter().map(|target| text(target, "refId")).collect();
        assert!(!targets.is_empty() && references.len() == targets.len(), "{panel}");
        for asked in targets.iter().chain([panel]) {
            assert_eq!(text(&asked["datasource"], "uid"), "${datasource}", "{asked}");
        }
        for expression in targets.iter().map(|target| text(target, "expr")) {
            let ours = expression.matches("pullthrough_").count() + expression.matches("process_").count();
            assert_eq!(expression.matches("job=~\"$job\"").count(), ours, "of the chosen job alone: {expression}");
            let depth = expression.chars().try_fold(0_u32, |depth, c| match c {
                '(' | '{' | '[' => Some(depth + 1),
                ')' | '}' | ']' => depth.checked_sub(1),
                _ => Some(depth),
            });
            assert_eq!(depth, Some(0), "brackets are closed: {expression}");
        }
    }
}
