use anyhow::{Context, Result};
use axum::http::Request;
use kube::Config;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::ControlPlane;

/// A connection to the API server as `admin`, for many requests: a kubectl takes tens of milliseconds to start.
pub struct Client {
    runtime: Runtime,
    client: kube::Client,
}

impl Client {
    pub(super) fn new(cluster: &ControlPlane) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut config = Config::new(cluster.url().parse()?);
        // The API server's own certificate comes first, then its authority's.
        let chain = CertificateDer::pem_file_iter(cluster.certificate_authority())?;
        config.root_cert = Some(chain.map(|certificate| Ok(certificate?.to_vec())).collect::<Result<_>>()?);
        config.auth_info.token = Some(cluster.admin().token().to_owned().into());
        let client = runtime.block_on(async { kube::Client::try_from(config) }).context("make a client")?;
        Ok(Self { runtime, client })
    }

    /// Creates a Pod without storing it.
    pub fn dry_run(&self, namespace: &str, pod: &Value) -> Result<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let request =
            Request::post(path).header("content-type", "application/json").body(pod.to_string().into_bytes())?;
        Ok(self.runtime.block_on(self.client.request(request))?)
    }
}
