//! An unencrypted HTTP request over a stream, such as a forwarded port of a Pod.

use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cluster::api::{Failure, chain};

/// A limit far above the size of `/metrics`.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Sends a GET request, and returns the status and the text of the response. The caller sets a deadline.
pub async fn get<S>(stream: S, path: &str) -> Result<(u16, String), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Failure::Broken(format!("GET {path}: {}", chain(&error)));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header("host", "localhost")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::Broken(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|error| Failure::Broken(format!("GET {path}: {}", chain(&*error))))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may close before its response is read.
        _ = connection => exchange.await,
    }
}
