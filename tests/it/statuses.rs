//! Every status code, through the router alone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use pullthrough::config::Config;
use pullthrough::engine::{self, AnswerOptions, Policy};
use pullthrough::server::admission::{Admission, AnswerFn, NamedPolicy};
use pullthrough::server::existence::NotAsked;
use pullthrough::server::http::{AnswerBody, Service};
use pullthrough::server::ledger::{Bounds, Ledger};
use pullthrough::server::limits::{self, Limits};
use pullthrough::server::lines::Lost;
use pullthrough::server::metrics::Metrics;
use pullthrough::server::progress::Progress;

use crate::support::review;

/// The router, and the connection of its requests.
struct Endpoint {
    admission: Arc<Admission>,
    progress: Arc<Progress>,
}

impl Endpoint {
    async fn new(answer: AnswerFn, limits: Limits, bounds: Bounds) -> Endpoint {
        let policy = Policy::from(Config::for_cache("cache.example.com/k8s").unwrap());
        let policy = NamedPolicy { policy, hash: "0123456789abcdef".to_owned() };
        let metrics = Arc::new(Metrics::new(Lost::default()).unwrap());
        let account = Ledger::new(bounds, Arc::clone(&metrics)).open(Ipv4Addr::LOCALHOST.into(), 0).await;
        let progress = Arc::new(Progress::new(account, &limits));
        let admission = Admission::new(
            answer,
            policy,
            AnswerOptions { warnings: true },
            limits,
            metrics,
            Arc::new(NotAsked),
            std::num::NonZeroUsize::MIN,
        )
        .unwrap();
        Endpoint { admission, progress }
    }

    async fn send(&self, request: Request<Body>) -> Response<AnswerBody> {
        let (_underway, visit) = self.progress.request_started();
        Service::Admission(Arc::clone(&self.admission)).answer(request, visit.unwrap()).await
    }
}

fn bounds() -> Bounds {
    limits::bounds(limits::MEMORY_LIMIT_BYTES, 0)
}

async fn text(response: Response<AnswerBody>) -> (u16, String) {
    let status = response.status().as_u16();
    assert!(response.headers().get("retry-after").is_none());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask_with(limits: Limits, request: Request<Body>) -> (u16, String) {
    text(Endpoint::new(engine::answer, limits, bounds()).await.send(request).await).await
}

async fn ask(request: Request<Body>) -> (u16, String) {
    ask_with(Limits::default(), request).await
}

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/mutate").header("content-type", "application/json").body(body.into()).unwrap()
}

#[tokio::test]
async fn an_admission_review_is_answered() {
    let (status, body) = ask(post(review())).await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["response"]["allowed"], true);
    assert_eq!(body["response"]["uid"], "f0a5ad2c-0000-4000-8000-000000000001");
}

#[tokio::test]
async fn the_api_servers_query_is_ignored() {
    let request = Request::post("/mutate?timeout=10s").header("content-type", "application/json");
    assert_eq!(ask(request.body(review().into()).unwrap()).await.0, 200);
}

#[tokio::test]
async fn content_types() {
    for good in ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"] {
        let request = Request::post("/mutate").header("content-type", good).body(review().into()).unwrap();
        assert_eq!(ask(request).await.0, 200, "{good}");
    }
    for bad in ["text/plain", "application/jsonp", "application/yaml", ""] {
        let request = Request::post("/mutate").header("content-type", bad).body(review().into()).unwrap();
        let (status, text) = ask(request).await;
        assert_eq!((status, text), (415, format!("content type {bad:?} is not supported; send application/json\n")));
    }
    let (status, text) = ask(Request::post("/mutate").body(review().into()).unwrap()).await;
    assert_eq!((status, text.as_str()), (415, "the content type is missing; send application/json\n"));
}

#[tokio::test]
async fn other_paths_and_methods() {
    for path in ["/", "/mutate/", "/validate", "/metrics"] {
        let (status, text) = ask(Request::post(path).body(review().into()).unwrap()).await;
        assert_eq!((status, text.as_str()), (404, "path not found; send AdmissionReviews to POST /mutate\n"));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Request::builder().method(&method).uri("/mutate").body(Body::empty()).unwrap();
        let response = Endpoint::new(engine::answer, Limits::default(), bounds()).await.send(request).await;
        assert_eq!(response.headers().get_all("allow").iter().collect::<Vec<_>>(), ["POST"]);
        assert_eq!(text(response).await, (405, format!("method {method} is not supported; send POST to /mutate\n")));
    }
}

#[tokio::test]
async fn what_is_no_admission_review() {
    for bad in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"request\": 1}"] {
        let (status, text) = ask(post(bad)).await;
        assert_eq!((status, text.lines().count()), (400, 1), "{bad:?}: {text}");
    }
}

#[tokio::test]
async fn a_body_of_many_frames_is_put_together() {
    let review = review();
    let frames: Vec<_> = review.chunks(7).map(|bytes| Ok::<_, std::io::Error>(bytes.to_vec().into())).collect();
    assert_eq!(ask(post(Body::new(Frames(frames)))).await.0, 200);
}

#[tokio::test]
async fn too_large_with_and_without_a_content_length() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let (status, text) = ask_with(limits.clone(), post(review())).await;
    assert_eq!((status, text.as_str()), (413, "the body is larger than 10 bytes\n"));
    let frames = review().chunks(7).map(|bytes| Ok(bytes.to_vec().into())).collect();
    assert_eq!(ask_with(limits, post(Body::new(Frames(frames)))).await.0, 413);
}

#[tokio::test]
async fn too_many_bytes_at_once() {
    let bounds = Bounds { request_bytes: limits::REQUEST_BYTES + 8 * 1024, ..bounds() };
    let endpoint = Endpoint::new(engine::answer, Limits::default(), bounds).await;
    assert_eq!(endpoint.send(post(review())).await.status(), 200);
    let (status, text) = text(endpoint.send(post(vec![b' '; 100_000])).await).await;
    assert_eq!(
        (status, text.as_str()),
        (503, "the memory for requests is full, and this client holds the largest share\n")
    );
    assert_eq!(endpoint.send(post(review())).await.status(), 200);
}

#[tokio::test]
async fn too_slow() {
    let limits = Limits { body: Duration::from_millis(20), ..Limits::default() };
    let (status, text) = ask_with(limits, post(Body::new(Never))).await;
    assert_eq!((status, text.as_str()), (408, "timeout: the body did not arrive within 0.02 s\n"));
}

#[tokio::test]
async fn a_panic_is_one_requests_matter() {
    fn panics_at_a_b<'a>(
        context: engine::Context<'a>,
        body: &'a [u8],
    ) -> Result<engine::Answer<'a>, engine::Unreadable> {
        assert_ne!(body, b"b", "a secret in a panic's message");
        engine::answer(context, body)
    }
    let endpoint = Endpoint::new(panics_at_a_b, Limits::default(), bounds()).await;
    for _ in 0..3 {
        let response = endpoint.send(post("b")).await;
        let (status, text) = text(response).await;
        assert_eq!(status, 500);
        assert!(text.contains("crashed (bug)") && !text.contains("secret"), "{text}");
        let response = endpoint.send(post(review())).await;
        assert_eq!(response.status(), 200);
    }
    assert_eq!(endpoint.admission.in_flight(), 0);
}

/// A body in frames.
struct Frames(Vec<Result<axum::body::Bytes, std::io::Error>>);

impl hyper::body::Body for Frames {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0).map(Frame::data));
        std::task::Poll::Ready(next)
    }
}

/// A body that never arrives.
struct Never;

impl hyper::body::Body for Never {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}
