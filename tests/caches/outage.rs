//! After `pullthrough warm` the upstream is stopped. What `warm` and `drill` call safe is pulled by containerd, and what `drill`
//! calls unsafe is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use pullthrough::registry::Digest;
use serde_json::{Value, json};

use crate::DEADLINE;
use crate::access::Access;
use crate::cache::{Cache, Release};
use crate::harness::wait_for;
use crate::images::{FOREIGN, Image};
use crate::node::NODES;
use crate::site::{STATE, Site};

/// Two releases have as many each.
const IMAGES: usize = 100;
const PULLS_AT_A_TIME: usize = 4;

/// What happens to images of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is warmed, and nothing else happens.
    Safe,
    NotWarmed,
    /// It is warmed for the other platform.
    OtherPlatform,
    LayerLost,
    LayerCutOff,
    /// Another repository still links the layer.
    LayerUnlinked,
    ConfigLost,
    ChildLost,
    IndexLost,
    TagRemoved,
    RepositoryEmptied,
    ManifestExpired,
    LayerExpired,
    /// It has the layer of the image before, which expires there.
    LayerExpiredElsewhere,
    /// It expires within the hour that `drill` assumes.
    ExpiresSoon,
}

impl Fate {
    /// Returns the fate of an image: every fate but the first for two images in a row, and then the first.
    fn of(index: usize) -> Self {
        use Fate::*;
        let fates = [
            NotWarmed,
            OtherPlatform,
            LayerLost,
            LayerCutOff,
            LayerUnlinked,
            ConfigLost,
            ChildLost,
            IndexLost,
            TagRemoved,
            RepositoryEmptied,
            ManifestExpired,
            ExpiresSoon,
        ];
        match index.checked_sub(2 * fates.len()) {
            None => fates[index / 2],
            Some(0) => LayerExpired,
            Some(1) => LayerExpiredElsewhere,
            Some(_) => Safe,
        }
    }

    /// Returns the verdicts by tag and by digest.
    fn verdicts(self) -> [&'static str; 2] {
        match self {
            Self::Safe => ["yes"; 2],
            Self::TagRemoved => ["no", "yes"],
            Self::ExpiresSoon => ["unknown"; 2],
            _ => ["no"; 2],
        }
    }

    /// Changes the storage of a cache that does not run, and what its scheduler will remove.
    fn strike(self, image: &Image, cache: &Cache, state: &mut Value) {
        let remove = |path: &Path| std::fs::remove_dir_all(path).unwrap();
        let lose = |digest: &Digest| std::fs::remove_file(cache.data(digest)).unwrap();
        let mut expire = |digest: &Digest, time: SystemTime| {
            let time = Timestamp::try_from(time).unwrap();
            state[format!("{}@{digest}", image.repository)]["ExpiryData"] = json!(time.to_string());
        };
        let (past, soon) = (SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(1800));
        match self {
            Self::Safe | Self::NotWarmed | Self::OtherPlatform | Self::LayerExpiredElsewhere => {}
            Self::LayerLost => lose(&image.native.layer),
            Self::LayerCutOff => std::fs::write(cache.data(&image.native.layer), "").unwrap(),
            Self::LayerUnlinked => {
                let digest = image.native.layer.as_str().replacen(':', "/", 1);
                remove(&cache.repository(&image.repository, "_layers").join(digest));
            }
            Self::ConfigLost => lose(&image.native.config),
            Self::ChildLost => lose(&image.native.digest),
            Self::IndexLost => lose(&image.digest),
            Self::TagRemoved => remove(&cache.repository(&image.repository, "_manifests/tags").join(&image.tag)),
            Self::RepositoryEmptied => remove(&cache.repository(&image.repository, "")),
            Self::ManifestExpired => expire(&image.digest, past),
            Self::LayerExpired => expire(&image.native.layer, past),
            Self::ExpiresSoon => expire(&image.digest, soon),
        }
    }
}

