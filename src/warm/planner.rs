//! Which requests fill a cache: from the answer to a request to the requests that follow it. Pure.

use std::collections::VecDeque;

use crate::engine::ImageRef;
use crate::products::{Order, Step};
use crate::registry::{Content, Descriptor, Digest, Manifest, Platform, Reference};

/// Cosign's tags for what belongs to a digest: signatures, attestations, bills of materials.
const COSIGN_SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// A request to a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Head(Reference),
    Manifest(Reference),
    Blob(Descriptor),
    HeadBlob(Descriptor),
    Referrers(Digest),
}

impl Request {
    /// Returns the tag or digest that it names.
    pub fn reference(&self) -> Reference {
        match self {
            Self::Head(reference) | Self::Manifest(reference) => reference.clone(),
            Self::Blob(blob) | Self::HeadBlob(blob) => Reference::Digest(blob.digest.clone()),
            Self::Referrers(digest) => Reference::Digest(digest.clone()),
        }
    }
}

/// Why a manifest is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is the image.
    Image,
    /// It is a child of an index.
    Child,
    /// The cache imports an image by its tag only. What the tag names now does not matter.
    Import,
    /// It belongs to an image, such as a signature. It may be absent.
    Extra,
}

/// A request, and why it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub request: Request,
    pub purpose: Purpose,
}

impl Task {
    fn new(request: Request, purpose: Purpose) -> Self {
        Self { request, purpose }
    }

    pub fn of_blob(request: Request) -> Self {
        Self::new(request, Purpose::Child)
    }

    /// Returns whether a 404 is no fault.
    pub fn may_be_absent(&self) -> bool {
        match self.purpose {
            Purpose::Image | Purpose::Child => false,
            Purpose::Import => true,
            Purpose::Extra => match &self.request {
                Request::Head(_) | Request::Referrers(_) => true,
                Request::Manifest(_) | Request::Blob(_) | Request::HeadBlob(_) => false,
            },
        }
    }
}

