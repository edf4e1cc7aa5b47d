//! Rules files of any length.

use std::fmt::Write;

/// Returns a file of `rules` rules, each with a name and the fields that `rule` returns.
pub fn text(rules: usize, rule: impl Fn(usize) -> String) -> String {
    let mut text = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n".to_owned();
    for at in 0..rules {
        let _ = writeln!(text, "- {{name: rule-{at}, {}}}", rule(at));
    }
    text
}

/// The name of a shape, and a function that returns a file of that shape with a number of entries.
pub type File = (&'static str, fn(usize) -> String);

pub const FILES: [File; 5] = [
    ("rules", |size| text(size, |at| format!("from: [r{at}.example.com, q{at}.example.com/e], to: c.io/r{at}"))),
    ("rules with except, in namespaces", |size| {
        text(size, |at| {
            format!(
                "from: [r{at}.example.com], to: c.io/r{at}, except: [r{at}.example.com/x], namespaces: {{exclude: [ci-*]}}"
            )
        })
    }),
    ("rules with one cache", |size| text(size, |at| format!("from: [r{at}.example.com], to: c.io/x"))),
    ("caches within others", |size| text(size, |at| format!("from: [r{at}.example.com], to: c.io/a/b{at}/c"))),
    ("entries of one rule", |size| {
        let from: Vec<String> = (0..size).map(|at| format!("r{at}.example.com")).collect();
        let except: Vec<String> = from.iter().map(|from| format!("{from}/x")).collect();
        text(1, |_| format!("from: [{}], to: c.io, except: [{}]", from.join(", "), except.join(", ")))
    }),
];
