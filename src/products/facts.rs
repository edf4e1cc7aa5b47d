//! The table. A sentence states what its sources do. Where they conflict, it names both.

use super::Cause::{
    Absent, CacheFailure, CacheLimit, Login, NotCached, Path, Remembered, Rights, UpstreamFailure, UpstreamLimit,
    UpstreamLogin,
};
use super::Source::{Assumed, Code, Documentation, Report, Run};
use super::Step::{Blobs as GetBlobs, Children, GetDigest, GetTag, HeadBlobs, HeadTag};
use super::{Answer, Blobs, Fact, Fill, Head, Inventory, Model, Offline, Order, Source};
use crate::engine::Product;

const SPECIFICATION: Source = Documentation("https://github.com/opencontainers/distribution-spec/blob/main/spec.md");
const CONTAINERD: Source = Code("https://github.com/containerd/containerd/tree/main/core/remotes/docker");
const DISTRIBUTION_2: Source = Run("distribution 2.8");
const DISTRIBUTION_3: Source = Run("distribution 3.1.2");
const DISTRIBUTION: Source = Code("https://github.com/distribution/distribution/tree/main/registry/proxy");
const HARBOR: Source = Code("https://github.com/goharbor/harbor/tree/main/src/controller/proxy");
const HARBOR_PAGE: Source = Documentation("https://goharbor.io/docs/latest/administration/configure-proxy-cache");
const ZOT: Source = Code("https://github.com/project-zot/zot/blob/main/pkg/api/routes.go");
const ZOT_WAIT: Source = Report("https://github.com/project-zot/zot/issues/4184");
const ECR: Source = Documentation("https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html");
const ECR_DIGEST: Source = Report("https://github.com/aws/containers-roadmap/issues/2837");
const ACR: Source = Documentation("https://learn.microsoft.com/azure/container-registry/tutorial-registry-cache");
const REMOTE: Source = Documentation("https://cloud.google.com/artifact-registry/docs/repositories/remote-overview");
const REMOTE_ERRORS: Source = Documentation("https://cloud.google.com/artifact-registry/docs/troubleshoot-remote");
const NEXUS: Source = Documentation("https://help.sonatype.com/en/proxy-repository-for-docker.html");
const NEXUS_LIMIT: Source = Documentation(
    "https://support.sonatype.com/hc/en-us/articles/33993902899731-Handling-request-rate-limiting-from-Docker-Hub",
);
const ARTIFACTORY_STATES: Source = Documentation(
    "https://jfrog.com/help/r/artifactory-analysis-of-artifactory-resolution-behavior-based-on-upstream-availability-states",
);

/// containerd's own order, which fills every cache.
const PULL: Order = Order { steps: &[HeadTag, GetDigest, Children, GetBlobs], children_within_secs: None };
const UNKNOWN: Offline = Offline { serves_held: None, starts: None, kept_secs: None, may_trim_index: false };
const HELD: Offline = Offline { serves_held: Some(true), starts: None, kept_secs: None, may_trim_index: false };

const HOUR_SECS: u32 = 3600;

