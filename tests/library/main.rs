//! The program's library, through its public interface: manifests, lints, reports, and the rules that `init` writes.

mod init;
#[path = "../harness/linear_time.rs"]
mod linear_time;
mod lint;
#[path = "../harness/long_rules.rs"]
mod long_rules;
mod manifest;
mod report;
#[path = "../harness/sarif_schema.rs"]
mod sarif_schema;