#[test]
fn what_is_called_safe_is_pulled_without_the_upstream() {
    for (release, access) in [(Release::Second, Access::Basic), (Release::Third, Access::Bearer)] {
        let mut site = Site::start(release, access);
        let images: Vec<(Fate, Image)> = (0..IMAGES)
            .map(|index| {
                let fate = Fate::of(index);
                let text = if fate == Fate::LayerExpiredElsewhere { index - 1 } else { index };
                (fate, site.upstream().add(&format!("team/app-{index}"), "1", &text.to_string()))
            })
            .collect();
        warm(&site, &images);
        let held: Vec<&(Fate, Image)> =
            images.iter().filter(|(fate, _)| !matches!(fate, Fate::NotWarmed | Fate::OtherPlatform)).collect();

        strike(&mut site, &held);
        let expected = expected(&images, Fate::verdicts);
        // The cache answers from its storage, and the upstream gets no request.
        let requests = site.upstream().requests();
        assert_eq!(drill(&site, &images, Site::drill_by_keys), expected, "{release:?}");
        assert_eq!(site.upstream().requests(), requests, "{release:?}");
        site.stop_upstream();
        for by in [Site::drill, Site::drill_by_keys] {
            assert_eq!(drill(&site, &images, by), expected, "{release:?}");
        }
        compare(&site, release, &expected);

        // Behind the back of the cache, which runs.
        std::fs::remove_dir_all(site.cache.storage().join("docker/registry/v2/blobs")).unwrap();
        let expected = self::expected(&images, |_| ["no"; 2]);
        assert_eq!(drill(&site, &images, Site::drill), expected, "{release:?}");
        compare(&site, release, &expected);
    }
}

/// Has the cache fetch all images but those that are not warmed, and some for the other platform only.
fn warm(site: &Site, images: &[(Fate, Image)]) {
    let run = |arguments: &[&str], is_wanted: fn(Fate) -> bool| {
        let wanted = images.iter().filter(|(fate, _)| is_wanted(*fate));
        let names: Vec<String> = wanted.map(|(_, image)| image.by_tag()).collect();
        let entries = site.ask(arguments, &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(entries.iter().all(|entry| entry["status"] == "fetched"), "{entries:?}");
    };
    run(&["warm"], |fate| fate != Fate::NotWarmed && fate != Fate::OtherPlatform);
    run(&["warm", &format!("--platform=linux/{FOREIGN}")], |fate| fate == Fate::OtherPlatform);
}

/// Stops the cache, has each image meet its fate, and starts the cache.
fn strike(site: &mut Site, images: &[&(Fate, Image)]) {
    let file = site.cache.storage().join(STATE);
    // It is written some seconds later.
    let state = wait_for(DEADLINE, || {
        let state: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        let has = |image: &Image, digest| state.get(format!("{}@{digest}", image.repository)).is_some();
        images.iter().all(|(_, image)| has(image, &image.digest) && has(image, &image.native.layer)).then_some(state)
    });
    let mut state = state.unwrap();
    site.cache.stop();
    for (fate, image) in images {
        fate.strike(image, &site.cache, &mut state);
    }
    std::fs::write(&file, state.to_string()).unwrap();
    site.cache.restart();
}

/// Returns the verdict of each name of each image.
fn expected(images: &[(Fate, Image)], verdicts: fn(Fate) -> [&'static str; 2]) -> BTreeMap<String, String> {
    let of_image = |(fate, image): &(Fate, Image)| [image.by_tag(), image.by_digest()].into_iter().zip(verdicts(*fate));
    images.iter().flat_map(of_image).map(|(name, verdict)| (name, verdict.to_owned())).collect()
}

/// Returns the verdict of each name of each image, as `pullthrough drill` says.
fn drill(site: &Site, images: &[(Fate, Image)], by: fn(&Site, &[&str]) -> Vec<Value>) -> BTreeMap<String, String> {
    let names: Vec<String> = images.iter().flat_map(|(_, image)| [image.by_tag(), image.by_digest()]).collect();
    let lines = by(site, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let verdicts = lines.iter().map(|line| {
        let name = line["result"].as_str().unwrap().strip_prefix(site.cache.host()).unwrap();
        (name[1..].to_owned(), line["verdict"].as_str().unwrap().to_owned())
    });
    verdicts.collect()
}

/// Pulls all images but those of the verdict `unknown`, and compares.
fn compare(site: &Site, release: Release, verdicts: &BTreeMap<String, String>) {
    let known = Mutex::new(verdicts.iter().filter(|(_, verdict)| *verdict != "unknown"));
    let next = || known.lock().unwrap().next();
    let wrong = std::thread::scope(|scope| {
        let pull = || {
            let mut wrong = Vec::new();
            while let Some((image, verdict)) = next() {
                let pulled = site.pull(&NODES[1], image);
                if pulled.is_ok() != (verdict == "yes") {
                    wrong.push(format!("{image}: {verdict}, and containerd: {pulled:?}"));
                }
            }
            wrong
        };
        let threads: Vec<_> = (0..PULLS_AT_A_TIME).map(|_| scope.spawn(pull)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<String>>()
    });
    assert!(wrong.is_empty(), "{release:?}: {wrong:#?}");
}
