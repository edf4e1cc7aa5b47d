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

pub const FILES: [File; 12] = [
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
    ("paths of one registry", |size| text(size, |at| format!("from: [gcr.io/p{at}], to: c.io/gcr/p{at}"))),
    ("rules with failover", |size| {
        text(size, |at| format!("from: [r{at}.example.com], to: a.io/r{at}, failover: [b.io/r{at}]")) + CACHES
    }),
    ("failovers of one rule", |size| {
        let failover: Vec<String> = (0..size).map(|at| format!("b.io/r{at}")).collect();
        text(1, |_| format!("from: [r.example.com], to: a.io, failover: [{}]", failover.join(", "))) + CACHES
    }),
    ("rules for one registry, each in a namespace", |size| {
        text(size, |at| format!("from: [docker.io], to: c.io/t{at}, namespaces: {{include: [team-{at}]}}"))
    }),
    ("equal rules", |size| text(size, |_| "from: [docker.io], to: c.io/t".to_owned())),
    ("patterns", |size| text(size, |at| format!(r"pattern: 'r{at}\.example\.com/(.+)', to: 'c.io/r{at}/$1'"))),
    ("rules of each kind", mixed),
];

/// The entries of `caches` for `failover`.
const CACHES: &str = "caches: [{prefix: a.io, health: {}}, {prefix: b.io, health: {}}]\n";

/// Returns a file like those of large clusters: many registries and paths, some rules with failover, with exceptions or in
/// namespaces, and one pattern among a hundred.
fn mixed(size: usize) -> String {
    let rule = |at: usize| match (at % 100, at % 3) {
        (0, _) => format!(r"pattern: 'r{at}\.example\.com/([^/]+)/(.+)', to: 'a.io/r{at}-$1/$2'"),
        (_, 0) => format!("from: [gcr.io/p{at}], to: a.io/gcr/p{at}, except: [gcr.io/p{at}/x]"),
        (_, 1) => {
            format!("from: [r{at}.example.com, 'q{at}.example.com:5000'], to: a.io/r{at}, failover: [b.io/r{at}]")
        }
        _ => {
            let namespaces = format!("{{include: [team-{}]}}", at % 40);
            format!("from: [r{at}.example.com], to: a.io/r{at}, namespaces: {namespaces}, imagePullSecrets: [s{at}]")
        }
    };
    text(size, rule) + CACHES
}
