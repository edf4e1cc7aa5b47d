//! Requests to the API server, with a timeout, and with errors that name the missing permission.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, WARNING};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{GetParams, ListParams, PostParams};
use kube::client::Body;
use kube::core::request::{self, Request};
use kube::{Client, Config};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::DuplexStream;

use super::client::{client, has_no_connection, of_client};
pub use super::failure::{Failure, Seen, chain, found};
use crate::proxy::without_credentials;

/// The limit on a response. Larger lists are read in pages.
const MAX_BODY_BYTES: usize = 256 << 20;

/// The kubelet's error about a port may arrive this much later than the end of the stream.
const LATE: Duration = Duration::from_millis(500);

/// An object, or a list of objects.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// `api/v1`, or `apis/GROUP/VERSION`.
    pub api: &'a str,
    pub resource: &'a str,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl Target<'_> {
    /// Returns the builder of requests to the collection.
    pub(super) fn collection(&self) -> Request {
        let Self { api, resource, namespace, name: _ } = self;
        let namespace = namespace.map(|namespace| format!("/namespaces/{}", segment(namespace))).unwrap_or_default();
        Request::new(format!("/{api}{namespace}/{}", segment(resource)))
    }

    /// Returns the name of the object as a part of a path; empty for a collection.
    fn name(&self) -> String {
        self.name.map(|name| segment(name).to_string()).unwrap_or_default()
    }

    /// Returns the API group; empty for the core group.
    pub(super) fn group(&self) -> &str {
        self.api.strip_prefix("apis/").and_then(|rest| rest.split('/').next()).unwrap_or_default()
    }

    /// Describes the permission for a request, as errors name it.
    pub(super) fn permission(&self, verb: &str) -> String {
        let group = match self.group() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let place = match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        format!("{verb} {}{group} {place}", self.resource)
    }
}

/// Encodes a part of a path. kube does not encode names.
fn segment(text: &str) -> PercentEncode<'_> {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED)
}

/// A request, or why it could not be built.
type Built = Result<http::Request<Vec<u8>>, request::Error>;

/// A response, with the API server's warnings.
#[derive(Debug, Clone)]
pub struct Answer {
    pub body: Value,
    pub warnings: Vec<String>,
    /// The API server's time.
    pub date: Option<SystemTime>,
}

/// The API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
    timeout: Duration,
    /// The proxy's URL without credentials.
    proxy: Option<String>,
}

impl Api {
    /// Makes a client of the API server that `config` names.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is invalid, as with a damaged certificate, or if the exec plugin fails.
    pub async fn new(mut config: Config, timeout: Duration) -> Result<Self, Failure> {
        // Each request has a timeout of its own. Retries would hide why the first attempt failed.
        config.connect_timeout = None;
        config.default_retry = false;
        // Making the client waits for the exec plugin of the kubeconfig.
        let proxy = config.proxy_url.as_ref().map(without_credentials);
        let making = tokio::task::spawn_blocking(|| client(config));
        let made = tokio::time::timeout(timeout, making).await;
        let made =
            made.map_err(|_| Failure::Broken(format!("the exec plugin returned no credentials within {timeout:?}")))?;
        let made = made.map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(Self { client: made?, timeout, proxy })
    }

    fn broken(&self, error: &kube::Error) -> Failure {
        let text = self.through_proxy(error);
        if has_no_connection(error) { Failure::NotConnected(text) } else { Failure::Broken(text) }
    }

    /// Describes an error, with the proxy if there is one, since the proxy may be what fails.
    fn through_proxy(&self, error: &kube::Error) -> String {
        match &self.proxy {
            Some(proxy) => format!("through the proxy {proxy}: {}", of_client(error)),
            None => of_client(error),
        }
    }

