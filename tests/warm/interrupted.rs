//! Runs that are killed, and their resume file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::limits::{Limiter, limited_scene};
use super::store::Store;
use super::{PREFIX, Scene};

const IMAGES: [&str; 4] = ["a:1", "b:1", "c:1", "d:1"];

/// Returns the number of GETs of each blob, of some requests.
fn blobs(lines: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains("/blobs/")) {
        *counts.entry(line.trim_start_matches("GET ").to_owned()).or_default() += 1;
    }
    counts
}

/// Returns the paths of the blobs that the resume file has.
fn recorded(scene: &Scene) -> BTreeSet<String> {
    let text = std::fs::read_to_string(scene.folder.path().join("resume")).unwrap_or_default();
    // The kill may have cut the last line off.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let entries = whole.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let blobs = entries.filter(|entry| entry["content"] == "blob");
    let path = |entry: serde_json::Value| {
        let repository = entry["cache"].as_str().unwrap().split_once('/').unwrap().1.to_owned();
        format!("/v2/{repository}/blobs/{}", entry["digest"].as_str().unwrap())
    };
    blobs.map(path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_fetches_no_completed_blob_twice() {
    let mut store = Store::default();
    for name in ["a", "b", "c", "d"] {
        store.index(name, "1", &["base", "one", "two", "three"]);
    }
    let scene = Scene::of("generic", &store).await;
    let arguments = ["--resume", "resume", "--rate", "100/s"];
    let (mut completed, mut kills) = (BTreeSet::new(), 0);
    for goal in [15, 30, 45, 60] {
        let before = scene.cache.lines().len();
        let mut child = scene.start(&IMAGES, &arguments);
        while scene.cache.lines().len() < goal && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // SIGKILL
        child.kill().await.unwrap();
        kills += 1;
        let again = blobs(&scene.cache.lines()[before..]);
        let twice: Vec<_> = again.keys().filter(|path| completed.contains(*path)).collect();
        assert!(twice.is_empty(), "{twice:?}");
        completed = recorded(&scene);
    }
    assert!(!completed.is_empty() && kills == 4);
    let before = scene.cache.lines().len();
    let ran = scene.warm(&IMAGES, &arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again = blobs(&scene.cache.lines()[before..]);
    assert!(again.keys().all(|path| !completed.contains(path)), "{again:?}");
    // Nothing is missing.
    let all: BTreeSet<String> = store.paths(PREFIX).into_iter().filter(|path| path.contains("/blobs/")).collect();
    assert_eq!(recorded(&scene), all);
    let before = scene.cache.lines().len();
    let ran = scene.warm(&IMAGES, &arguments).await;
    assert_eq!((ran.code, ran.sum("requests"), ran.sum("bytes")), (Some(0), 4, 0), "only tags are looked up: {ran:?}");
    assert!(scene.cache.lines()[before..].iter().all(|line| line.starts_with("HEAD")));
    // The index is read again for other platforms, and old entries do not count.
    let ran = scene.warm(&IMAGES, &["--resume", "resume", "--platform", "linux/amd64"]).await;
    assert_eq!((ran.sum("requests"), ran.code), (4 * 2, Some(0)), "{ran:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let ran = scene.warm(&IMAGES, &["--resume", "resume", "--resume-within", "0s"]).await;
    assert!(ran.sum("bytes") as usize == store.bytes(), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_file_that_can_not_be_used_is_an_error() {
    let mut store = Store::default();
    store.index("a", "1", &["base"]);
    let scene = Scene::of("generic", &store).await;
    for (file, part) in [
        ("rules.yaml", "rules.yaml:1 is not an entry of a resume file; name another file"),
        ("absent/resume", "the resume file absent/resume is unusable: No such file or directory"),
    ] {
        let ran = scene.warm(&["a:1"], &["--resume", file]).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(part), "{}", ran.stderr);
    }
    let mut child = scene.start(&["a:1"], &["--resume", "resume", "--rate", "1/s"]);
    while scene.cache.lines().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ran = scene.warm(&["a:1"], &["--resume", "resume"]).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("is in use by another run; wait for its end"), "{ran:?}");
    child.kill().await.unwrap();
}

/// As a limiter that allows 300 manifests in a window.
#[tokio::test(flavor = "multi_thread")]
async fn killed_runs_keep_the_quota_and_fetch_no_completed_blob_twice() {
    let names: Vec<String> = (0..150).map(|number| format!("app{number}")).collect();
    let mut store = Store::default();
    for name in &names {
        store.index(name, "1", &["base"]);
    }
    let images: Vec<String> = names.iter().map(|name| format!("{name}:1")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let arguments = ["--keep-quota", "20%", "--resume", "resume", "--max-wait", "1s"];
    for passes in [true, false] {
        let limiter = Limiter::new(300);
        let scene = limited_scene(&store, &limiter, passes, 21_600).await;
        let (mut completed, mut kills, mut windows) = (BTreeSet::new(), 0, 0);
        loop {
            let before = scene.cache.lines().len();
            let is_killed = kills < 2 * (windows + 1) && windows < 2;
            let code = if is_killed {
                let mut child = scene.start(&images, &arguments);
                while scene.cache.lines().len() < before + 150 && child.try_wait().unwrap().is_none() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                // SIGKILL
                child.kill().await.unwrap();
                kills += 1;
                None
            } else {
                let ran = scene.warm(&images, &arguments).await;
                if ran.code == Some(1) {
                    let cause = |entry: &serde_json::Value| entry["faults"][0]["causes"][0]["cause"].clone();
                    assert!(ran.entries.iter().any(|entry| cause(entry) == "keep_quota"), "{ran:?}");
                }
                ran.code
            };
            assert!(limiter.least() >= 60, "{} of 300 remain, passes={passes}", limiter.least());
            let again = blobs(&scene.cache.lines()[before..]);
            let twice: Vec<_> = again.keys().filter(|path| completed.contains(*path)).collect();
            assert!(twice.is_empty(), "{twice:?}");
            completed = recorded(&scene);
            match code {
                None => {}
                Some(0) => break,
                Some(code) => {
                    assert_eq!(code, 1);
                    windows += 1;
                    limiter.refill();
                }
            }
        }
        assert!(kills >= 2 && windows >= 2, "{kills} kills, {windows} windows");
        let all: BTreeSet<String> = store.paths(PREFIX).into_iter().filter(|path| path.contains("/blobs/")).collect();
        assert_eq!(completed, all);
    }
}
