//! The memory of a blob that a client of registries reads to its end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use pullthrough::engine::ImageRef;
use pullthrough::registry::{
    Client, Credentials, Descriptor, Digest, HostSettings, Invalid, Outcome, Repository, Settings,
};

use super::{most_held, turn};

const PIECE: &[u8] = &[7; 64 << 10];
const PIECES: usize = 512;

#[test]
fn a_blob_takes_no_memory_of_its_size() {
    let _turn = turn();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let size_bytes = (PIECE.len() * PIECES) as u64;
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The end of a request without a body.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size_bytes}\r\n\r\n").as_bytes()).unwrap();
        (0..PIECES).for_each(|_| stream.write_all(PIECE).unwrap());
    });
    let image = format!("{host}/app");
    let repository = Repository::of(&ImageRef::parse(&image).unwrap()).unwrap();
    let hosts = [(host, HostSettings { is_plain_http: true, ..HostSettings::default() })].into();
    let client = Client::new(Settings { hosts, ..Settings::default() }, Credentials::Anonymous).unwrap();
    let blob = Descriptor {
        media_type: String::new(),
        digest: Digest::of(b"another blob"),
        size_bytes,
        platform: None,
        urls: Vec::new(),
        annotations: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut outcome = None;
    let used = most_held(|| outcome = Some(runtime.block_on(client.blob(&repository, &blob, &|_| {})).outcome));
    // Every byte was read: the digest is that of the whole.
    assert!(matches!(outcome, Some(Outcome::Invalid(Invalid::WrongDigest { .. }))), "{outcome:?}");
    assert!(used < 2 << 20, "{used} bytes for a blob of {size_bytes}");
}
