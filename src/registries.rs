//! What is known of public registries, and of the registries that caches are.

use crate::config::KUBERNETES_REGISTRY;
use crate::engine::{DOCKER_HUB, fold_host};

/// A public registry that caches stand before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    Kubernetes,
    DockerHub,
    Ghcr,
    Quay,
    GitLab,
    EcrPublic,
    Mcr,
    Nvcr,
    Gcr,
}

impl Upstream {
    /// In the order of rules: `gcr.io` stands last, since the Kubernetes project has had names below it.
    pub const ALL: [Self; 9] = [
        Self::Kubernetes,
        Self::DockerHub,
        Self::Ghcr,
        Self::Quay,
        Self::GitLab,
        Self::EcrPublic,
        Self::Mcr,
        Self::Nvcr,
        Self::Gcr,
    ];

    pub const fn host(self) -> &'static str {
        match self {
            Self::Kubernetes => "registry.k8s.io",
            Self::DockerHub => DOCKER_HUB,
            Self::Ghcr => "ghcr.io",
            Self::Quay => "quay.io",
            Self::GitLab => "registry.gitlab.com",
            Self::EcrPublic => "public.ecr.aws",
            Self::Mcr => "mcr.microsoft.com",
            Self::Nvcr => "nvcr.io",
            Self::Gcr => "gcr.io",
        }
    }

    /// What its rule is called, and its place in a cache.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "k8s",
            Self::DockerHub => "docker-hub",
            Self::Ghcr => "ghcr",
            Self::Quay => "quay",
            Self::GitLab => "gitlab",
            Self::EcrPublic => "ecr-public",
            Self::Mcr => "mcr",
            Self::Nvcr => "nvcr",
            Self::Gcr => "gcr",
        }
    }

    /// What its operator calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Kubernetes => "the registry of the Kubernetes project",
            Self::DockerHub => "Docker Hub",
            Self::Ghcr => "GitHub Container Registry",
            Self::Quay => "Quay.io",
            Self::GitLab => "the Container Registry of GitLab.com",
            Self::EcrPublic => "Amazon ECR Public",
            Self::Mcr => "Microsoft Artifact Registry",
            Self::Nvcr => "NVIDIA NGC",
            Self::Gcr => "Google Container Registry",
        }
    }

    /// Every name that its images are pulled by.
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Kubernetes => KUBERNETES_REGISTRY.to_vec(),
            other => vec![other.host()],
        }
    }

    /// Where its API answers.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::DockerHub => "registry-1.docker.io",
            other => other.host(),
        }
    }

    /// By one of the names of its host.
    pub fn of_host(host: &str) -> Option<Self> {
        match &*fold_host(host) {
            "k8s.gcr.io" => Some(Self::Kubernetes),
            host => Self::ALL.into_iter().find(|upstream| upstream.host() == host),
        }
    }
}

/// What an Amazon ECR pull-through cache can stand before, beside other private registries of Amazon, Azure and Chainguard.
/// docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
pub const ECR_UPSTREAMS: [Upstream; 6] =
    [Upstream::Kubernetes, Upstream::DockerHub, Upstream::Ghcr, Upstream::Quay, Upstream::GitLab, Upstream::EcrPublic];

/// What an artifact cache of Azure Container Registry can stand before.
/// learn.microsoft.com/azure/container-registry/artifact-cache-overview
pub const ACR_UPSTREAMS: [Upstream; 7] = [
    Upstream::Kubernetes,
    Upstream::DockerHub,
    Upstream::Ghcr,
    Upstream::Quay,
    Upstream::EcrPublic,
    Upstream::Mcr,
    Upstream::Gcr,
];

/// A private registry of Amazon ECR, by its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcrHost<'h> {
    pub account: &'h str,
    pub region: &'h str,
}