    pub async fn within<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.timeout, future).await.unwrap_or(Err(Failure::TooSlow(self.timeout)))
    }

    /// Reads an object or a list.
    pub async fn get<T: DeserializeOwned>(&self, target: Target<'_>) -> Result<T, Failure> {
        let collection = target.collection();
        let (request, verb) = match target.name {
            Some(_) => (collection.get(&target.name(), &GetParams::default()), "get"),
            None => (collection.list(&ListParams::default()), "list"),
        };
        parse(&self.send(request, &target.permission(verb), MAX_BODY_BYTES).await?.text)
    }

    /// Reads an object; `None` if it does not exist.
    pub async fn find<T: DeserializeOwned>(&self, target: Target<'_>) -> Seen<T> {
        match self.get(target).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads a path that is not an object, such as `/version`.
    pub async fn read<T: DeserializeOwned>(&self, path: &str, needs: &str) -> Result<T, Failure> {
        parse(&self.text(path, needs, MAX_BODY_BYTES).await?)
    }

    /// Reads a path without parsing it, up to `most` bytes.
    pub async fn text(&self, path: &str, needs: &str, most: usize) -> Result<Vec<u8>, Failure> {
        let request = http::Request::get(path).body(Vec::new()).map_err(request::Error::BuildRequest);
        Ok(self.send(request, needs, most).await?.text)
    }

    /// Reads a page of a list without parsing it, up to `most` bytes.
    pub(super) async fn page(
        &self,
        collection: &Request,
        params: &ListParams,
        needs: &str,
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        Ok(self.send(collection.list(params), needs, most).await?.text)
    }

    /// Reads an object as JSON with all its fields; `None` if it does not exist.
    pub async fn look_up(&self, target: Target<'_>) -> Seen<Answer> {
        let request = target.collection().get(&target.name(), &GetParams::default());
        match self.send(request, &target.permission("get"), MAX_BODY_BYTES).await {
            Ok(answer) => answer.parsed().map(Some),
            Err(Failure::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Creates an object; with `params.dry_run`, the API server does not store it.
    pub async fn create(&self, target: Target<'_>, params: &PostParams, object: &Value) -> Result<Answer, Failure> {
        let request = target.collection().create(params, object.to_string().into_bytes());
        self.send(request, &target.permission("create"), MAX_BODY_BYTES).await?.parsed()
    }

    /// Replaces an object, unless its `resourceVersion` has changed.
    pub async fn update(&self, target: Target<'_>, object: &Value) -> Result<Answer, Failure> {
        let object = object.to_string().into_bytes();
        let request = target.collection().replace(&target.name(), &PostParams::default(), object);
        self.send(request, &target.permission("update"), MAX_BODY_BYTES).await?.parsed()
    }

    async fn send(&self, request: Built, needs: &str, most: usize) -> Result<Text, Failure> {
        let request = request.map_err(|error| Failure::Broken(chain(&error)))?.map(Body::from);
        self.within(async {
            let response = self.client.send(request).await.map_err(|error| self.broken(&error))?;
            let (head, body) = response.into_parts();
            let text = collected(body, most).await?;
            if !head.status.is_success() {
                return Err(rejection(head.status.as_u16(), &text, needs));
            }
            Ok(Text { text, headers: head.headers })
        })
        .await
    }

    /// Forwards a port of a Pod through the API server and the kubelet, and passes the stream to `talk`.
    pub async fn forward<T>(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        talk: impl AsyncFnOnce(DuplexStream) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let pods = kube::Api::<Pod>::namespaced(self.client.clone(), namespace);
        let needs = format!("get and create pods/portforward in namespace {namespace}");
        let mut forwarder = self
            .within(async {
                pods.portforward(pod, &[port]).await.map_err(|error| match error {
                    kube::Error::Api(status) if status.code == 403 => {
                        Failure::Forbidden { needs, message: status.message.clone() }
                    }
                    kube::Error::Api(status) => {
                        Failure::Rejected { code: status.code, message: format!("port-forward: {}", status.message) }
                    }
                    error => Failure::Broken(format!("port-forward: {}", self.through_proxy(&error))),
                })
            })
            .await?;
        let (Some(stream), Some(refused)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
            return Err(Failure::Broken("port-forward: no stream".to_owned()));
        };
        let outcome = self.within(talk(stream)).await;
        if outcome.is_err()
            && let Ok(Some(why)) = tokio::time::timeout(LATE, refused).await
        {
            // The kubelet's error is more specific than the end of the stream.
            return Err(Failure::Broken(format!("port-forward: {}", why.trim())));
        }
        outcome
    }
}

/// A response that is not parsed yet.
struct Text {
    text: Vec<u8>,
    headers: HeaderMap,
}

/// Reads the whole body into one buffer, so that memory holds it only once.
async fn collected(mut body: Body, most: usize) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(of_client(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if text.len() + data.len() > most {
            return Err(Failure::TooLarge(most));
        }
        text.extend_from_slice(&data);
    }
    Ok(text)
}

impl Text {
    fn parsed(&self) -> Result<Answer, Failure> {
        let warnings = self.headers.get_all(WARNING).iter();
        let warnings = warnings.filter_map(|value| warning(&String::from_utf8_lossy(value.as_bytes()))).collect();
        let date = self.headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(Answer { body: parse(&self.text)?, warnings, date })
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| Failure::Broken(format!("unexpected response: {error}")))
}

fn rejection(code: u16, body: &[u8], needs: &str) -> Failure {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = match status["message"].as_str() {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned(),
    };
    let is_of_rbac = message.contains(" cannot ");
    match code {
        404 => Failure::NotFound(message),
        410 => Failure::Expired { message, next: status["metadata"]["continue"].as_str().map(str::to_owned) },
        403 if is_of_rbac => Failure::Forbidden { needs: needs.to_owned(), message },
        code => Failure::Rejected { code, message },
    }
}

/// Returns the text of a `Warning` header: `299 - "text"`.
fn warning(header: &str) -> Option<String> {
    let quoted = header.splitn(3, ' ').nth(2)?.trim();
    let inner = quoted.strip_prefix('"').unwrap_or(quoted).split("\" \"").next()?;
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_unquoted() {
        assert_eq!(warning(r#"299 - "a \"b\" \\c""#).unwrap(), r#"a "b" \c"#);
        assert_eq!(warning("299"), None);
    }

    #[test]
    fn only_missing_permissions_are_forbidden() {
        let rbac = br#"{"message": "pods is forbidden: User \"a\" cannot create resource \"pods\""}"#;
        assert!(matches!(rejection(403, rbac, "x"), Failure::Forbidden { .. }));
        let admission = br#"{"message": "pods \"a\" is forbidden: violates PodSecurity"}"#;
        assert!(matches!(rejection(403, admission, "x"), Failure::Rejected { code: 403, .. }));
        assert!(matches!(rejection(502, b"<html>", "x"), Failure::Rejected { message, .. } if message == "<html>"));
    }

    #[test]
    fn a_permission_is_named_as_in_rbac() {
        let target = Target { api: "apis/apps/v1", resource: "deployments", namespace: Some("a"), name: None };
        assert_eq!(target.permission("list"), "list deployments.apps in namespace a");
    }

    #[test]
    fn names_in_a_path_are_encoded() {
        let target = Target { api: "apis/apps/v1", resource: "deployments", namespace: Some("a"), name: None };
        let odd = Target { namespace: Some("a/b"), name: Some("x?y#é.-"), ..target };
        let uri = |request: Built| request.unwrap().uri().to_string();
        assert_eq!(
            uri(target.collection().create(&PostParams::default(), Vec::new())),
            "/apis/apps/v1/namespaces/a/deployments?"
        );
        assert_eq!(
            uri(odd.collection().get(&odd.name(), &GetParams::default())),
            "/apis/apps/v1/namespaces/a%2Fb/deployments/x%3Fy%23%C3%A9.-"
        );
    }
}
