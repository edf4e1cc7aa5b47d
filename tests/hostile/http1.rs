//! HTTP/1.1 as bytes: requests, and the parts of a response that clients need.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub closes: bool,
    pub body: Vec<u8>,
}

/// Returns the header of a review with a body of this size, as the API server sends it.
pub fn review_header(body_bytes: usize) -> String {
    header("/mutate?timeout=3s", &format!("Content-Length: {body_bytes}\r\n"))
}

/// Returns a header with further fields, each with its line end.
pub fn header(path: &str, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\n{fields}\r\n"
    )
}

/// Returns a review with its header.
pub fn request(body: &[u8]) -> Vec<u8> {
    let mut request = review_header(body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// Reads one response. The bytes after it stay in `input`.
pub async fn answer(io: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) -> io::Result<Answer> {
    loop {
        let header_end = loop {
            match input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end,
                None => more(io, input).await?,
            }
        };
        let header = String::from_utf8_lossy(&input[..header_end]).to_ascii_lowercase();
        input.drain(..header_end + 4);
        let status = header.get(9..12).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| invalid(format!("no status in {header:?}")))?;
        if status < 200 {
            continue;
        }
        let field = |name: &str| header.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = match field("content-length:") {
            Some(length) => length.parse().map_err(|_| invalid(format!("content-length {length:?}")))?,
            None => 0,
        };
        while input.len() < length {
            more(io, input).await?;
        }
        let rest = input.split_off(length);
        let body = std::mem::replace(input, rest);
        return Ok(Answer { status, closes: field("connection:") == Some("close"), body });
    }
}

async fn more(io: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) -> io::Result<()> {
    match io.read_buf(input).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer")),
        _ => Ok(()),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
