//! The CPUs of the server and its clients, and the priority of each thread.

use std::process::{Command, Stdio};
use std::{fmt, io, thread};

use anyhow::{Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// In a cluster, clients run on other machines. Here they share CPUs with the server, so the server gets a higher priority.
pub const SERVER_PRIORITY: i32 = -10;
/// Clients that measure must not wait for attackers. Otherwise the latency would not be the server's.
pub const MEASURING_PRIORITY: i32 = -20;
pub const ATTACKER_PRIORITY: i32 = 0;

/// The number of CPUs of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// One, without any client.
    One,
    /// Two, shared with the clients.
    Two,
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cpus::One => "1",
            Cpus::Two => "2",
        })
    }
}

/// The CPUs and the priority of a thread and its children.
#[derive(Clone, Copy)]
pub struct Place {
    cpus: CpuSet,
    priority: i32,
}

impl Place {
    /// Runs `work` in a new thread with these CPUs and this priority.
    pub fn spawn<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        thread::spawn(move || {
            // Without the permission, the figures are worse, never better.
            let _ = self.enter();
            work()
        })
    }

    /// Returns whether this process has the permission.
    pub fn is_granted(self) -> bool {
        thread::spawn(move || self.enter()).join().is_ok_and(|entered| entered.is_ok())
    }

    fn enter(self) -> io::Result<()> {
        sched_setaffinity(None, &self.cpus)?;
        // On Linux this applies to the calling thread alone.
        setpriority_process(None, self.priority)?;
        if self.priority == MEASURING_PRIORITY {
            // Real-time priority goes before other sessions. These threads sleep nearly all of the time.
            let thread = gettid().as_raw_pid().to_string();
            Command::new("chrt").args(["--rr", "--pid", "1", &thread]).stderr(Stdio::null()).status()?;
        }
        Ok(())
    }
}

/// The CPUs that this process may use.
pub struct Processors {
    allowed: Vec<usize>,
}

impl Processors {
    pub fn detect() -> Result<Processors> {
        let set = sched_getaffinity(None)?;
        let allowed: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect();
        ensure!(allowed.len() >= 2, "this test needs two CPUs: with one, clients would wait for attackers");
        Ok(Processors { allowed })
    }

    pub fn server(&self, cpus: Cpus) -> Place {
        let set = match cpus {
            Cpus::One => set_of(&self.allowed[..1]),
            Cpus::Two => set_of(&self.allowed[..2]),
        };
        Place { cpus: set, priority: SERVER_PRIORITY }
    }

    pub fn client(&self, cpus: Cpus, priority: i32) -> Place {
        let set = match cpus {
            Cpus::One => set_of(&self.allowed[1..]),
            Cpus::Two => set_of(&self.allowed),
        };
        Place { cpus: set, priority }
    }
}

fn set_of(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    set
}
