//! What would still start if the upstreams vanished now: what caches hold by their inventories, and what nodes hold.
//!
//! [`judge`] and [`Nodes::look`] are pure: facts in, verdict out. Readers of inventories implement [`Holdings`];
//! [`Drill::gather`] has them look up what the judge asks for.

mod api;
mod ecr;
mod expiry;
mod gathered;
mod holdings;
pub mod html;
pub mod json;
mod judge;
mod listing;
mod nodes;
mod plan;
mod policy;
mod storage;
pub mod table;
mod unjudged;
mod verdict;
mod warmed;
mod workloads;

pub use api::Api;
pub use ecr::Ecr;
pub use expiry::Expiry;
pub use holdings::{Gathering, Holdings, Part};
pub use judge::{Finding, Offline, judge};
pub use listing::Listing;
pub use nodes::{Node, Nodes, Scheduling};
pub use plan::{Drill, Drilled, DrilledImage, Inventories};
pub use policy::PullPolicy;
pub use storage::Storage;
pub use unjudged::{Unjudged, Why};
pub use verdict::{Evidence, Source, Verdict};
pub use warmed::Warmed;
pub use workloads::{Collected, Object, Workload, WorkloadImage, Workloads};
