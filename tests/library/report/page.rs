//! The text of the HTML report. `tests/ecosystem/report.rs` opens it in a browser.

use pullthrough::scan::report::html;

use super::sample;

#[test]
fn it_is_one_file_with_the_same_bytes() {
    let text = html::html(&sample::cluster());
    assert_eq!(text, html::html(&sample::cluster()));
    for outside in ["http://", "src=", "@import", "url("] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert_eq!(text.matches("href=").count(), text.matches("href=\"#").count(), "a link leaves the page");
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace("><", ">\n<");
    insta::assert_snapshot!("html", text);
}
