//! The engine alone, without server and network: `cargo bench --bench engine`.
//!
//! | group | what it measures |
//! | --- | --- |
//! | `answer` | an admission by the size of its review; throughput in bytes of the body |
//! | `decide` | rules files of different length, for an image that the last rule matches and for one that no rule matches; expected: about the same time for the four of a row |
//! | `parse_image` | forms of a reference; some need a canonical name |
//! | `parse_rules` | a rules file with 1 and with 1,000 rules, as on a reload |

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pullthrough_engine::config;
use pullthrough_engine::{Context, ImageRef, Policy, Question, answer};

mod common;

const COUNTS: [usize; 4] = [1, 10, 100, 1000];

fn policy(rules: &str) -> Policy {
    Policy::from(config::parse("rules.yaml", rules).expect("the rules are valid"))
}

fn answers(criterion: &mut Criterion) {
    let policy = policy(&common::rules(1));
    let mut group = criterion.benchmark_group("answer");
    for review in [common::one(), common::realistic(), common::none(), common::ephemeral(), common::large()] {
        group.throughput(Throughput::Bytes(review.body.len() as u64));
        group.bench_function(review.name, |bencher| {
            bencher.iter(|| answer(Context::of(&policy), black_box(&review.body)));
        });
    }
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let images = [("last", "registry.k8s.io/kube-proxy:v1.36.3"), ("none", "quay.io/prometheus/prometheus:v3.8.0")];
    for shape in ["rules", "from"] {
        for (matched, image) in images {
            for count in COUNTS {
                let policy = policy(&if shape == "rules" { common::rules(count) } else { common::sources(count) });
                let question =
                    Question { image, namespace: "default", pull_never: false, previous: None, included_from: None };
                group.bench_function(BenchmarkId::new(format!("{shape}/{matched}"), count), |bencher| {
                    bencher.iter(|| policy.decide(black_box(question)));
                });
            }
        }
    }
    group.finish();
}

fn images(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse_image");
    let forms = [
        ("canonical", "registry.k8s.io/kube-proxy:v1.36.3"),
        ("short", "nginx:1.29"),
        ("digest", "registry.k8s.io/pause@sha256:278fb9dbcca9518083ad1e11276933a2e96f23de604a3a08cc3c80002767d24c"),
        ("folded", "Registry.K8s.io:443/kube-proxy:v1.36.3"),
    ];
    for (form, image) in forms {
        group.bench_function(form, |bencher| bencher.iter(|| ImageRef::parse(black_box(image))));
    }
    group.finish();
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse_rules");
    for count in [1, 1000] {
        let text = common::rules(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| config::parse("rules.yaml", black_box(&text)));
        });
    }
    group.finish();
}

criterion_group!(benches, answers, decisions, images, rules);
criterion_main!(benches);
