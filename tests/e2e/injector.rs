//! Another mutating webhook, which adds a sidecar to every Pod that has none.

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

impl Injector {
    /// Serves until the test process ends.
    pub fn start() -> Self {
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
            runtime.block_on(serve(listener, TlsAcceptor::from(Arc::new(config))));
        });
        Self { url, ca_pem: certificate.pem() }
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    listener.set_nonblocking(true).expect("a listener");
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                let body = to_bytes(axum::body::Body::new(request.into_body()), usize::MAX).await?;
                Ok::<_, axum::Error>(hyper::Response::new(http_body_util::Full::new(inject(&body))))
            });
            // A client that goes away is no failure of the test.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn inject(body: &[u8]) -> Bytes {
    let review: Value = serde_json::from_slice(body).expect("an AdmissionReview");
    let containers = review["request"]["object"]["spec"]["containers"].as_array().expect("containers");
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    if !containers.iter().any(|container| container["name"] == "sidecar") {
        let sidecar = json!({"name": "sidecar", "image": "registry.k8s.io/sidecar:1"});
        let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": sidecar}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(BASE64_STANDARD.encode(patch.to_string()));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Bytes::from(review.to_string())
}
