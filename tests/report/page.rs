//! The HTML report in a real browser.

use std::path::{Path, PathBuf};

use pullthrough::scan::Report;
use pullthrough::scan::report::html;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::sample;

fn page(name: &str, report: &Report) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("html");
    std::fs::write(&file, html::html(report)).expect("the folder of the build");
    file
}

#[test]
fn it_opens_on_every_screen() {
    let browser = Browser::start();
    let reports = [
        ("cluster", sample::cluster()),
        ("files", sample::files()),
        ("hostile", sample::hostile()),
        ("empty", sample::empty()),
    ];
    for (name, report) in reports {
        let page = page(name, &report);
        for (screen, width, scheme) in [("wide", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 360, "light")] {
            browser.set_size(width, 800);
            browser.set_media(scheme, "screen");
            browser.open(&page);
            let shot = browser.screenshot(&format!("{name}-{screen}"));
            println!("{}", shot.display());
            assert_eq!(browser.complaints(), [""; 0], "{name} {screen}");
            assert_eq!(browser.requests(), [format!("file://{}", page.display())], "{name} {screen}");
            let widths = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]");
            assert_eq!(widths, json!([width, width]), "{name} {screen} scrolls to the side");
        }
    }
}

#[test]
fn it_shows_what_was_found() {
    let browser = Browser::start();
    browser.set_size(1280, 800);
    browser.open(&page("shown", &sample::cluster()));
    let bars = browser.evaluate(
        "[...document.querySelectorAll('#chart .bar')].map(bar => Math.round(bar.getBoundingClientRect().width))",
    );
    let bars: Vec<u64> = serde_json::from_value(bars).expect("widths");
    assert_eq!(bars.len(), 9);
    assert!(bars.iter().all(|width| *width > 100), "{bars:?}");
    let colours = browser
        .evaluate("[...new Set([...document.querySelectorAll('#chart .bar')].map(bar => getComputedStyle(bar).fill))]");
    assert_eq!(colours.as_array().map(Vec::len), Some(4), "{colours}");
    let text = browser.evaluate("document.querySelector('#chart desc').textContent");
    assert!(text.as_str().is_some_and(|text| text.starts_with("docker.io: 3 would be rewritten, 1 left alone; ")));
    let total = "[...document.querySelectorAll('tfoot')].map(foot => foot.innerText.split(/\\s+/).join(' '))";
    assert_eq!(browser.evaluate(total), json!(["total 13 5 1 4 3 84", "total 13 5 1 4 3 84"]));
    let tiles = "document.querySelector('.tiles').innerText.split(/\\n+/).join(' ')";
    let tiles = browser.evaluate(tiles);
    assert!(tiles.as_str().is_some_and(|tiles| tiles.contains("Places 84")), "{tiles}");
    let without_scope = browser.evaluate("document.querySelectorAll('th:not([scope])').length");
    assert_eq!(without_scope, 0);
}

#[test]
fn rows_can_be_filtered() {
    const ROWS: &str = "[...document.querySelectorAll('.images [data-outcome]')]\
                        .filter(row => row.checkVisibility()).map(row => row.querySelector('th').innerText)";
    let browser = Browser::start();
    let rows = || browser.evaluate(ROWS).as_array().map(Vec::len);
    browser.open(&page("filtered", &sample::cluster()));
    assert_eq!(rows(), Some(13));
    assert_eq!(browser.evaluate("document.querySelector('output').value"), "13 rows");
    browser.type_into("#text", "Payments");
    assert_eq!(rows(), Some(2));
    browser.type_into("#outcome", "left alone");
    assert_eq!(rows(), Some(0));
    let groups = "[...document.querySelectorAll('.images tbody')].filter(group => group.checkVisibility()).length";
    assert_eq!(browser.evaluate(groups), 0);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// As in mail, where scripts are stripped.
#[test]
fn it_lacks_nothing_without_scripts() {
    let browser = Browser::start();
    browser.set_scripts(false);
    browser.open(&page("unscripted", &sample::cluster()));
    browser.set_scripts(true);
    let shown = "[...document.querySelectorAll('.images [data-outcome]')].filter(row => row.checkVisibility()).length";
    assert_eq!(browser.evaluate(shown), 13);
    assert_eq!(browser.evaluate("document.querySelector('.filter').checkVisibility()"), false);
}

#[test]
fn it_prints() {
    let browser = Browser::start();
    browser.set_size(794, 1123);
    browser.set_media("dark", "print");
    browser.open(&page("printed", &sample::cluster()));
    browser.screenshot("cluster-printed");
    assert_eq!(browser.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)");
    assert_eq!(browser.evaluate("getComputedStyle(document.body).color"), "rgb(0, 0, 0)");
    assert_eq!(browser.evaluate("document.querySelector('.filter').checkVisibility()"), false);
}

/// The text of every element of a page with such names is text: no element came from a name.
#[test]
fn a_name_can_not_be_markup() {
    let browser = Browser::start();
    browser.open(&page("markup", &sample::hostile()));
    let tags = browser.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))].sort()");
    let tags: Vec<String> = serde_json::from_value(tags).expect("names");
    assert!(!tags.iter().any(|tag| ["a", "img", "iframe", "b"].contains(&tag.as_str())), "{tags:?}");
    assert_eq!(browser.evaluate("document.scripts.length"), 1);
    let attributes = browser.evaluate(
        "[...new Set([...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()))]\
         .filter(name => /^on|^style$|href|^src/.test(name))",
    );
    assert_eq!(attributes, Value::Array(Vec::new()));
    let texts = browser.evaluate("[...document.querySelectorAll('.images th code')].map(code => code.textContent)");
    assert!(texts.as_array().is_some_and(|texts| texts.contains(&json!("<script>alert(1)</script>"))), "{texts}");
}

#[test]
fn it_is_one_file_with_the_same_bytes() {
    let text = html::html(&sample::cluster());
    assert_eq!(text, html::html(&sample::cluster()));
    for outside in ["http://", "src=", "href=", "@import", "url("] {
        assert!(!text.contains(outside), "{outside}");
    }
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace("><", ">\n<");
    insta::assert_snapshot!("html", text);
}
