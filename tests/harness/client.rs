use anyhow::{Context, Result};
use axum::http::{Method, Request};
use kube::Config;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{ControlPlane, Kubectl};

/// A connection to the API server for many requests. Starting kubectl for each takes tens of milliseconds.
pub struct Client {
    runtime: Runtime,
    client: kube::Client,
}

impl Client {
    pub(super) fn new(config: Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async { kube::Client::try_from(config) }).context("create a client")?;
        Ok(Self { runtime, client })
    }

    /// Creates a Pod with `dryRun`, which does not store it.
    pub fn dry_run(&self, namespace: &str, pod: &Value) -> Result<Value> {
        Ok(self.post(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), pod)?)
    }

    pub fn get(&self, path: &str) -> Result<Value, kube::Error> {
        self.request(Method::GET, path, Vec::new())
    }

    pub fn post(&self, path: &str, object: &Value) -> Result<Value, kube::Error> {
        self.request(Method::POST, path, object.to_string().into_bytes())
    }

    pub fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, kube::Error> {
        self.runtime.block_on(self.client.request(request(method, path, body)))
    }
}

/// Returns a request with a JSON body.
pub fn request(method: Method, path: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(body).expect("a valid request")
}

impl ControlPlane {
    /// Returns a client with the identity of `admin`.
    pub fn client(&self) -> Client {
        self.client_of(self.admin())
    }

    pub fn client_of(&self, user: &Kubectl) -> Client {
        self.client_config(user).and_then(Client::new).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Returns the configuration of a client, for use in another runtime.
    pub fn client_config(&self, user: &Kubectl) -> Result<Config> {
        let mut config = Config::new(self.url().parse()?);
        // The certificate of the API server comes first, then the certificate of its CA.
        let chain = CertificateDer::pem_file_iter(self.certificate_authority())?;
        config.root_cert = Some(chain.map(|certificate| Ok(certificate?.to_vec())).collect::<Result<_>>()?);
        config.auth_info.token = Some(user.token().to_owned().into());
        // Tests expect the first response of the API server.
        config.default_retry = false;
        Ok(config)
    }
}
