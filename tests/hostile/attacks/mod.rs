//! The table of attacks.

mod answers;
mod bodies;
mod cpu;
mod frames;
mod handshakes;
mod headers;
mod probes;
mod slots;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::ground::{Ground, Source};
use crate::processors::Cpus;

/// A task that runs until it is cancelled.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind of attack.
pub struct Attack {
    pub name: &'static str,
    /// Each setting is a row of the table.
    pub settings: &'static [(Cpus, Source)],
    pub duration: Duration,
    pub run: fn(Arc<Ground>) -> Running,
}

const ONE: &[(Cpus, Source)] = &[(Cpus::One, Source::Others)];
const BOTH: &[(Cpus, Source)] = &[(Cpus::One, Source::Others), (Cpus::Two, Source::Others)];
const ALL: &[(Cpus, Source)] = &[(Cpus::One, Source::Others), (Cpus::Two, Source::Others), (Cpus::One, Source::Shared)];

macro_rules! attacks {
    ($($name:literal, $settings:ident, $seconds:literal, $room:ident::$run:ident;)*) => {
        &[$(Attack {
            name: $name,
            settings: $settings,
            duration: Duration::from_secs($seconds),
            run: |ground| Box::pin($room::$run(ground)),
        }),*]
    };
}

pub const ATTACKS: &[Attack] = attacks![
    "HTTP/2 answers with a `uid` of 6.9 MB, window 0", BOTH, 3, answers::http2_long_uid;
    "HTTP/2 answers of many images, window 0", BOTH, 3, answers::http2_many_images;
    "HTTP/2 answers, windows opened by 1 byte", ONE, 3, answers::http2_trickle;
    "HTTP/1.1 answers with a `uid` of 6.9 MB, unread", BOTH, 3, answers::http1_long_uid;
    "HTTP/1.1 answers of many images, unread", ONE, 3, answers::http1_many_images;
    "HTTP/1.1 answers read at 100 bytes/s", ONE, 3, answers::http1_slow;
    "4,000 connections, 63 KB of unfinished header each", ALL, 5, headers::unfinished;
    "2,048 streams, 390 empty fields each", ONE, 3, headers::empty_fields;
    "2,000 HTTP/2 headers of 10 KB, unfinished", ONE, 3, headers::continuation;
    "2,100 streams, each of 12 KB by HPACK in 60 bytes", ONE, 3, headers::hpack;
    "2,000 headers, byte by byte", ONE, 3, headers::slow;
    "Bodies of 7 MiB, objects of 65,536 escaped keys", BOTH, 3, bodies::escaped_keys;
    "Bodies at the limit, objects of 65,536 escaped keys", ONE, 3, bodies::escaped_keys_at_limit;
    "Bodies at the limit, one text of escapes", ONE, 3, bodies::escaped_text;
    "Bodies at the limit, nested lists", ONE, 3, bodies::deep;
    "HTTP/1.1 bodies never completed", ONE, 3, bodies::unfinished_http1;
    "HTTP/2 bodies never completed", ONE, 3, bodies::unfinished_http2;
    "1,000 lengths of 7 MB, 1 byte each", ONE, 3, bodies::first_byte;
    "200 lengths of 7 MB, 100 KB each", ONE, 3, bodies::first_part;
    "Chunks of 1 byte, with extensions", ONE, 3, bodies::chunks;
    "1,000 trailers of 14 KB, unfinished", ONE, 3, bodies::trailers;
    "2,000 × Expect: 100-continue, no body", ONE, 3, bodies::expect;
    "Bodies that are rejected", ONE, 3, bodies::rejected;
    "Probes' port: 128 idle connections, 17 new a second", ALL, 3, probes::idle;
    "Probes' port: 512 idle connections, 400 new a second", BOTH, 3, probes::flood;
    "Probes' port: `/metrics` pipelined", BOTH, 3, probes::metrics;
    "Probes' port: unfinished headers and unread answers", ONE, 3, probes::unread;
    "21 × 100 streams, headers only", ALL, 3, slots::headers_only;
    "4,300 bare TCP connections", ALL, 3, slots::bare;
    "3,000 connections, one review each, then idle", BOTH, 3, slots::once_useful;
    "Connections, closed at once", ONE, 3, slots::closed;
    "2,000 partial ClientHellos, byte by byte", ONE, 3, handshakes::partial;
    "2,000 ClientHellos of 60 KB, unfinished", ONE, 3, handshakes::large;
    "TLS handshakes, full", BOTH, 3, handshakes::full;
    "TLS key updates", ONE, 3, handshakes::key_updates;
    "2 clients, 8,000 pull secrets, under 1 MB/s", ALL, 3, cpu::two_secrets;
    "6 clients, 8,000 pull secrets, under 1 MB/s", ONE, 3, cpu::six_secrets;
    "Reviews on 64 connections", ALL, 3, cpu::reviews;
    "Reviews of many images on 16 connections", ONE, 3, cpu::large_reviews;
    "Reviews, pipelined and unread", ONE, 3, cpu::pipelined;
    "HTTP/2 rapid reset", ONE, 3, frames::rapid_reset;
    "SETTINGS and PING floods", ONE, 3, frames::settings_and_ping;
    "PRIORITY and unknown frames", ONE, 3, frames::ignored;
    "Everything at once", ALL, 3, slots::everything;
];