/// What was served. `Absent` is for tasks that [`Task::may_be_absent`].
#[derive(Debug, Clone, Copy)]
pub enum Served<'a> {
    Head(Option<&'a Digest>),
    Manifest(&'a Manifest),
    Referrers(&'a [Descriptor]),
    Absent,
}

/// Plans the requests for images of a cache.
#[derive(Debug, Clone)]
pub struct Planner {
    pub order: Order,
    /// The platforms to fetch; if there are none, all of them, with attestations.
    pub platforms: Vec<Platform>,
    /// Whether referrers and cosign's tags are requested too.
    pub referrers: bool,
}

/// The requests that follow an answer. Manifests come before blobs, as containerd sends them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Next {
    pub tasks: VecDeque<Task>,
    pub blobs: Vec<Descriptor>,
}

impl Planner {
    fn has(&self, step: Step) -> bool {
        self.order.steps.contains(&step)
    }

    /// Returns whether the cache has to show that it has stored a blob.
    pub fn checks_blobs(&self) -> bool {
        self.has(Step::HeadBlobs)
    }

    /// Returns the first requests for an image.
    pub fn first(&self, image: &ImageRef<'_>) -> VecDeque<Task> {
        let mut tasks = VecDeque::new();
        match Reference::of(image) {
            Reference::Tag(tag) if self.has(Step::HeadTag) => {
                tasks.push_back(Task::new(Request::Head(Reference::Tag(tag)), Purpose::Image));
            }
            tag @ Reference::Tag(_) => tasks.push_back(Task::new(Request::Manifest(tag), Purpose::Image)),
            digest @ Reference::Digest(_) => {
                let is_imported = self.has(Step::GetTag) && self.has(Step::GetDigest);
                if let Some(tag) = image.tag().filter(|_| is_imported) {
                    let tag = Reference::Tag(tag.to_owned());
                    tasks.push_back(Task::new(Request::Manifest(tag), Purpose::Import));
                }
                tasks.push_back(Task::new(Request::Manifest(digest), Purpose::Image));
            }
        }
        tasks
    }

    /// Returns the requests that follow.
    pub fn after(&self, task: &Task, served: Served<'_>) -> Next {
        let mut next = Next::default();
        match (&task.request, served) {
            (Request::Head(reference), Served::Head(digest)) => {
                let reference = digest.map_or_else(|| reference.clone(), |digest| Reference::Digest(digest.clone()));
                next.tasks.push_back(Task::new(Request::Manifest(reference), task.purpose));
            }
            (Request::Manifest(_), Served::Manifest(_)) if task.purpose == Purpose::Import => {}
            // A tag comes before its digest. The manifest of the digest is the same.
            (Request::Manifest(Reference::Tag(_)), Served::Manifest(manifest))
                if self.has(Step::GetTag) && self.has(Step::GetDigest) =>
            {
                let digest = Reference::Digest(manifest.digest.clone());
                next.tasks.push_back(Task::new(Request::Manifest(digest), task.purpose));
            }
            (Request::Manifest(_), Served::Manifest(manifest)) => self.parts(task.purpose, manifest, &mut next),
            (Request::Referrers(_), Served::Referrers(referrers)) => {
                next.tasks.extend(referrers.iter().map(|referrer| {
                    Task::new(Request::Manifest(Reference::Digest(referrer.digest.clone())), Purpose::Extra)
                }));
            }
            // Registries without the referrers API have a tag in its place.
            (Request::Referrers(digest), Served::Absent) => {
                next.tasks.push_back(Task::new(Request::Head(tag_of(digest, "")), Purpose::Extra));
            }
            (
                Request::Head(_)
                | Request::Manifest(_)
                | Request::Blob(_)
                | Request::HeadBlob(_)
                | Request::Referrers(_),
                _,
            ) => {}
        }
        next
    }

    /// Adds the requests for what a manifest names.
    fn parts(&self, purpose: Purpose, manifest: &Manifest, next: &mut Next) {
        match &manifest.content {
            Content::Index(children) if self.has(Step::Children) => {
                let purpose = if purpose == Purpose::Image { Purpose::Child } else { purpose };
                let children = children.iter().filter(|child| self.wants_manifest(child));
                next.tasks.extend(
                    children
                        .map(|child| Task::new(Request::Manifest(Reference::Digest(child.digest.clone())), purpose)),
                );
            }
            Content::Image { config, layers } if self.has(Step::Blobs) => {
                let own = layers.iter().filter(|layer| layer.urls.is_empty());
                next.blobs.extend([config].into_iter().chain(own).cloned());
            }
            Content::Index(_) | Content::Image { .. } => {}
        }
        if self.referrers && purpose != Purpose::Extra {
            next.tasks.push_back(Task::new(Request::Referrers(manifest.digest.clone()), Purpose::Extra));
            next.tasks.extend(
                COSIGN_SUFFIXES
                    .map(|suffix| Task::new(Request::Head(tag_of(&manifest.digest, suffix)), Purpose::Extra)),
            );
        }
    }

    /// Returns whether a child of an index is requested. A cache that stores an index without absent children needs all.
    fn wants_manifest(&self, child: &Descriptor) -> bool {
        self.order.children_within_secs.is_some() || self.wants(child)
    }

    fn wants(&self, child: &Descriptor) -> bool {
        let is_wanted = |found: &Platform| self.platforms.iter().any(|wanted| wanted.runs(found));
        self.platforms.is_empty() || (!child.is_attestation() && child.platform.as_ref().is_none_or(is_wanted))
    }

    /// Returns the wanted platforms that an index does not have.
    pub fn missing(&self, manifest: &Manifest) -> Vec<&Platform> {
        let Content::Index(children) = &manifest.content else { return Vec::new() };
        let has = |wanted: &Platform| {
            children.iter().any(|child| child.platform.as_ref().is_none_or(|found| wanted.runs(found)))
        };
        self.platforms.iter().filter(|wanted| !has(wanted)).collect()
    }
}

/// Returns the tag that stands for a digest: `sha256-….sig`.
fn tag_of(digest: &Digest, suffix: &str) -> Reference {
    Reference::Tag(format!("{}{suffix}", digest.as_str().replace(':', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Product;
    use crate::products::Model;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn descriptor(name: &str, platform: Option<&str>) -> Descriptor {
        let platform = platform.map(platform_of);
        let annotations = match name {
            "attestation" => [("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned())].into(),
            _ => Default::default(),
        };
        let urls = if name == "foreign" { vec!["https://example.com/layer".to_owned()] } else { Vec::new() };
        Descriptor { media_type: String::new(), digest: digest(name), size_bytes: 1, platform, urls, annotations }
    }

    fn platform_of(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Platform { os: part(), architecture: part(), variant: part(), os_version: String::new() }
    }

    fn manifest(name: &str) -> Manifest {
        let content = match name {
            "index" => Content::Index(vec![
                descriptor("amd64", Some("linux/amd64")),
                descriptor("arm64", Some("linux/arm64/v8")),
                descriptor("attestation", Some("unknown/unknown")),
            ]),
            _ => Content::Image {
                config: descriptor(&format!("config of {name}"), None),
                layers: vec![descriptor(&format!("layer of {name}"), None), descriptor("foreign", None)],
            },
        };
        Manifest { digest: digest(name), media_type: String::new(), bytes: Default::default(), content }
    }

    const NAMES: [&str; 5] = ["index", "amd64", "arm64", "attestation", "signature"];

    /// Returns the requests for an image, as `METHOD what`, with the names of digests. `absent` is answered with 404.
    fn requests(planner: &Planner, image: &str, absent: &[&str]) -> Vec<String> {
        let image = ImageRef::parse(image).unwrap();
        let mut tasks = planner.first(&image);
        let (mut lines, mut blobs) = (Vec::new(), Vec::new());
        let named = |digest: &Digest| {
            let name = NAMES.iter().find(|name| Digest::of(name.as_bytes()) == *digest);
            name.map_or_else(|| digest.to_string(), |name| (*name).to_owned())
        };
        let of = |reference: &Reference| match reference {
            Reference::Digest(found) => named(found),
            Reference::Tag(tag) => NAMES.iter().fold(tag.clone(), |tag, name| {
                tag.replace(&digest(name).as_str().replace(':', "-"), &format!("{name}-tag"))
            }),
        };
        while let Some(task) = tasks.pop_front() {
            let (line, what) = match &task.request {
                Request::Head(reference) => (format!("HEAD {}", of(reference)), of(reference)),
                Request::Manifest(reference) => (format!("GET {}", of(reference)), of(reference)),
                Request::Referrers(digest) => (format!("REFERRERS {}", named(digest)), "referrers".to_owned()),
                Request::Blob(_) | Request::HeadBlob(_) => unreachable!("blobs are no tasks"),
            };
            lines.push(line);
            let (index, signature) = (digest("index"), [descriptor("signature", None)]);
            let found = manifest(NAMES.iter().find(|name| **name == what).unwrap_or(&"index"));
            let served = match &task.request {
                _ if absent.iter().any(|absent| what.ends_with(absent)) => Served::Absent,
                Request::Head(_) => Served::Head(Some(&index)),
                Request::Referrers(_) => Served::Referrers(&signature),
                _ => Served::Manifest(&found),
            };
            let next = planner.after(&task, served);
            tasks.extend(next.tasks);
            blobs.extend(next.blobs);
        }
        let is_named = |name: &str, blob: &Descriptor| blob.digest == digest(name);
        for blob in &blobs {
            let of = NAMES.iter().find_map(|name| {
                let kinds = ["config", "layer"].into_iter();
                kinds.map(|kind| format!("{kind} of {name}")).find(|one| is_named(one, blob))
            });
            lines.push(format!("GET {}", of.unwrap_or_else(|| blob.digest.to_string())));
        }
        lines
    }

    fn planner(product: Product, platforms: &[&str]) -> Planner {
        let platforms = platforms.iter().map(|text| platform_of(text)).collect();
        Planner { order: Model::of(product).order.value, platforms, referrers: false }
    }

    #[test]
    fn each_product_gets_its_requests_in_its_order() {
        let by_digest = format!("cache.io/a:1@{}", digest("index"));
        let blobs = |names: &[&str]| -> Vec<String> {
            names.iter().flat_map(|name| [format!("GET config of {name}"), format!("GET layer of {name}")]).collect()
        };
        let every = ["amd64", "arm64", "attestation"];
        for (product, platforms, image, manifests, of_blobs) in [
            (
                Product::Generic,
                &[][..],
                "cache.io/a:1",
                "HEAD 1, GET index, GET amd64, GET arm64, GET attestation",
                &every[..],
            ),
            (Product::Distribution, &["linux/arm64"], "cache.io/a:1", "HEAD 1, GET index, GET arm64", &["arm64"]),
            (Product::Distribution, &["linux/arm64/v7"], "cache.io/a:1", "HEAD 1, GET index", &[]),
            (Product::Distribution, &["linux/amd64"], &by_digest, "GET index, GET amd64", &["amd64"]),
            (
                Product::Harbor,
                &["linux/amd64"],
                "cache.io/a",
                "HEAD latest, GET index, GET amd64, GET arm64, GET attestation",
                &[],
            ),
            (Product::Zot, &["linux/amd64"], "cache.io/a:1", "GET 1", &[]),
            (Product::Zot, &[], &by_digest, "GET index", &[]),
            (Product::Ecr, &["linux/amd64"], "cache.io/a:1", "GET 1, GET index, GET amd64", &["amd64"]),
            (Product::Ecr, &["linux/amd64"], &by_digest, "GET 1, GET index, GET amd64", &["amd64"]),
        ] {
            let expected: Vec<String> = manifests.split(", ").map(str::to_owned).chain(blobs(of_blobs)).collect();
            assert_eq!(requests(&planner(product, platforms), image, &[]), expected, "{product:?} {image}");
        }
    }

    #[test]
    fn a_tag_that_is_gone_does_not_stop_the_import_by_digest() {
        let image = format!("cache.io/a:1@{}", digest("amd64"));
        let found = requests(&planner(Product::Ecr, &[]), &image, &["1"]);
        assert_eq!(found, ["GET 1", "GET amd64", "GET config of amd64", "GET layer of amd64"]);
    }

    #[test]
    fn referrers_and_cosign_tags_are_requested_on_request() {
        let planner = Planner { referrers: true, ..planner(Product::Zot, &[]) };
        let image = format!("cache.io/a@{}", digest("amd64"));
        let found = requests(&planner, &image, &[".att", ".sbom", ".sig"]);
        let tags = [".sig", ".att", ".sbom"].map(|suffix| format!("HEAD amd64-tag{suffix}"));
        let first = ["GET amd64".to_owned(), "REFERRERS amd64".to_owned()];
        assert_eq!(found, [&first[..], &tags, &["GET signature".to_owned()]].concat());
        // Without the referrers API.
        let found = requests(&planner, &image, &[".att", ".sbom", ".sig", "referrers"]);
        assert_eq!(found, [&first[..], &tags, &["HEAD amd64-tag".to_owned(), "GET index".to_owned()]].concat());
    }

    #[test]
    fn missing_platforms_are_named() {
        let planner = planner(Product::Generic, &["linux/amd64", "linux/s390x", "windows/amd64", "linux/arm64"]);
        let missing: Vec<String> = planner.missing(&manifest("index")).iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["linux/s390x", "windows/amd64"]);
        assert!(planner.missing(&manifest("amd64")).is_empty());
    }
}
