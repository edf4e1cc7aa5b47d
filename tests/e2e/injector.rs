//! Another mutating webhook.
#![allow(dead_code, reason = "every user takes another kind of it")]

use std::sync::Arc;
use std::thread;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub struct Injector {
    pub url: String,
    pub ca_pem: String,
}

/// Returns the JSON patch for a Pod. Without operations, there is no patch.
type Change = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

impl Injector {
    /// Starts a webhook that adds a sidecar to every Pod without one. It serves until the test process ends.
    pub fn start() -> Self {
        Self::with(Arc::new(add_sidecar))
    }

    /// Starts a webhook that replaces the cache of registry.k8s.io by the registry.
    pub fn undoing(cache: &str) -> Self {
        let cache = format!("{cache}/");
        Self::with(Arc::new(move |pod| undo(pod, &cache)))
    }

    fn with(change: Change) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .expect("certificate and key");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, TlsAcceptor::from(Arc::new(config)), change));
        });
        Self { url, ca_pem: certificate.pem() }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, change: Change) {
    listener.set_nonblocking(true).expect("a listener");
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (acceptor, change) = (acceptor.clone(), change.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let change = change.clone();
                async move {
                    let body = to_bytes(axum::body::Body::new(request.into_body()), usize::MAX).await?;
                    let answer = http_body_util::Full::new(answer(&body, &change));
                    Ok::<_, axum::Error>(hyper::Response::new(answer))
                }
            });
            // A client that disconnects does not fail the test.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(body: &[u8], change: &Change) -> Bytes {
    let review: Value = serde_json::from_slice(body).expect("an AdmissionReview");
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let patch = change(&review["request"]["object"]);
    if patch.as_array().is_some_and(|operations| !operations.is_empty()) {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(BASE64_STANDARD.encode(patch.to_string()));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Bytes::from(review.to_string())
}

fn containers(pod: &Value) -> &[Value] {
    pod["spec"]["containers"].as_array().expect("containers")
}

fn add_sidecar(pod: &Value) -> Value {
    if containers(pod).iter().any(|container| container["name"] == "sidecar") {
        return json!([]);
    }
    let sidecar = json!({"name": "sidecar", "image": "registry.k8s.io/sidecar:1"});
    json!([{"op": "add", "path": "/spec/containers/-", "value": sidecar}])
}

fn undo(pod: &Value, cache: &str) -> Value {
    let operations = containers(pod).iter().enumerate().filter_map(|(index, container)| {
        let tail = container["image"].as_str()?.strip_prefix(cache)?;
        let path = format!("/spec/containers/{index}/image");
        Some(json!({"op": "replace", "path": path, "value": format!("registry.k8s.io/{tail}")}))
    });
    operations.collect()
}
