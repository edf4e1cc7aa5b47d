//! The page about cache products is written from the models.

use std::fmt::Write;

use pullthrough::engine::Product;
use pullthrough::products::{Answer, Fact, Model, Remedy, Source};

use crate::is_current;

const FILE: &str = "docs/reference/cache-products.md";
const START: &str = "<!-- written by `make generate` -->\n";
const END: &str = "<!-- end -->";

fn row<T>(table: &mut String, question: &str, Fact { value: _, text, sources }: &Fact<T>) {
    let _ = writeln!(table, "| {question} | {text} | {} |", named(sources));
}

fn named(sources: &[Source]) -> String {
    let name = |source: &Source| match source {
        Source::Run(version) => format!("**run** with {version}"),
        Source::Code(address) => format!("[code]({address})"),
        Source::Documentation(address) => format!("[documentation]({address})"),
        Source::Report(address) => format!("[report]({address})"),
        Source::Assumed => "assumed".to_owned(),
    };
    sources.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn section(product: Product) -> String {
    let model = Model::of(product);
    let Model { product, fill, blobs, head, order, offline, inventory, answers } = model;
    let mut text = format!("\n## {}\n\n| Question | Answer | Source |\n| --- | --- | --- |\n", product.as_str());
    row(&mut text, "What stores a manifest?", fill);
    row(&mut text, "What stores blobs?", blobs);
    row(&mut text, "What does a HEAD of a manifest store?", head);
    let steps: Vec<&str> = order.value.steps.iter().map(|step| step.as_str()).collect();
    let _ =
        writeln!(text, "| Which requests fill it? | {}. {} | {} |", steps.join(", "), order.text, named(order.sources));
    row(&mut text, "What does it serve without its upstream?", offline);
    row(&mut text, "How is what it holds listed?", inventory);
    if !answers.is_empty() {
        text.push_str("\n| Status | Meaning | Possible causes | Source |\n| --- | --- | --- | --- |\n");
        for Answer { status, causes, text: meaning, sources } in *answers {
            let causes: Vec<String> = causes.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "| {status} | {meaning} | {} | {} |", causes.join("; "), named(sources));
        }
    }
    if model.remedies().next().is_some() {
        text.push_str("\n| Cause | Fix | Source |\n| --- | --- | --- |\n");
        for Remedy { product: _, cause, text: fix, source } in model.remedies() {
            let _ = writeln!(text, "| {cause} | {fix} | {} |", named(&[*source]));
        }
    }
    text
}

/// `GENERATED=overwrite cargo test --test cmd` writes the page.
#[test]
fn the_models_are_documented() {
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(START).expect("the start of the tables");
    let (_, tail) = rest.split_once(END).expect("the end of the tables");
    let tables: String = Product::ALL.iter().map(|product| section(*product)).collect();
    is_current(FILE, &[head, START, &tables, "\n", END, tail].concat(), "the page with the models that the code has");
}

/// The introduction of the page, and of the page about tests, names what was run.
#[test]
fn the_page_names_what_was_run() {
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (introduction, tables) = page.split_once(START).expect("the start of the tables");
    for version in ["distribution 2.8", "distribution 3.1.2"] {
        assert!(introduction.contains(version) && tables.contains(&format!("**run** with {version}")), "{version}");
    }
    let run: std::collections::BTreeSet<&str> =
        tables.split("**run** with ").skip(1).filter_map(|rest| rest.split([',', ' ']).next()).collect();
    assert_eq!(run.into_iter().collect::<Vec<_>>(), ["distribution"]);
}
