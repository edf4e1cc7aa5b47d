//! The examples of docs/background/how-rewriting-works.md.

use serde_json::Value;

use super::explain;

#[test]
fn the_examples_of_the_page_are_what_explain_prints() {
    let page = std::fs::read_to_string("docs/background/how-rewriting-works.md").expect("a file of this repository");
    let (_, rest) = page.split_once("```yaml\n").expect("rules");
    let (rules, rest) = rest.split_once("```\n").expect("an end");
    let rows: Vec<Vec<&str>> = rest
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
        .collect();
    assert!(rows.len() > 10, "{rows:?}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, rules).expect("a file");
    let images: String = rows.iter().map(|row| format!("{}\n", row[0].trim_matches('`'))).collect();
    let answers = explain(&["--rules", &file.path().display().to_string(), "-"], images.as_bytes());
    assert_eq!(answers.len(), rows.len());
    let text = |answer: &Value, key: &str| answer[key].as_str().map(str::to_owned);
    for (row, answer) in rows.iter().zip(&answers) {
        let canonical = match (text(answer, "registry"), text(answer, "repository")) {
            (Some(registry), Some(repository)) => format!("`{registry}/{repository}`"),
            (None, Some(repository)) => format!("`{repository}`"),
            _ => "none".to_owned(),
        };
        let result = match text(answer, "reason") {
            Some(reason) => format!("unchanged, `{reason}`"),
            None => format!("`{}`", text(answer, "result").expect("a result")),
        };
        assert_eq!(row[1..], [canonical, result], "docs/background/how-rewriting-works.md: {}", row[0]);
    }
}
