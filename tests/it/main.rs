//! The server, through its router and through the real binary.

mod bodies;
mod caches;
mod limits;
mod log;
mod metrics;
mod reload;
mod shutdown;
mod slow_clients;
mod statuses;
mod support;
mod tls;
mod try_it;
