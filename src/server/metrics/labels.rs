//! The values of labels.

/// Files that are reloaded while serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The rules file.
    Rules,
    /// Serving certificate, key, and client CA.
    Certificate,
}

impl Reloaded {
    /// Returns the value of the label `what`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reloaded::Rules => "rules",
            Reloaded::Certificate => "certificate",
        }
    }
}

/// What was closed or rejected because memory was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// A connection that was closed.
    Connection,
    /// A request that was rejected with 503.
    Request,
}

impl Shed {
    pub(super) const ALL: [Shed; 2] = [Shed::Connection, Shed::Request];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Shed::Connection => "connection",
            Shed::Request => "request",
        }
    }
}

/// Background tasks, which run until the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Checks files for changes.
    Reload,
    /// Manages certificates in the cluster.
    Certificates,
}

impl Task {
    /// Returns the value of the label `task`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Reload => "reload",
            Task::Certificates => "certificates",
        }
    }
}
