//! Memory that the clients of an endpoint hold, and its limits.

/// Limits in bytes for all clients of an endpoint together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// For open connections, with all that an idle one holds.
    pub connection_bytes: usize,
    /// For headers, bodies, and answers until they are written.
    pub request_bytes: usize,
}

/// Current use of one endpoint, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub connections: usize,
    pub connection_bytes: usize,
    pub request_bytes: usize,
}
