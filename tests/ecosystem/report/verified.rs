//! Pages of `pullthrough verify`.

use pullthrough::diagnosis::{Cause, Diagnosis, Status};
use pullthrough::engine::Product;
use pullthrough::registry::{Answer, Outcome, Trace};
use pullthrough::scan::{Location, Report as Scan};
use pullthrough::verify::report::Report;
use pullthrough::verify::{Match, Proof, Seen, Target, Verified, html};

/// Returns an image with an answer of its cache, at 30 places.
fn verified(name: &str, status: Status, causes: &[Cause], warning: Option<&str>) -> Verified {
    let place = |number: usize| Location::Cluster {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some(name.to_owned()),
        name: format!("{name}-{number}"),
        place: "containers/app".to_owned(),
    };
    let places = (1..30).fold(place(0).into(), |mut places: pullthrough::verify::Places, number| {
        places.push(place(number));
        places
    });
    let outcome = if status == Status::Served { Outcome::Served(()) } else { Outcome::Missing };
    let warnings = warning.into_iter().map(str::to_owned).collect();
    let trace = Trace { status: Some(404), page: warning.map(str::to_owned), warnings, ..Trace::default() };
    let cache = Answer { outcome, trace };
    Verified {
        target: Target {
            image: format!("harbor.example.com/hub/{name}:1"),
            upstream: Some(name.to_owned()),
            rule: Some(name.to_owned()),
            places,
            pull: None,
        },
        product: Product::Harbor,
        diagnosis: Diagnosis { status, causes: causes.to_vec() },
        seen: Seen {
            name: format!("harbor.example.com/hub/{name}"),
            upstream_name: None,
            upstream: Some(cache.clone()),
            cache,
            is_inferred: false,
            digest: None,
            requires_login: None,
            platforms: Default::default(),
            proof: None,
        },
    }
}

fn page(images: &[Verified], text: &str, scan: &Scan) -> String {
    html::html(&Report {
        subject: text,
        rules: text,
        date: text,
        images,
        others: 3,
        skipped: &scan.skipped,
        unknowns: &scan.unknowns,
    })
}

/// Returns a page with every status.
pub fn every_status() -> String {
    let mut images: Vec<Verified> =
        Status::ALL.map(|status| verified(status.as_str(), status, Cause::ALL, None)).to_vec();
    images[0].diagnosis.causes.clear();
    let mut stale = verified("stale", Status::Served, &[], None);
    stale.seen.proof = Some(Proof { result: Match::Stale, upstream_digest: None, stale_secs: Some(9), reason: None });
    images.push(stale);
    page(&images, "https://10.0.0.1:6443", &super::sample::files())
}

/// Returns a page with names and texts that try to be markup.
pub fn hostile() -> String {
    let text = "<script>alert(1)</script>\"><img src=x onerror=alert(1)></style></title>";
    let name = format!("{text}{}", "a".repeat(200));
    page(&[verified(&name, Status::Missing, &[Cause::Path], Some(text))], text, &super::sample::hostile())
}
