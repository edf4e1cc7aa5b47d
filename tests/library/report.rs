//! The report of a scan, in every format.

mod docs;
mod names;
mod page;
mod sample;
mod sarif;
mod sums;
mod text;
