//! HTTP/2 as bytes: frames in any order. A client library would follow the protocol.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use crate::ground::Ground;
use crate::tls::{Alpn, Stream};

const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

const HEADER_TABLE_SIZE: u16 = 1;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_BYTES: usize = 16_384;
/// The window of RFC 9113, before SETTINGS and WINDOW_UPDATE of the peer change it.
const DEFAULT_WINDOW: i64 = 65_535;

/// A connection.
pub struct Http2 {
    pub ground: Arc<Ground>,
    io: Stream,
    input: Vec<u8>,
    next_stream: u32,
    window: i64,
    initial_window: i64,
    /// The windows of streams that are still open.
    streams: HashMap<u32, i64>,
}

impl Http2 {
    /// Opens a connection, and waits for the settings of the server.
    pub async fn open(ground: Arc<Ground>, settings: &[(u16, u32)]) -> io::Result<Http2> {
        let io = ground.narrow(Alpn::Http2).await?;
        let mut connection = Http2 {
            ground,
            io,
            input: Vec::new(),
            next_stream: 1,
            window: DEFAULT_WINDOW,
            initial_window: DEFAULT_WINDOW,
            streams: HashMap::new(),
        };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // Without a dynamic table, each status is sent literally.
        let settings = [settings, &[(HEADER_TABLE_SIZE, 0)]].concat();
        hello.extend(frame(SETTINGS, 0, 0, &settings_payload(&settings)));
        connection.send(&hello).await?;
        while connection.step().await? != SETTINGS {}
        Ok(connection)
    }

    /// Sends bytes unchanged.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ground.send(&mut self.io, bytes).await
    }

    /// Returns the number of a new stream.
    pub fn new_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.streams.insert(stream, self.initial_window);
        stream
    }

    /// Sends a review. Returns false if the server ended the stream before the end of the review.
    pub async fn post(&mut self, body: &[u8]) -> io::Result<bool> {
        let stream = self.new_stream();
        self.send(&frame(HEADERS, END_HEADERS, stream, &review_header(body.len()))).await?;
        self.data(stream, body, END_STREAM).await
    }

    /// Sends a body within the windows of the server. Returns false if the server ended the stream before the end of the body.
    pub async fn data(&mut self, stream: u32, mut body: &[u8], last_flags: u8) -> io::Result<bool> {
        while !body.is_empty() {
            let Some(&stream_window) = self.streams.get(&stream) else { return Ok(false) };
            let window = self.window.min(stream_window).min(MAX_FRAME_BYTES as i64);
            if window <= 0 {
                self.step().await?;
                continue;
            }
            let (part, rest) = body.split_at(body.len().min(window as usize));
            let flags = if rest.is_empty() { last_flags } else { 0 };
            self.send(&frame(DATA, flags, stream, part)).await?;
            self.window -= part.len() as i64;
            *self.streams.entry(stream).or_default() -= part.len() as i64;
            body = rest;
        }
        Ok(true)
    }

    /// Reads frames until the server closes the connection, which is an error.
    pub async fn hold(&mut self) -> io::Result<()> {
        loop {
            self.step().await?;
        }
    }

    /// Returns the streams that the server has not ended.
    pub fn open_streams(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    /// Reads one frame, answers it if necessary, and returns its type. Can be cancelled.
    pub async fn step(&mut self) -> io::Result<u8> {
        let length = loop {
            if let Some(&[a, b, c]) = self.input.first_chunk::<3>() {
                let length = 9 + (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
                if self.input.len() >= length {
                    break length;
                }
            }
            if self.io.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"));
            }
        };
        let rest = self.input.split_off(length);
        let whole = std::mem::replace(&mut self.input, rest);
        let (kind, flags, stream, payload) = (whole[3], whole[4], u32_at(&whole, 5) & 0x7fff_ffff, &whole[9..]);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if u16::from_be_bytes([setting[0], setting[1]]) == INITIAL_WINDOW_SIZE {
                        let initial = i64::from(u32_at(setting, 2));
                        let change = initial - self.initial_window;
                        self.streams.values_mut().for_each(|window| *window += change);
                        self.initial_window = initial;
                    }
                }
                self.send(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
            PING if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, payload)).await?,
            WINDOW_UPDATE if stream == 0 => self.window += i64::from(u32_at(payload, 0)),
            WINDOW_UPDATE => {
                if let Some(window) = self.streams.get_mut(&stream) {
                    *window += i64::from(u32_at(payload, 0));
                }
            }
            HEADERS => {
                self.ground.tally.event(status(payload));
                if flags & END_STREAM != 0 {
                    self.streams.remove(&stream);
                }
            }
            DATA if flags & END_STREAM != 0 => {
                self.streams.remove(&stream);
            }
            RST_STREAM => {
                self.ground.tally.event(format!("RST_STREAM, code {}", u32_at(payload, 0)));
                self.streams.remove(&stream);
            }
            GOAWAY => {
                let (code, why) = (u32_at(payload, 4), String::from_utf8_lossy(&payload[8..]));
                let text = format!("GOAWAY, code {code} {why}");
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
            }
            _ => {}
        }
        Ok(kind)
    }
}

/// Returns a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

pub fn settings_payload(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    payload
}

/// Returns the fields of a review without a length.
pub fn open_header() -> Vec<u8> {
    // HPACK's static table has the fields of method and scheme, and the names of the others.
    let mut block = vec![0x83, 0x87];
    for (name, value) in [(&[0x04][..], "/mutate"), (&[0x01], "localhost"), (&[0x0f, 0x10], "application/json")] {
        block.extend_from_slice(name);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// Returns the fields of a review.
pub fn review_header(body_bytes: usize) -> Vec<u8> {
    let mut block = open_header();
    let length = body_bytes.to_string();
    block.extend_from_slice(&[0x0f, 0x0d, length.len() as u8]);
    block.extend_from_slice(length.as_bytes());
    block
}

/// Returns a field with a new name, which is not added to the dynamic table.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "the length must fit into one byte");
        field.push(text.len() as u8);
        field.extend_from_slice(text.as_bytes());
    }
    field
}

/// Returns the status, which is the first field of a block.
fn status(block: &[u8]) -> String {
    // Updates of the table's size may come first.
    let changes = block.iter().take_while(|&byte| byte & 0xe0 == 0x20).count();
    match &block[changes..] {
        [index @ 0x88..=0x8e, ..] => {
            ["200", "204", "206", "304", "400", "404", "500"][usize::from(index - 0x88)].to_owned()
        }
        [_, 0x03, plain @ ..] => String::from_utf8_lossy(&plain[..plain.len().min(3)]).into_owned(),
        [_, 0x83, a, b, c, ..] => digits(u32::from_be_bytes([0, *a, *b, *c])),
        other => format!("status as HPACK {:02x?}", &other[..other.len().min(5)]),
    }
}

/// Returns three digits in HPACK's Huffman code: 0 to 2 have five bits, 3 to 9 six.
fn digits(code: u32) -> String {
    let mut rest_bits = 24;
    let mut digits = String::new();
    for _ in 0..3 {
        let five = code >> (rest_bits - 5) & 0x1f;
        let six = code >> (rest_bits - 6) & 0x3f;
        let (digit, bits) = if five < 3 { (five, 5) } else { (six - 0x19 + 3, 6) };
        digits += &digit.to_string();
        rest_bits -= bits;
    }
    digits
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}
