//! Facts about public registries, and about registries that are caches.

use crate::config::KUBERNETES_REGISTRY;
use crate::engine::{DOCKER_HUB, fold_host};

/// A public registry that can be cached.
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
    /// In the order of rules. `gcr.io` is last, because the Kubernetes project had names below it.
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

    /// Returns its canonical host.
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

    /// Returns the name of its rule and of its path in a cache.
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

    /// Returns its product name.
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

    /// Returns every name of it in images.
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Kubernetes => KUBERNETES_REGISTRY.to_vec(),
            other => vec![other.host()],
        }
    }

    /// Returns the host of its API.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::DockerHub => "registry-1.docker.io",
            other => other.host(),
        }
    }

    /// Returns the registry with a host, by any name of the host.
    pub fn of_host(host: &str) -> Option<Self> {
        match &*fold_host(host) {
            "k8s.gcr.io" => Some(Self::Kubernetes),
            host => Self::ALL.into_iter().find(|upstream| upstream.host() == host),
        }
    }
}

/// The public upstreams of pull-through caches of Amazon ECR. Private registries of Amazon, Azure and Chainguard are supported too.
/// docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
pub const ECR_UPSTREAMS: [Upstream; 6] =
    [Upstream::Kubernetes, Upstream::DockerHub, Upstream::Ghcr, Upstream::Quay, Upstream::GitLab, Upstream::EcrPublic];

/// The upstreams of artifact caches of Azure Container Registry.
/// learn.microsoft.com/azure/container-registry/artifact-cache-overview
pub const ACR_UPSTREAMS: [Upstream; 8] = [
    Upstream::Kubernetes,
    Upstream::DockerHub,
    Upstream::Ghcr,
    Upstream::Quay,
    Upstream::EcrPublic,
    Upstream::Mcr,
    Upstream::Nvcr,
    Upstream::Gcr,
];

/// A private registry of Amazon ECR, by its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcrHost<'h> {
    pub account: &'h str,
    pub region: &'h str,
}

impl<'h> EcrHost<'h> {
    /// Returns whether a host is meant as a registry of Amazon ECR, valid or not.
    pub fn is_meant(host: &str) -> bool {
        [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."].iter().any(|middle| host.contains(middle))
            || host.starts_with("dkr.ecr.")
    }

    /// Parses `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, in every partition, with FIPS and dual-stack endpoints.
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

/// Characters of a prefix of ECR's pull-through cache rules.
pub const ECR_PREFIX_CHARS: std::ops::RangeInclusive<usize> = 2..=30;

/// Returns whether ECR accepts a path as the name of a repository. It rejects `__` and several dashes in a row.
pub fn is_ecr_path(path: &str) -> bool {
    path.split('/').flat_map(|component| component.split(['.', '_', '-'])).all(|word| !word.is_empty())
}

/// Groups of registries, or parts of them, that have the same images at the same paths. The first is the one to name.
const SAME_IMAGES: [&[&str]; 5] = [
    &KUBERNETES_REGISTRY,
    &[DOCKER_HUB, "mirror.gcr.io"],
    &["docker.io/library", "public.ecr.aws/docker/library", "mirror.gcr.io/library"],
    &["ghcr.io/linuxserver", "lscr.io/linuxserver", "docker.io/linuxserver"],
    &["registry.redhat.io", "registry.access.redhat.com"],
];

/// Returns the rank of a canonical prefix among those of the same images. The lowest is the one to name.
pub fn preference(name: &str) -> usize {
    SAME_IMAGES
        .iter()
        .filter_map(|group| group.iter().position(|alias| below(name, alias).is_some()))
        .max()
        .unwrap_or(0)
}

/// Returns the rest of a name after a prefix of whole components.
fn below<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether two canonical names, or prefixes of names, are of the same images.
pub fn are_aliases(one: &str, other: &str) -> bool {
    one == other
        || SAME_IMAGES.iter().any(|group| {
            let rests: Vec<&str> = group.iter().filter_map(|alias| below(one, alias)).collect();
            group.iter().filter_map(|alias| below(other, alias)).any(|rest| rests.contains(&rest))
        })
}

/// Returns whether `docker.io/library` has an image of that name.
pub fn is_official(name: &str) -> bool {
    OFFICIAL_IMAGES.split_ascii_whitespace().any(|official| official == name)
}

/// The names in github.com/docker-library/official-images, including those no longer built.
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
