//! The HTML report in a real browser.

mod browser;
#[path = "../library/report/sample.rs"]
mod sample;
mod verified;

use std::path::{Path, PathBuf};

use pullthrough::scan::Report;
use pullthrough::scan::report::html;
use serde_json::{Value, json};

use self::browser::Browser;

const SCREENS: [(&str, u32, &str); 5] = [
    ("wide", 1280, "light"),
    ("wide-dark", 1280, "dark"),
    ("narrow", 390, "light"),
    ("narrow-dark", 390, "dark"),
    ("narrowest", 360, "light"),
];
/// What reaches out of the window, or has content that its own box hides.
const CLIPPED: &str = "[...document.querySelectorAll('main *')].filter(e => e.checkVisibility() \
    && !e.closest('svg, thead, .label') && getComputedStyle(e).display !== 'inline' \
    && (e.getBoundingClientRect().right > innerWidth || e.scrollWidth > e.clientWidth + 1)).map(e => e.outerHTML.slice(0, 200))";

fn page(name: &str, report: &Report) -> PathBuf {
    file(name, &html::html(report))
}

fn file(name: &str, page: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("html");
    std::fs::write(&file, page).expect("a file in the folder of the build");
    file
}

#[test]
fn it_opens_on_every_screen() {
    let browser = Browser::start();
    let pages = [
        ("cluster", html::html(&sample::cluster())),
        ("files", html::html(&sample::files())),
        ("hostile", html::html(&sample::hostile())),
        ("empty", html::html(&sample::empty())),
        ("verified", verified::every_status()),
        ("verified-hostile", verified::hostile()),
    ];
    for (name, page) in pages {
        let page = file(name, &page);
        for (screen, width, scheme) in SCREENS {
            browser.set_size(width, 800);
            browser.set_media(scheme, "screen");
            browser.open(&page);
            let shot = browser.screenshot(&format!("{name}-{screen}"));
            println!("{}", shot.display());
            assert_eq!(browser.complaints(), [""; 0], "{name} {screen}");
            assert_eq!(browser.requests(), [format!("file://{}", page.display())], "{name} {screen}");
            let widths = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]");
            assert_eq!(widths, json!([width, width]), "{name} {screen} scrolls to the side");
            assert_eq!(browser.evaluate(CLIPPED), json!([]), "{name} {screen}");
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
    assert_eq!(bars.len(), 10);
    assert!(bars.iter().all(|width| *width > 100), "{bars:?}");
    let colours = browser
        .evaluate("[...new Set([...document.querySelectorAll('#chart .bar')].map(bar => getComputedStyle(bar).fill))]");
    assert_eq!(colours.as_array().map(Vec::len), Some(5), "{colours}");
    let words = |selector: &str| {
        browser.evaluate(&format!(
            "[...document.querySelectorAll('{selector}')].map(e => e.innerText.split(/\\s+/).join(' ').trim())"
        ))
    };
    assert_eq!(words("#chart li")[0], "docker.io 4 images 3 would be rewritten 1 not rewritten");
    assert_eq!(words("tfoot"), json!(["Total 14 85 100%", "total 14 6 1 1 3 3 85"]));
    let places = words(".outcomes tbody .number:nth-child(3)");
    let places = places.as_array().expect("numbers").iter().map(|number| number.as_str().expect("a text"));
    assert_eq!(places.map(|number| number.parse::<usize>().expect("a number")).sum::<usize>(), 85, "they add up");
    assert_eq!(words(".outcomes .number:nth-child(4)"), json!(["Share", "84%", "1%", "2%", "4%", "9%", "100%"]));
    assert_eq!(
        words(".tile"),
        json!(["Coverage now 2%", "Coverage with the rules 86%", "Images 14", "Registries 7", "Places 85"])
    );
    assert_eq!(
        words("[aria-labelledby=reasons] h3"),
        json!([
            "excepted 1 image at 1 place",
            "invalid 1 image at 1 place",
            "no_rule 1 image at 1 place",
            "observed 1 image at 1 place"
        ])
    );
    let hash = words(".facts code")[2].clone();
    assert_eq!(hash.as_str().map(str::len), Some(16), "{hash}");
    let without_scope = browser.evaluate("document.querySelectorAll('th:not([scope])').length");
    assert_eq!(without_scope, 0);
}

#[test]
fn what_was_skipped_is_amber_and_what_failed_red() {
    let browser = Browser::start();
    let banners = |name: &str, report: &Report| {
        browser.open(&page(name, report));
        browser.evaluate(
            "[...document.querySelectorAll('.banner')].map(banner => banner.className + ': ' + banner.innerText)",
        )
    };
    assert_eq!(
        banners("red", &sample::cluster()),
        json!([
            "banner bad: 4 images from a registry of --fail-on: registry.k8s.io.",
            "banner bad: 1 item failed to read. Show the list"
        ])
    );
    let amber = banners("amber", &sample::files());
    assert_eq!(amber[1], "banner warning: 5 items skipped. Show the list");
    let targets = "[...document.querySelectorAll('.banner a')].map(a => document.querySelector(a.hash).innerText)";
    assert_eq!(browser.evaluate(targets), json!(["Skipped", "Not understood", "Not understood"]));
    let places = browser.evaluate(
        "[...document.querySelectorAll('[aria-labelledby=skipped] code, .images li')].map(e => e.textContent)",
    );
    let places: Vec<String> = serde_json::from_value(places).expect("texts");
    assert!(places.contains(&"deploy/templates/app.yaml:3".to_owned()), "{places:?}");
}

#[test]
fn rows_can_be_filtered() {
    const ROWS: &str = "[...document.querySelectorAll('.images [data-bucket]')]\
                        .filter(row => row.checkVisibility()).map(row => row.querySelector('th').innerText)";
    let browser = Browser::start();
    let rows = || browser.evaluate(ROWS).as_array().map(Vec::len);
    browser.open(&page("filtered", &sample::cluster()));
    assert_eq!(rows(), Some(14));
    assert_eq!(browser.evaluate("document.querySelector('output').value"), "14 rows");
    browser.type_into("#text", "Payments");
    assert_eq!(rows(), Some(2));
    browser.type_into("#bucket", "not rewritten");
    assert_eq!(rows(), Some(0));
    let groups = "[...document.querySelectorAll('.images tbody')].filter(group => group.checkVisibility()).length";
    assert_eq!(browser.evaluate(groups), 0);
    browser.open(&file("verified-filtered", &verified::every_status()));
    assert_eq!(rows(), Some(7));
    browser.type_into("#bucket", "rate limited");
    assert_eq!(rows(), Some(1));
    assert_eq!(browser.evaluate(groups), 1);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Mail programs remove scripts.
#[test]
fn it_lacks_nothing_without_scripts() {
    let browser = Browser::start();
    browser.set_scripts(false);
    browser.open(&page("unscripted", &sample::cluster()));
    browser.set_scripts(true);
    let shown = "[...document.querySelectorAll('.images [data-bucket]')].filter(row => row.checkVisibility()).length";
    assert_eq!(browser.evaluate(shown), 14);
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

/// The names appear as text, and create no elements.
#[test]
fn a_name_can_not_be_markup() {
    let browser = Browser::start();
    for (name, page) in [("markup", html::html(&sample::hostile())), ("verified-markup", verified::hostile())] {
        browser.open(&file(name, &page));
        let tags = browser.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))].sort()");
        let tags: Vec<String> = serde_json::from_value(tags).expect("names");
        assert!(!tags.iter().any(|tag| ["img", "iframe", "b"].contains(&tag.as_str())), "{tags:?}");
        let links = browser.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))");
        assert_eq!(links, json!(["#failed", "#unknown", "#unknown"]));
        assert_eq!(browser.evaluate("document.scripts.length"), 1);
        let attributes = browser.evaluate(
            "[...new Set([...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()))]\
             .filter(name => /^on|^style$|href|^src/.test(name) && name !== 'href')",
        );
        assert_eq!(attributes, Value::Array(Vec::new()));
        let texts = browser.evaluate("[...document.querySelectorAll('.images th code')].map(code => code.textContent)");
        assert!(texts.to_string().contains("<script>alert(1)</script>"), "{texts}");
    }
}

/// The pictures of the documentation. Their bytes depend on the browser and its fonts, so no test compares them.
#[test]
#[ignore = "`make screenshots` writes docs/images"]
fn screenshots() {
    let browser = Browser::start();
    let page = page("documented", &sample::cluster());
    for (name, width, height, scheme) in [("report", 1280, 860, "light"), ("report-narrow-dark", 390, 860, "dark")] {
        browser.set_size(width, height);
        browser.set_media(scheme, "screen");
        browser.open(&page);
        browser.screenshot_window(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images").join(name));
    }
}
