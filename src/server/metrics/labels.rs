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

/// The results of look-ups of images in caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The cache has the image.
    Found,
    /// The cache does not have it.
    Missing,
    /// The cache rejects the credentials: it counts as having it. So do the following.
    Denied,
    /// There was no usable answer.
    Failed,
    /// The answer was not there at the deadline of a request.
    Late,
    /// It was not looked up, since there are too many look-ups.
    Skipped,
}

impl Looked {
    pub(super) const ALL: [Looked; 6] =
        [Looked::Found, Looked::Missing, Looked::Denied, Looked::Failed, Looked::Late, Looked::Skipped];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Looked::Found => "found",
            Looked::Missing => "missing",
            Looked::Denied => "denied",
            Looked::Failed => "failed",
            Looked::Late => "late",
            Looked::Skipped => "skipped",
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
    /// Probes caches.
    Probes,
}

impl Task {
    /// Returns the value of the label `task`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Reload => "reload",
            Task::Certificates => "certificates",
            Task::Probes => "probes",
        }
    }
}
