//! The causes, with their words.

macro_rules! causes {
    ($($cause:ident, $name:literal, $what:literal, $fix:literal;)+) => {
        /// Why an image is not served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause { $(#[doc = $what] $cause,)+ }

        impl Cause {
            pub const ALL: &[Self] = &[$(Self::$cause,)+];

            /// Returns its name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$cause => $name,)+ }
            }

            /// Returns the cause for people.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$cause => $what,)+ }
            }

            pub const fn fix(self) -> &'static str {
                match self { $(Self::$cause => $fix,)+ }
            }
        }
    };
}

causes! {
    Absent, "absent",
        "the upstream does not have the image",
        "correct the name or the tag where the image is written";
    Path, "path",
        "the cache has no such project, repository or rule",
        "compare `to` of the rule with the projects, repositories or rules of the cache";
    LibraryMissing, "library_missing",
        "the rewritten name lacks `library/`, which caches of Docker Hub need",
        "use `from: [docker.io]`, which adds it, or write `library/` into `to`";
    NotCached, "not_cached",
        "the cache does not have the image, and does not fetch it by this request",
        "pull the image once through the cache by its tag";
    Remembered, "remembered",
        "the cache remembers an earlier failure",
        "clear the cache's record of missing images, or wait until it expires";
    NoCredentials, "no_credentials",
        "the cache requires a login, and no credentials match its name",
        "add credentials for the cache (--docker-config, --pull-secret, --image-credential-provider-config); nodes need them too";
    CredentialsUnreadable, "credentials_unreadable",
        "the credentials for the cache are unreadable",
        "fix the file, helper or plugin that the answer names";
    Login, "login",
        "the cache rejects the credentials: they are wrong or expired",
        "log in again, or replace the pull secret";
    Rights, "rights",
        "the credentials have no right to the image",
        "let this account pull from the project or repository";
    UpstreamLogin, "upstream_login",
        "the upstream rejects the cache's credentials, or requires some",
        "set credentials for the upstream in the cache, and test them";
    UpstreamLimit, "upstream_limit",
        "the upstream limits the rate of the cache",
        "give the cache an account at the upstream, or wait";
    UpstreamFailure, "upstream_failure",
        "the upstream is unavailable to the cache",
        "check DNS, firewall and proxy between cache and upstream";
    CacheLimit, "cache_limit",
        "the cache limits the rate",
        "wait, or lower --concurrency";
    CacheFailure, "cache_failure",
        "the cache has a fault, such as a full disk",
        "read the cache's log, and check its storage";
    Dns, "dns",
        "the name of the cache can't be resolved",
        "correct the host in `to`, or fix DNS";
    ConnectionRefused, "connection_refused",
        "the cache refuses connections",
        "start the cache, or correct the port in `to`";
    ConnectionClosed, "connection_closed",
        "the connection to the cache was closed",
        "check firewalls and proxies before the cache, and its log";
    Timeout, "timeout",
        "the cache does not answer in time",
        "check the network and the load of the cache; if a first pull takes long, raise --timeout";
    UnknownCa, "unknown_ca",
        "no trusted CA signed the cache's certificate",
        "set `caFile` of the cache in `caches`; nodes have to trust the CA too";
    WrongCertificateName, "wrong_certificate_name",
        "the cache's certificate is for another name",
        "use a name of the certificate in `to`, or issue one for this name";
    CertificateTime, "certificate_time",
        "the cache's certificate is expired or not yet valid",
        "renew the certificate, or set the clocks";
    PlainHttp, "plain_http",
        "the cache speaks plain HTTP",
        "use its HTTPS port in `to`; or allow plain HTTP with --plain-http, and on nodes";
    ClientCertificate, "client_certificate",
        "the cache requires a client certificate",
        "use an address of the cache that accepts passwords or tokens; client certificates are not supported";
    Tls, "tls",
        "TLS with the cache failed",
        "check the TLS versions and the certificate of the cache";
    Proxy, "proxy",
        "the proxy on the way to the cache failed",
        "fix the proxy, or add the cache to NO_PROXY";
    AddressNotAllowed, "address_not_allowed",
        "the cache leads to a link-local, metadata or loopback address",
        "correct the host in `to`, or the cache's own address";
    Network, "network",
        "there is no connection to the cache",
        "check the network";
    NotARegistry, "not_a_registry",
        "the answer is not a registry's: a proxy or another server may be in the way",
        "check host and port in `to`, and exempt the cache from proxies (NO_PROXY)";
    Damaged, "damaged",
        "the cache's content is damaged",
        "delete the image in the cache, and pull it again";
    Redirect, "redirect",
        "the cache redirects to an unusable address",
        "correct the cache's external address";
    TokenServer, "token_server",
        "the cache's token server is unusable",
        "correct the realm of the cache's challenge; if it is right, allow its host with --token-server";
    PlatformAbsent, "platform_absent",
        "the image has no variant for a platform",
        "use an image with the platform, or keep its Pods off such nodes";
    IndexTrimmed, "index_trimmed",
        "the cache stored an index without some of its platforms",
        "delete the image in the cache, and pull every platform at once";
    TagStale, "tag_stale",
        "the cache serves an older image for the tag",
        "have the cache check the tag again, or delete its copy";
    ConfigNotServed, "config_not_served",
        "the cache does not serve the image's configuration, which names its platform",
        "pull the image once through the cache, and read the cache's log";
}
