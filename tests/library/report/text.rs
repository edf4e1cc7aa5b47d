//! The text formats of the report.

use pullthrough::scan::report::{json, markdown, table};
use serde_json::Value;

use super::sample;

/// Returns the text without colours, as in a pipe.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn tables_read_well() {
    assert!(table::table(&sample::empty(), None).starts_with("\u{1b}[1m"), "the table has no colours");
    insta::assert_snapshot!("cluster_80", plain(&table::table(&sample::cluster(), Some(80))));
    insta::assert_snapshot!("cluster_160", plain(&table::table(&sample::cluster(), Some(160))));
    insta::assert_snapshot!("cluster_pipe", plain(&table::table(&sample::cluster(), None)));
    insta::assert_snapshot!("files_100", plain(&table::table(&sample::files(), Some(100))));
    insta::assert_snapshot!("empty_80", plain(&table::table(&sample::empty(), Some(80))));
}

#[test]
fn a_line_of_json_has_all_keys() {
    let keys = "api_version column decision declaration file image included_from_percent kind line name namespace node not_covered \
                operator owner place place_to_set reason registry repository result rule source use workload would_be";
    let mut sources = std::collections::BTreeSet::new();
    for report in [sample::cluster(), sample::files(), sample::hostile()] {
        for entry in &report.entries {
            let line = json::line(&entry.finding);
            let value: Value = serde_json::from_str(&line).expect("one object a line");
            let object = value.as_object().expect("an object");
            assert_eq!(object.keys().map(String::as_str).collect::<Vec<_>>().join(" "), keys);
            assert!(!line.contains(['\n', '\u{1b}']), "{line:?}");
            assert_eq!(value["image"], entry.finding.image);
            sources.insert(value["source"].as_str().expect("a source").to_owned());
        }
    }
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["cluster", "file", "node"]);
    let lines = |report: pullthrough::scan::Report| {
        report.entries.iter().map(|entry| json::line(&entry.finding) + "\n").collect::<String>()
    };
    insta::assert_snapshot!("json", lines(sample::cluster()) + &lines(sample::files()));
}

#[test]
fn markdown_reads_well() {
    insta::assert_snapshot!("cluster_md", markdown::markdown(&sample::cluster()));
    insta::assert_snapshot!("files_md", markdown::markdown(&sample::files()));
    insta::assert_snapshot!("empty_md", markdown::markdown(&sample::empty()));
}

/// Names can't send commands to a terminal, and do not add columns to a Markdown table.
#[test]
fn a_name_can_not_be_a_command() {
    let report = sample::hostile();
    for width in [None, Some(0), Some(80), Some(160)] {
        let text = plain(&table::table(&report, width));
        // `strip_str` has removed nothing that came from a name.
        assert!(text.contains("\u{fffd}[31mred"), "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
    let markdown = markdown::markdown(&report);
    assert!(!markdown.contains(|c: char| c.is_control() && c != '\n'), "{markdown:?}");
    let lines: Vec<&str> = markdown.lines().collect();
    for table in lines.split(|line| !line.starts_with('|')).filter(|table| !table.is_empty()) {
        for line in table {
            assert_eq!(line.matches('|').count(), table[0].matches('|').count(), "{line}");
        }
    }
    for outside in ["<script", "<img", "](http", "](java", " @everyone"] {
        let shown: String = markdown.split('`').step_by(2).collect();
        assert!(!shown.contains(outside), "{outside}");
    }
}

#[test]
fn lines_fit_the_terminal() {
    for width in [40, 80, 100, 160] {
        for report in [sample::cluster(), sample::files()] {
            let text = plain(&table::table(&report, Some(width)));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{line:?} in {width}");
                assert_eq!(line, line.trim_end());
            }
            let whole: String = text.split_whitespace().collect();
            for entry in &report.entries {
                assert!(whole.contains(&entry.finding.image), "{} is cut in {width}", entry.finding.image);
            }
        }
    }
}
