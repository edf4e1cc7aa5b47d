//! The listening sockets.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::connection::Endpoint;
use super::limits::{RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES};
use super::shutdown::Phase;

/// Connections that wait to be accepted. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Delay after a failed accept, such as without free file descriptors.
const RETRY: Duration = Duration::from_millis(500);

/// Error: an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {error}{}", self.hint())]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

impl ListenError {
    fn hint(&self) -> &'static str {
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                "; another process uses it; choose another port with --listen or --metrics-listen; 0 is any free port"
            }
            io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges; choose a higher port",
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            _ if self.address.is_ipv6() => "; if this machine has no IPv6, choose an IPv4 address, such as 0.0.0.0",
            _ => "",
        }
    }
}

/// Binds all of `addresses`.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    addresses
        .iter()
        .map(|&address| {
            let only_v6 = only_v6(address, addresses);
            bind_one(address, only_v6).map_err(|error| ListenError { address, error })
        })
        .collect()
}

/// Returns whether the socket is for IPv6 only. `[::]` includes IPv4, unless an IPv4 address with the same port is listed: the
/// kernel does not allow both.
fn only_v6(address: SocketAddr, all: &[SocketAddr]) -> bool {
    let has_ipv4_sibling = all.iter().any(|other| other.is_ipv4() && other.port() == address.port());
    address.ip() != Ipv6Addr::UNSPECIFIED || has_ipv4_sibling
}

fn bind_one(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restart must not wait until old connections leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it. By default the kernel lets each buffer grow to some MiB.
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the phase `last` has ended.
pub async fn accept(listener: TcpListener, endpoint: Arc<Endpoint>, last: Phase) {
    let mut phase = endpoint.phase();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => endpoint.serve(stream, client.ip()).await,
                // The client disconnected before it was accepted.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(error = error.to_string().as_str(), "can't accept connections; retrying");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = phase.wait_for(|phase| *phase > last) => {}
    }
    // Connections in the backlog would be reset.
    while let Some((stream, client)) = waiting(&listener).await {
        endpoint.serve(stream, client.ip()).await;
    }
}

async fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv6_wildcard_is_dual_stack_unless_ipv4_has_the_port() {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let alone = addresses(&["[::]:8443", "0.0.0.0:9443"]);
        assert!(!only_v6(alone[0], &alone));
        let both = addresses(&["[::]:8443", "0.0.0.0:8443"]);
        assert!(only_v6(both[0], &both));
        let specific = addresses(&["[::1]:8443"]);
        assert!(only_v6(specific[0], &specific));
    }
}
