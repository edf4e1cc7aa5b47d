//! A registry on loopback, for the rest of the process.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use sha2::{Digest as _, Sha256};

pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An answer, without the headers that all answers have.
pub struct Reply {
    pub status: &'static str,
    /// Each with its name.
    pub headers: Vec<String>,
    pub body: String,
}

impl Reply {
    /// Returns an index, with its digest.
    pub fn index(body: String) -> Self {
        let digest = Sha256::digest(&body).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Self { status: "200 OK", headers: vec![format!("Docker-Content-Digest: sha256:{digest}")], body }
    }
}

/// Starts a registry that answers requests by their head, and returns its host.
pub fn start(answer: impl Fn(&str) -> Reply + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(serve(stream, &answer))));
    host
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> Reply) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&bytes[..read]),
        }
        // A client on loopback tries TLS first.
        if head.first() == Some(&0x16) {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Reply { status, headers, body } = answer(&head);
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let body = if head.starts_with("HEAD") { "" } else { &body };
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Type: {INDEX_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
