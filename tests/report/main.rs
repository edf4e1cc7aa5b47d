//! What was found, in every format.

mod browser;
mod docs;
mod page;
mod sample;
mod sarif;
mod sums;
mod text;