pub(super) static MODELS: [Model; Product::ALL.len()] = [
    Model {
        product: Product::Generic,
        fill: Fact { value: Fill::Pull, text: "Unknown. A complete pull fills every cache.", sources: &[Assumed] },
        blobs: Fact { value: Blobs::OnRequest, text: "Unknown. Each blob has to be requested.", sources: &[Assumed] },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact { value: PULL, text: "The order in which containerd pulls.", sources: &[CONTAINERD] },
        offline: Fact { value: UNKNOWN, text: "Unknown.", sources: &[Assumed] },
        inventory: Fact { value: Inventory::None, text: "None is known.", sources: &[Assumed] },
        answers: &[
            Answer { status: 401, causes: &[Login], text: "The registry requires a login.", sources: &[SPECIFICATION] },
            Answer {
                status: 403,
                causes: &[Rights, Login],
                text: "The registry denies the request. Some registries answer so if a token is expired.",
                sources: &[SPECIFICATION, Report("https://github.com/awslabs/amazon-ecr-credential-helper/issues/679")],
            },
            Answer {
                status: 404,
                causes: &[Absent, Path, NotCached, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "The registry does not serve the image. This does not prove that the image is absent: some caches answer so if \
                       their upstream fails.",
                sources: &[SPECIFICATION, DISTRIBUTION_2, DISTRIBUTION_3],
            },
            Answer {
                status: 429,
                causes: &[CacheLimit, UpstreamLimit],
                text: "The cache or its upstream limits the rate.",
                sources: &[SPECIFICATION],
            },
            Answer {
                status: 500,
                causes: &[CacheFailure, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "The cache failed, or an answer of its upstream did not suit it.",
                sources: &[DISTRIBUTION_2],
            },
            Answer {
                status: 502,
                causes: &[UpstreamFailure, CacheFailure],
                text: "A gateway got no valid answer. It is before the cache, or the cache itself.",
                sources: &[Documentation("https://www.rfc-editor.org/rfc/rfc9110#name-502-bad-gateway")],
            },
            Answer {
                status: 503,
                causes: &[CacheFailure],
                text: "The cache is overloaded or not ready.",
                sources: &[Documentation("https://www.rfc-editor.org/rfc/rfc9110#name-503-service-unavailable")],
            },
            Answer {
                status: 504,
                causes: &[UpstreamFailure, CacheFailure],
                text: "A gateway got no answer in time. It is before the cache, or the cache itself.",
                sources: &[Documentation("https://www.rfc-editor.org/rfc/rfc9110#name-504-gateway-timeout")],
            },
        ],
    },
    Model {
        product: Product::Distribution,
        fill: Fact {
            value: Fill::Manifest,
            text: "A request for a manifest, by tag or by digest, stores this manifest.",
            sources: &[DISTRIBUTION_2, DISTRIBUTION_3, DISTRIBUTION],
        },
        blobs: Fact {
            value: Blobs::OnRequest,
            text: "Each blob is stored when it is requested. A HEAD of a blob stores it too.",
            sources: &[DISTRIBUTION_2, DISTRIBUTION_3, DISTRIBUTION],
        },
        head: Fact {
            value: Head::Manifest,
            text: "A HEAD of a manifest stores the manifest and its tag.",
            sources: &[DISTRIBUTION_2, DISTRIBUTION_3, DISTRIBUTION],
        },
        order: Fact {
            value: Order { steps: &[HeadTag, GetDigest, Children, GetBlobs, HeadBlobs], children_within_secs: None },
            text: "As containerd pulls. Every blob has to be requested, and only once at a time: if two repositories are asked for it at \
                   once, it is stored for one. It is stored after it was served. Then its answers have `Cache-Control: \
                   max-age=31536000`, or redirect to the storage.",
            sources: &[CONTAINERD, DISTRIBUTION_2, DISTRIBUTION_3, DISTRIBUTION],
        },
        offline: Fact {
            value: Offline { starts: Some(false), kept_secs: Some(168 * HOUR_SECS), ..HELD },
            text: "What it holds is served, by tag and by digest. For a digest that it holds, it never asks the upstream. An image is \
                   removed 168 hours after it was stored, used or not (`proxy.ttl`). It does not start while the upstream is unreachable.",
            sources: &[DISTRIBUTION_2, DISTRIBUTION_3, DISTRIBUTION],
        },
        inventory: Fact {
            value: Inventory::Storage,
            text: "Its storage (`drill --storage`), or a listing of its objects and its manifests by digest (`drill --keys`). The API alone does \
                   not suffice: `tags/list` has the tags of the upstream while it answers.",
            sources: &[DISTRIBUTION_2, DISTRIBUTION_3],
        },
        answers: &[
            Answer {
                status: 401,
                causes: &[Login, UpstreamLogin],
                text: "The cache requires a login. Release 3.1.2 also passes on a 401 of the upstream, to a request by digest or for a \
                       blob.",
                sources: &[DISTRIBUTION_3],
            },
            Answer {
                status: 403,
                causes: &[Rights, UpstreamLogin],
                text: "The cache denies the request. Release 3.1.2 also passes on a 403 of the upstream, to a request by digest or for a \
                       blob.",
                sources: &[DISTRIBUTION_3],
            },
            Answer {
                status: 404,
                causes: &[Absent, Path, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "By tag: the image is not held, and the upstream answered 401, 403, 404, 429 or 500, or did not answer. By digest \
                       (3.1.2), or a blob: it is not held, and the upstream does not have it. Paths are those of the upstream: a \
                       prefix that the upstream does not have is a 404 too.",
                sources: &[DISTRIBUTION_2, DISTRIBUTION_3],
            },
            Answer {
                status: 429,
                causes: &[UpstreamLimit, CacheLimit],
                text: "Release 3.1.2 passes on a 429 of the upstream, to a request by digest or for a blob.",
                sources: &[DISTRIBUTION_3],
            },
            Answer {
                status: 500,
                causes: &[UpstreamFailure, UpstreamLogin, UpstreamLimit, Absent, CacheFailure],
                text: "By digest, or a blob: it is not held, and the upstream answered 500 or did not answer. Release 2.8: also \
                       if it answered 401, 403 or 429, and to a manifest by digest if it answered 404.",
                sources: &[DISTRIBUTION_2, DISTRIBUTION_3],
            },
        ],
    },
    Model {
        product: Product::Harbor,
        fill: Fact {
            value: Fill::Manifest,
            text: "A request for a manifest stores it in the background, once its blobs are there. An index is stored after its children.",
            sources: &[HARBOR],
        },
        blobs: Fact {
            value: Blobs::Later,
            text: "Requested blobs are stored. Harbor fetches those that are missing 200 s after the request for their manifest.",
            sources: &[HARBOR],
        },
        head: Fact {
            value: Head::Nothing,
            text: "A HEAD asks the upstream. Nothing is stored but the tag of an image that Harbor holds.",
            sources: &[HARBOR],
        },
        order: Fact {
            value: Order { steps: &[HeadTag, GetDigest, Children], children_within_secs: Some(400) },
            text: "Every child of an index has to be requested within 400 s, attestations too. Otherwise Harbor stores an index without \
                   them, with another digest.",
            sources: &[HARBOR],
        },
        offline: Fact {
            value: Offline { kept_secs: Some(7 * 24 * HOUR_SECS), may_trim_index: true, ..HELD },
            text: "What it holds is served, and by digest without asking the upstream. If the upstream answers that a tag does not \
                   exist, Harbor deletes its copy. The retention policy of a new project removes images that were not pulled for 7 \
                   days.",
            sources: &[HARBOR, HARBOR_PAGE],
        },
        inventory: Fact {
            value: Inventory::HarborApi,
            text: "`drill --inventory`: `GET /api/v2.0/projects/PROJECT/repositories/REPOSITORY/artifacts/REFERENCE` is answered from the \
                   database, without layers. A manifest that it has is served by digest without the upstream, and HEAD of a blob never \
                   asks the upstream.",
            sources: &[
                Code("https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/artifact.go"),
                Code("https://github.com/goharbor/harbor/blob/main/src/server/registry/route.go"),
                HARBOR,
            ],
        },
        answers: &[
            Answer {
                status: 404,
                causes: &[Absent, Path, UpstreamLogin, UpstreamFailure, UpstreamLimit],
                text: "Harbor does not hold the image, and the upstream does not have it or failed. A rate limit of the upstream's login \
                       is a 404 too.",
                sources: &[HARBOR, Report("https://github.com/goharbor/harbor/issues/23750")],
            },
            Answer {
                status: 429,
                causes: &[UpstreamLimit],
                text: "The upstream limits the rate, and Harbor does not hold the image.",
                sources: &[HARBOR],
            },
        ],
    },
    Model {
        product: Product::Zot,
        fill: Fact {
            value: Fill::Image,
            text: "A request for a manifest, by tag or by digest, imports the image with every platform. The client waits meanwhile.",
            sources: &[ZOT, ZOT_WAIT],
        },
        blobs: Fact { value: Blobs::WithManifest, text: "They are imported with their manifest.", sources: &[ZOT] },
        head: Fact { value: Head::Image, text: "A HEAD imports the image.", sources: &[ZOT, ZOT_WAIT] },
        order: Fact {
            value: Order { steps: &[GetTag], children_within_secs: None },
            text: "One request suffices. The first header can take minutes, and containerd 2.3 and later waits 30 s for it.",
            sources: &[ZOT_WAIT, Report("https://github.com/containerd/containerd/issues/13682")],
        },
        offline: Fact { value: HELD, text: "What it holds is served.", sources: &[ZOT] },
        inventory: Fact {
            value: Inventory::ZotApi,
            text: "`drill --inventory`: `tags/list`, the search and blobs are answered from the storage. A request for a manifest can \
                   import it.",
            sources: &[
                ZOT,
                Code("https://github.com/project-zot/zot/blob/main/pkg/extensions/search/resolver.go"),
                Code("https://github.com/project-zot/zot/blob/main/pkg/storage/imagestore/imagestore.go"),
            ],
        },
        answers: &[
            Answer {
                status: 404,
                causes: &[Absent, Path, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "zot does not hold the image, and importing it failed for any reason. The reason is in zot's log.",
                sources: &[ZOT],
            },
            Answer {
                status: 500,
                causes: &[CacheFailure, UpstreamFailure],
                text: "zot failed, also while it imported the image.",
                sources: &[ZOT],
            },
        ],
    },
    Model {
        product: Product::Ecr,
        fill: Fact {
            value: Fill::ImageByTag,
            text: "A pull by tag imports the image, and of a list each image in it. By digest the sources conflict: AWS documents a pull \
                   of one platform by its digest, and a report has a first pull by digest that fails.",
            sources: &[ECR, ECR_DIGEST],
        },
        blobs: Fact {
            value: Blobs::WithManifest,
            text: "They are imported with their manifest. Until then, ECR may redirect to the upstream.",
            sources: &[ECR, Report("https://github.com/aws/containers-roadmap/issues/2304")],
        },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact {
            value: Order { steps: &[GetTag, GetDigest, Children, GetBlobs], children_within_secs: None },
            text: "The tag comes before its digest.",
            sources: &[ECR_DIGEST],
        },
        offline: Fact {
            value: HELD,
            text: "What it holds is served. ECR asks the upstream if the last check is older than 24 hours, and serves its copy if that \
                   fails for any reason.",
            sources: &[ECR],
        },
        inventory: Fact {
            value: Inventory::EcrBatchGetImage,
            text: "The output of `aws ecr batch-get-image` has the manifests of up to 100 tags or digests of a repository.",
            sources: &[Documentation(
                "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html",
            )],
        },
        answers: &[
            Answer {
                status: 403,
                causes: &[Rights, Login],
                text: "The role lacks a right: of the first pull, `ecr:CreateRepository` and `ecr:BatchImportUpstreamImage` too. An \
                       expired token is also a 403, without a challenge.",
                sources: &[ECR, Report("https://github.com/awslabs/amazon-ecr-credential-helper/issues/679")],
            },
            Answer {
                status: 404,
                causes: &[NotCached, Path, Absent, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "There is no rule for the prefix in this region, or the image is not held and was requested by digest, or the \
                       upstream does not have it or failed.",
                sources: &[ECR_DIGEST, Assumed],
            },
        ],
    },
    Model {
        product: Product::Acr,
        fill: Fact {
            value: Fill::Pull,
            text: "A complete pull. Azure does not fetch new tags by itself. In a report, pulls were served and nothing was stored.",
            sources: &[ACR, Report("https://learn.microsoft.com/answers/questions/5789741")],
        },
        blobs: Fact {
            value: Blobs::OnRequest,
            text: "Unknown. A complete pull requests each blob.",
            sources: &[Assumed],
        },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact { value: PULL, text: "As containerd pulls.", sources: &[CONTAINERD] },
        offline: Fact { value: UNKNOWN, text: "Not documented.", sources: &[Assumed] },
        inventory: Fact {
            value: Inventory::AcrListMetadata,
            text: "The output of `az acr manifest list-metadata --registry REGISTRY --name REPOSITORY` has digests and tags.",
            sources: &[Documentation("https://learn.microsoft.com/cli/azure/acr/manifest")],
        },
        answers: &[
            Answer {
                status: 401,
                causes: &[Login, UpstreamLogin],
                text: "The registry requires a login, or the upstream does (`authentication required with source registry for cache rule`).",
                sources: &[Report("https://github.com/Azure/acr/issues/599")],
            },
            Answer {
                status: 404,
                causes: &[Absent, NotCached, Path, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "The upstream does not have the image, no rule matches its repository, or the image was cached and deleted, and is \
                       not fetched again.",
                sources: &[
                    Report("https://github.com/Azure/acr/issues/765"),
                    Documentation("https://learn.microsoft.com/azure/container-registry/troubleshoot-artifact-cache"),
                ],
            },
            Answer {
                status: 424,
                causes: &[UpstreamFailure, UpstreamLogin],
                text: "The request to the upstream failed (`request to pull from source … for cache rule … has failed`).",
                sources: &[Report("https://github.com/Azure/acr/issues/892")],
            },
            Answer {
                status: 429,
                causes: &[UpstreamLimit, CacheLimit],
                text: "The upstream limits the rate (`too many requests to source registry for cache rule`), or a limit of the registry's \
                       tier is exceeded.",
                sources: &[
                    Report("https://github.com/Azure/acr/issues/754"),
                    Documentation("https://learn.microsoft.com/azure/container-registry/container-registry-skus"),
                ],
            },
        ],
    },
    Model {
        product: Product::ArtifactRegistry,
        fill: Fact { value: Fill::Manifest, text: "The first request for a version stores it.", sources: &[REMOTE] },
        blobs: Fact {
            value: Blobs::OnRequest,
            text: "Not documented. Each blob has to be requested.",
            sources: &[Assumed],
        },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact { value: PULL, text: "As containerd pulls.", sources: &[CONTAINERD] },
        offline: Fact { value: HELD, text: "What it holds is served while the upstream is down.", sources: &[REMOTE] },
        inventory: Fact {
            value: Inventory::ArtifactRegistryList,
            text: "The output of `gcloud artifacts docker images list REPOSITORY --include-tags` has digests and tags.",
            sources: &[Documentation("https://cloud.google.com/sdk/gcloud/reference/artifacts/docker/images/list")],
        },
        answers: &[
            Answer {
                status: 403,
                causes: &[Rights, Path, Absent, Login],
                text: "The account lacks a right, or the repository or the image does not exist.",
                sources: &[Report("https://github.com/argoproj/argo-cd/issues/26260")],
            },
            Answer {
                status: 404,
                causes: &[Absent, Path],
                text: "The upstream does not have the image.",
                sources: &[REMOTE_ERRORS, Assumed],
            },
            Answer {
                status: 429,
                causes: &[UpstreamLimit, CacheLimit],
                text: "The limit of reads from the upstream, or a quota of Artifact Registry, is exceeded.",
                sources: &[REMOTE_ERRORS],
            },
            Answer {
                status: 502,
                causes: &[UpstreamFailure, UpstreamLogin],
                text: "The upstream answered with an error, or not as expected.",
                sources: &[REMOTE_ERRORS],
            },
        ],
    },
    Model {
        product: Product::Nexus,
        fill: Fact { value: Fill::Manifest, text: "A request for a manifest stores it.", sources: &[NEXUS] },
        blobs: Fact {
            value: Blobs::OnRequest,
            text: "Not documented. Each blob has to be requested.",
            sources: &[Assumed],
        },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact { value: PULL, text: "As containerd pulls.", sources: &[CONTAINERD] },
        offline: Fact {
            value: HELD,
            text: "What it holds is served while the upstream is blocked. Releases before 3.35 do not serve what the upstream deleted \
                   (NEXUS-26642).",
            sources: &[Report("https://issues.sonatype.org/browse/NEXUS-26642")],
        },
        inventory: Fact {
            value: Inventory::NexusSearch,
            text: "`GET /service/rest/v1/search?repository=REPOSITORY` lists tags. It does not show that every layer is held.",
            sources: &[Documentation("https://help.sonatype.com/en/search-api.html")],
        },
        answers: &[
            Answer {
                status: 403,
                causes: &[Rights, UpstreamLogin],
                text: "The user lacks a right, or the upstream answered 403. The latter also for an image that Nexus holds (NEXUS-27623).",
                sources: &[Report("https://issues.sonatype.org/browse/NEXUS-27623")],
            },
            Answer {
                status: 404,
                causes: &[Absent, Remembered, Path, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "Nexus does not hold the image, and the upstream does not have it or failed. A rate limit of the upstream is a 404 \
                       too. A miss is remembered for the time of the negative cache.",
                sources: &[NEXUS, NEXUS_LIMIT, Report("https://github.com/sonatype/nexus-public/issues/639")],
            },
        ],
    },
    Model {
        product: Product::Artifactory,
        fill: Fact {
            value: Fill::Manifest,
            text: "A request for a manifest stores it.",
            sources: &[ARTIFACTORY_STATES],
        },
        blobs: Fact {
            value: Blobs::OnRequest,
            text: "Not documented. Each blob has to be requested.",
            sources: &[Assumed],
        },
        head: Fact { value: Head::Unknown, text: "Unknown.", sources: &[Assumed] },
        order: Fact { value: PULL, text: "As containerd pulls.", sources: &[CONTAINERD] },
        offline: Fact {
            value: HELD,
            text: "What it holds is served. After a connection error, the upstream counts as offline for a while, and only the cache is used.",
            sources: &[
                ARTIFACTORY_STATES,
                Documentation("https://jfrog.com/help/r/jfrog-artifactory-documentation/handling-offline-scenarios"),
            ],
        },
        inventory: Fact {
            value: Inventory::ArtifactoryQuery,
            text: "`POST /api/search/aql` for the items of `REPOSITORY-cache`.",
            sources: &[Documentation("https://jfrog.com/help/r/jfrog-artifactory-documentation/aql-execution")],
        },
        answers: &[
            Answer {
                status: 403,
                causes: &[Rights, Absent, Login],
                text: "The user lacks a right. A tag that does not exist is a 403 too, where the user may not read every repository of a \
                       virtual one.",
                sources: &[
                    Report("https://github.com/google/go-containerregistry/pull/1691"),
                    Report("https://github.com/sigstore/cosign/issues/2973"),
                ],
            },
            Answer {
                status: 404,
                causes: &[Absent, Remembered, Path, UpstreamLogin, UpstreamLimit, UpstreamFailure],
                text: "Artifactory does not hold the image, and the upstream does not have it or counts as offline. A miss is remembered.",
                sources: &[ARTIFACTORY_STATES, Assumed],
            },
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sources(model: &Model) -> impl Iterator<Item = (&'static str, &'static [Source])> {
        let Model { product: _, fill, blobs, head, order, offline, inventory, answers } = model;
        [
            (fill.text, fill.sources),
            (blobs.text, blobs.sources),
            (head.text, head.sources),
            (order.text, order.sources),
            (offline.text, offline.sources),
            (inventory.text, inventory.sources),
        ]
        .into_iter()
        .chain(answers.iter().map(|answer| (answer.text, answer.sources)))
    }

    #[test]
    fn each_product_has_a_model_with_sources() {
        for &product in Product::ALL {
            let model = Model::of(product);
            assert_eq!(model.product, product);
            for (text, sources) in sources(model) {
                assert!(text.ends_with('.') && !sources.is_empty(), "{product:?}: {text}");
                for source in sources {
                    if let Code(address) | Documentation(address) | Report(address) = source {
                        assert!(address.starts_with("https://"), "{address}");
                    }
                }
            }
        }
    }

    /// The page says so too.
    #[test]
    fn only_distribution_was_run() {
        for &product in Product::ALL {
            let run = sources(Model::of(product)).filter(|(_, sources)| sources.iter().any(|source| source.is_run()));
            let is_own = matches!(product, Product::Distribution | Product::Generic);
            assert_eq!(run.count() > 0, is_own, "{product:?}");
        }
    }

    #[test]
    fn a_status_has_one_row_and_distinct_causes() {
        for &product in Product::ALL {
            let answers = Model::of(product).answers;
            assert!(answers.is_sorted_by(|a, b| a.status < b.status), "{product:?}");
            for answer in answers {
                let causes: BTreeSet<_> = answer.causes.iter().collect();
                assert!(!causes.is_empty() && causes.len() == answer.causes.len(), "{product:?} {}", answer.status);
            }
        }
    }

    /// Several caches turn other failures of their upstream into 404.
    #[test]
    fn a_404_never_proves_that_an_image_is_absent() {
        for &product in Product::ALL {
            let causes = Model::of(product).causes(404);
            assert!(causes.contains(&Absent) && causes.len() > 1, "{product:?}: {causes:?}");
        }
    }

    #[test]
    fn statuses_without_a_row_have_the_meaning_of_the_protocol() {
        assert_eq!(Model::of(Product::Harbor).causes(401), [Login]);
        assert_eq!(Model::of(Product::Harbor).causes(429), [UpstreamLimit]);
        assert_eq!(Model::of(Product::Harbor).causes(503), [CacheFailure]);
        assert!(Model::of(Product::Harbor).causes(418).is_empty());
    }

    /// Blobs that a cache does not fetch by itself have to be requested.
    #[test]
    fn the_order_requests_what_the_cache_does_not_fetch_by_itself() {
        for &product in Product::ALL {
            let Model { fill, blobs, order, .. } = Model::of(product);
            let has = |step| order.value.steps.contains(&step);
            assert!(blobs.value != Blobs::OnRequest || has(GetBlobs), "{product:?}");
            assert!(matches!(fill.value, Fill::Image | Fill::ImageByTag) || has(Children), "{product:?}");
            assert!(fill.value != Fill::ImageByTag || order.value.steps.first() == Some(&GetTag), "{product:?}");
        }
    }
}
