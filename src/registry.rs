//! Clients of registries: the distribution API, and the credentials for it.
//!
//! ```no_run
//! use pullthrough::engine::ImageRef;
//! use pullthrough::registry::{Client, Credentials, DockerConfig, Outcome, ProxyVariables, Reference, Repository, Settings};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = match DockerConfig::path() {
//!     Some(path) => Credentials::Workstation(DockerConfig::read(&path)?),
//!     None => Credentials::Anonymous,
//! };
//! let settings = Settings { proxies: ProxyVariables::from_environment(), ..Settings::default() };
//! let client = Client::new(settings, credentials)?;
//!
//! let image = ImageRef::parse("harbor.example.com/docker-hub/library/nginx:1.29")?;
//! let repository = Repository::of(&image).ok_or("no registry")?;
//! let answer = client.manifest(&repository, &Reference::of(&image)).await;
//! match answer.outcome {
//!     Outcome::Served(manifest) => println!("{} for {:?}", manifest.digest, manifest.platforms()),
//!     Outcome::Missing => println!("404; the registry says {:?}", answer.trace.errors),
//!     other => println!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What registries send is bounded, in bytes and in time, and it decides little. Redirects lead to five URLs at most, never from
//! HTTPS to HTTP, and never to link-local, metadata or other hosts' loopback addresses. Where a proxy resolves names, the check is
//! on addresses, and on names of metadata services. Credentials go to the registry, and to token servers of its own domain or of
//! [`Settings::token_servers`]. They are not in `Debug` output, errors or traces.
//!
//! A client asks no question on its own, and repeats one only as [`Retries`] says. What a question causes in a cache is the
//! caller's to know: some import an image by HEAD.

mod address;
mod answer;
mod challenge;
mod client;
mod connect;
mod credential;
mod credentials;
mod digest;
mod docker_config;
mod http_client;
mod in_words;
mod keyring;
mod manifest;
mod name;
mod platform;
mod process;
mod provider;
mod random;
mod reader;
mod session;
mod settings;
mod stream;
mod tls;
mod token;
mod url;

pub use answer::{
    Answer, Denied, Invalid, Outcome, Phase, RateLimit, RedirectFault, RegistryError, TlsFault, TokenServerFault,
    Trace, Unreachable,
};
pub use client::Client;
pub use credential::{Credential, Login};
pub use credentials::{CredentialFault, Credentials};
pub use digest::Digest;
pub use docker_config::{DockerConfig, DockerConfigFault, InvalidDockerConfig};
pub use keyring::{InvalidKeyring, Keyring};
pub use manifest::{Content, Descriptor, Manifest};
pub use name::{Reference, Repository};
pub use platform::Platform;
pub use process::ProcessFault;
pub use provider::{InvalidProviders, PluginFault, ProviderFault, Providers, ProvidersProblem};
pub use random::random_part;
pub use reader::{Blob, Head, List, MAX_MANIFEST_BYTES, ManifestBlob};
pub use settings::{ClientCertificate, HostSettings, InvalidSettings, ProxyVariables, Retries, Settings, Timeouts};
