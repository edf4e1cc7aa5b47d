//! Properties over images with any parts: held, absent or not known.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const REPOSITORY: &str = "hub/app";
const OFFLINE: Offline = Offline { serves_held: Some(true), ends_secs: 1000 };

/// What an inventory of the tests says of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Held,
    HeldUntil(i64),
    Absent,
    Nothing,
}

/// An inventory of an index with two platforms, each with a configuration and two layers.
struct Inventory {
    index: Digest,
    manifests: HashMap<Digest, Manifest>,
    /// In the order of `PARTS`.
    says: HashMap<String, Say>,
}

/// The tag, the index, and manifest, configuration and layers of each platform.
const PARTS: usize = 2 + 2 * 4;
/// The parts of linux/amd64 alone.
const OF_AMD64: usize = 2 + 4;

impl Inventory {
    fn new(says: &[Say]) -> Self {
        let mut manifests = HashMap::new();
        let mut names = vec!["1".to_owned()];
        let mut children = Vec::new();
        let mut of_children = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let blob = |what: &str| Digest::of(format!("{what} of {architecture}").as_bytes());
            let [config, one, two] = ["configuration", "layer 1", "layer 2"].map(blob);
            let descriptor = |digest: &Digest| json!({"digest": digest.as_str(), "size": 1});
            let text =
                json!({"config": descriptor(&config), "layers": [descriptor(&one), descriptor(&two)]}).to_string();
            let digest = Digest::of(text.as_bytes());
            let manifest = Manifest::of(digest.clone(), text.into()).unwrap();
            manifests.insert(digest.clone(), manifest);
            let platform = json!({"os": "linux", "architecture": architecture});
            children.push(json!({"digest": digest.as_str(), "size": 1, "platform": platform}));
            of_children.extend([digest, config, one, two].map(|digest| digest.to_string()));
        }
        let text = json!({"manifests": children}).to_string();
        let index = Digest::of(text.as_bytes());
        manifests.insert(index.clone(), Manifest::of(index.clone(), text.into()).unwrap());
        names.push(index.to_string());
        names.extend(of_children);
        Self { index, manifests, says: names.into_iter().zip(says.iter().copied()).collect() }
    }

    fn part<T>(&self, name: &str, value: T) -> Part<T> {
        match self.says.get(name).copied().unwrap_or(Say::Nothing) {
            Say::Held => Part::Held { value, until_secs: None },
            Say::HeldUntil(secs) => Part::Held { value, until_secs: Some(secs) },
            Say::Absent => Part::Absent("not stored".to_owned()),
            Say::Nothing => Part::Unknown("not listed".to_owned()),
        }
    }

    fn judge(&self, platforms: &[Platform]) -> Verdict {
        let [by_tag, by_digest] = [Reference::Tag("1".to_owned()), Reference::Digest(self.index.clone())]
            .map(|reference| judge(self, REPOSITORY, &reference, platforms, OFFLINE).verdict);
        assert!(by_tag != Verdict::Yes || by_digest == Verdict::Yes, "a digest needs less than a tag");
        by_tag
    }
}

impl Holdings for Inventory {
    fn title(&self) -> &str {
        "inventory"
    }

    fn tag(&self, _repository: &str, tag: &str) -> Part<Digest> {
        self.part(tag, self.index.clone())
    }

    fn manifest(&self, _repository: &str, digest: &Digest) -> Part<Manifest> {
        match self.manifests.get(digest) {
            Some(manifest) => self.part(digest.as_str(), manifest.clone()),
            None => Part::Absent("not stored".to_owned()),
        }
    }

    fn blob(&self, _repository: &str, blob: &Descriptor) -> Part<()> {
        self.part(blob.digest.as_str(), ())
    }

    fn platform(&self, _repository: &str, _config: &Descriptor) -> Part<Platform> {
        Part::Unknown("not listed".to_owned())
    }
}

fn platform(architecture: &str) -> Platform {
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), ..Platform::default() }
}

fn platforms() -> [Vec<Platform>; 4] {
    [vec![], vec![platform("amd64")], vec![platform("amd64"), platform("arm64")], vec![platform("s390x")]]
}

fn any_says() -> impl Strategy<Value = Vec<Say>> {
    // Mostly held, so that whole images are among them.
    let say = prop_oneof![
        12 => Just(Say::Held),
        1 => (900i64..1100).prop_map(Say::HeldUntil),
        1 => Just(Say::Absent),
        1 => Just(Say::Nothing),
    ];
    prop::collection::vec(say, PARTS)
}

fn lasts(say: Say) -> bool {
    say == Say::Held || matches!(say, Say::HeldUntil(secs) if secs > OFFLINE.ends_secs)
}

proptest! {
    /// `yes` means that every needed part is held until the end.
    #[test]
    fn yes_needs_every_part(says in any_says()) {
        let inventory = Inventory::new(&says);
        let [all, amd64, both, absent] = platforms().map(|platforms| inventory.judge(&platforms));
        let whole = says.iter().all(|say| lasts(*say));
        prop_assert_eq!(all == Verdict::Yes, whole);
        prop_assert_eq!(both == Verdict::Yes, whole);
        prop_assert_eq!(amd64 == Verdict::Yes, says[..OF_AMD64].iter().all(|say| lasts(*say)));
        prop_assert_ne!(absent, Verdict::Yes);
    }

    /// `no` means that a needed part is absent.
    #[test]
    fn no_needs_an_absent_part(says in any_says()) {
        let inventory = Inventory::new(&says);
        let amd64 = inventory.judge(&[platform("amd64")]);
        if amd64 == Verdict::No {
            prop_assert!(says[..OF_AMD64].contains(&Say::Absent));
        }
    }

    /// Without evidence of a part, no verdict gets better, but for `no`, which needs evidence too.
    #[test]
    fn less_evidence_never_makes_an_image_safe(says in any_says(), lost in 0..PARTS) {
        let mut fewer = says.clone();
        fewer[lost] = Say::Nothing;
        for platforms in platforms() {
            let [before, after] = [&says, &fewer].map(|says| Inventory::new(says).judge(&platforms));
            prop_assert!(after != Verdict::Yes || before == Verdict::Yes);
        }
    }

    #[test]
    fn without_evidence_nothing_is_safe(unknown in prop_oneof![Just(None), Just(Some(false))]) {
        let nothing = Inventory::new(&[]);
        let whole = Inventory::new(&[Say::Held; PARTS]);
        let offline = Offline { serves_held: unknown, ..OFFLINE };
        for platforms in platforms() {
            prop_assert_eq!(nothing.judge(&platforms), Verdict::Unknown);
            let verdict = judge(&whole, REPOSITORY, &Reference::Tag("1".to_owned()), &platforms, offline).verdict;
            prop_assert_ne!(verdict, Verdict::Yes);
        }
    }
}