impl<'h> EcrHost<'h> {
    /// Whether a host is meant to be one.
    pub fn is_meant(host: &str) -> bool {
        [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."].iter().any(|middle| host.contains(middle))
            || host.starts_with("dkr.ecr.")
    }

    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, in every partition, with FIPS or dual-stack endpoints too.
    pub fn parse(host: &'h str) -> Option<Self> {
        let (account, rest) = host.split_once('.')?;
        let rest = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."]
            .iter()
            .find_map(|middle| rest.strip_prefix(middle))?;
        let (region, domain) = rest.split_once('.')?;
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        // `eu-west-1`, `us-gov-east-1`, `us-isob-east-1`, `eusc-de-east-1`.
        let is_region = region.split('-').count() >= 3
            && region.ends_with(|c: char| c.is_ascii_digit())
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (is_account && is_region && !domain.is_empty()).then_some(Self { account, region })
    }
}

/// How long a prefix of ECR's pull-through cache rules may be.
pub const ECR_PREFIX_CHARS: std::ops::RangeInclusive<usize> = 2..=30;

/// Whether ECR takes a path as the name of a repository: `__` and several dashes in a row, which others take, are not allowed.
pub fn is_ecr_path(path: &str) -> bool {
    path.split('/').flat_map(|component| component.split(['.', '_', '-'])).all(|word| !word.is_empty())
}

/// Other registries, and parts of them, that have the same images. What one of a group has below it, the others have too.
const SAME_IMAGES: [&[&str]; 5] = [
    &KUBERNETES_REGISTRY,
    &[DOCKER_HUB, "mirror.gcr.io"],
    &["docker.io/library", "public.ecr.aws/docker/library", "mirror.gcr.io/library"],
    &["ghcr.io/linuxserver", "lscr.io/linuxserver", "docker.io/linuxserver"],
    &["registry.redhat.io", "registry.access.redhat.com"],
];

/// Whether two canonical names, or prefixes of names, lead to the same images.
pub fn are_aliases(one: &str, other: &str) -> bool {
    let below = |name: &str, prefix: &str| {
        name.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')).map(str::to_owned)
    };
    one == other
        || SAME_IMAGES.iter().any(|group| {
            let rests: Vec<String> = group.iter().filter_map(|alias| below(one, alias)).collect();
            group.iter().filter_map(|alias| below(other, alias)).any(|rest| rests.contains(&rest))
        })
}

/// Whether `docker.io/library` has an image of that name.
pub fn is_official(name: &str) -> bool {
    OFFICIAL_IMAGES.split_ascii_whitespace().any(|official| official == name)
}

/// As github.com/docker-library/official-images names them, those no longer built included.
const OFFICIAL_IMAGES: &str = "
    adminer adoptopenjdk aerospike almalinux alpine alt amazoncorretto amazonlinux api-firewall arangodb archlinux
    backdrop bash bonita buildpack-deps busybox caddy cassandra centos chronograf cirros clearlinux clefos clickhouse
    clojure composer convertigo couchbase couchdb crate crux dart debian docker drupal eclipse-mosquitto eclipse-temurin
    eggdrop elasticsearch elixir emqx erlang fedora flink fluentd friendica gazebo gcc geonetwork ghost golang gradle
    groovy haproxy haskell haxe hello-world hitch httpd hylang ibm-semeru-runtimes ibmjava influxdb irssi java jenkins
    jetty jobber joomla jruby julia kapacitor kibana known kong krakend lightstreamer liquibase logstash mageia mariadb
    matomo maven mediawiki memcached mongo mongo-express monica mono mysql nats nats-streaming neo4j neurodebian
    nextcloud nginx node notary odoo open-liberty openjdk opensuse oraclelinux orientdb percona perl photon php
    php-zendserver phpmyadmin piwik plone postfixadmin postgres pypy python r-base rabbitmq rakudo-star rapidoid redis
    redmine registry rethinkdb rocket.chat rockylinux ros ruby rust sapmachine satosa scratch silverpeas sl solr
    sonarqube sourcemage spark spiped storm swarm swift swipl tarantool teamspeak telegraf thrift tomcat tomee traefik
    ubuntu ubuntu-debootstrap unit valkey varnish vault websphere-liberty wordpress xwiki yourls znc zookeeper
";
