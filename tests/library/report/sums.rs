//! Findings are summed up as they arrive.

use pullthrough::config;
use pullthrough::engine::{Policy, Question, Workload};
use pullthrough::scan::report::table;
use pullthrough::scan::{
    Bucket, FoundImage, FoundWorkload, Location, NotCovered, Report, Rollout, RolloutCounts, Use, Verdict,
};

use super::sample;

#[test]
fn the_size_of_a_report_does_not_depend_on_the_number_of_pods() {
    let mut report = Report::new(String::new(), None, Vec::new(), 3);
    for pod in 0..10_000 {
        let place = Location::Cluster {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: Some(format!("team-{}", pod % 7)),
            name: format!("web-{pod}"),
            place: "containers/app".to_owned(),
        };
        let in_use = if pod % 2 == 0 { Use::Running } else { Use::Template };
        report.add(FoundImage::new(format!("nginx:{}", pod % 5), place, in_use, None, None));
    }
    assert_eq!(report.entries.len(), 10);
    for entry in &report.entries {
        assert_eq!((entry.count, entry.places.len(), entry.namespaces.len()), (1000, 3, 7));
        assert_eq!(entry.namespaces.values().sum::<usize>(), 1000);
    }
    let sums = report.sums();
    assert_eq!((sums.groups.len(), sums.total.images, sums.total.places), (1, 5, 10_000));
    assert_eq!((sums.total.of_use(Use::Running), sums.total.of_use(Use::Held)), (5000, 0));
    assert_eq!(sums.total.of_bucket(Bucket::Undecided), 5);
    assert_eq!(sums.namespaces.len(), 7);
    assert_eq!(sums.groups[0].rows.len(), 5, "an image that runs and is in templates must be one row");
}

#[test]
fn workloads_are_counted_once_for_each_rule_that_is_not_rolled_out() {
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:
  - {name: hub, from: [docker.io], to: c.io/hub, rollout: 25%}
  - {name: quay, from: [quay.io], to: c.io/quay, rollout: 60%, mode: observe}
  - {name: none, from: [ghcr.io], to: c.io/ghcr, rollout: 0%}
  - {name: all, from: [gcr.io], to: c.io/gcr}\n";
    let policy = Policy::from(config::parse("rules.yaml", rules).expect("valid rules"));
    let mut report = Report::new(String::new(), None, Vec::new(), 3);
    report.rollouts = Rollout::of(&policy);
    let mut add = |image: &str, kind: &str, name: &str, workload: Option<Workload>, not_covered: Option<NotCovered>| {
        let workload = FoundWorkload::of(Some(&policy), workload.as_ref(), "shop");
        let included_from = workload.as_ref().map(|workload| workload.included_from);
        let question = Question { image, namespace: "shop", pull_never: false, previous: None, included_from };
        let place = Location::Cluster {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
            place: "containers/app".to_owned(),
        };
        let verdict = Some(Verdict::from(&policy.decide(question)));
        let found = FoundImage::new(image.to_owned(), place, Use::Running, verdict, not_covered);
        report.add(FoundImage { workload, ..found });
    };
    let mut included = [0, 0];
    for number in 0..100 {
        let name = format!("web-{number}");
        let workload = || Workload::new("Deployment", name.clone());
        let from = workload().included_from("shop").get();
        included[0] += usize::from(from <= 25);
        included[1] += usize::from(from <= 60);
        for image in ["nginx", "redis", "quay.io/a", "gcr.io/a"] {
            add(image, "Deployment", &name, Some(workload()), None);
            for pod in 0..10 {
                add(image, "Pod", &format!("{name}-{pod}"), Some(workload()), None);
            }
        }
        // Not what the rule decides, or not what the webhook gets.
        add("c.io/hub/library/nginx", "Pod", "cached", Some(Workload::new("StatefulSet", name.clone())), None);
        add("nginx", "Pod", "static", Some(Workload::new("Node", name.clone())), Some(NotCovered::StaticPod));
    }
    for job in ["backup", "backup", "report"] {
        add("nginx", "CronJob", job, None, None);
    }
    let counts: Vec<_> = report.rollouts.iter().map(|rollout| (&*rollout.rule, rollout.counts())).collect();
    let of = |included, known, unknown| RolloutCounts { included, known, unknown };
    assert_eq!(counts, [("hub", of(included[0], 100, 2)), ("quay", of(included[1], 100, 0)), ("none", of(0, 0, 0))]);
    let text = table::summary(&report, None);
    let line = format!("rule quay, rollout 60%: {} of 100 workloads included\n", included[1]);
    assert!(text.contains(&line), "{text}");
}

#[test]
fn sums_agree() {
    for report in [sample::cluster(), sample::files(), sample::hostile()] {
        let sums = report.sums();
        let places: usize = report.entries.iter().map(|entry| entry.count).sum();
        assert_eq!(sums.total.places, places);
        assert_eq!(sums.groups.iter().map(|group| group.share.places).sum::<usize>(), places);
        assert_eq!(sums.rows().map(|row| row.count).sum::<usize>(), places);
        assert_eq!(sums.groups.iter().map(|group| group.share.images).sum::<usize>(), sums.total.images);
        assert_eq!(sums.namespaces.iter().map(|(_, share)| share.places).sum::<usize>(), places);
        assert_eq!(Use::ALL.iter().map(|in_use| sums.total.of_use(*in_use)).sum::<usize>(), places);
        for (_, share) in &sums.namespaces {
            assert!(Bucket::ALL.iter().map(|bucket| share.of_bucket(*bucket)).sum::<usize>() >= share.images);
        }
    }
}

#[test]
fn a_registry_or_a_path_of_it_fails() {
    let failing = |fail_on: &[&str]| {
        let mut report = sample::cluster();
        report.fail_on = fail_on.iter().map(|prefix| (*prefix).to_owned()).collect();
        let mut images: Vec<String> = report.failing().map(|entry| entry.finding.image.clone()).collect();
        images.sort();
        images.dedup();
        images
    };
    assert_eq!(failing(&[]), [""; 0]);
    assert_eq!(failing(&["k8s.gcr.io"]), ["k8s.gcr.io/metrics-server/metrics-server:v0.6.4"]);
    assert_eq!(failing(&["docker.io/library/busybox"]), ["busybox:1.37"]);
    assert_eq!(failing(&["docker.io/lib", "quay.io.example.com"]), [""; 0]);
    let held = "docker.io/library/httpd:2.4.58";
    assert!(failing(&["docker.io"]).len() == 3 && !failing(&["docker.io"]).contains(&held.to_owned()));
    assert!(
        failing(&["registry.k8s.io"]).contains(&"registry.k8s.io/pause:3.10".to_owned()),
        "the sandbox image is pulled"
    );
}
