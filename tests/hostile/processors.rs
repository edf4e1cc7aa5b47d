//! The CPUs of the server and of its clients, and the priority of each thread.

use std::process::{Command, Stdio};
use std::{fmt, io, thread};

use anyhow::{Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// Attackers and other clients of a cluster are on other machines. Here they share CPUs with the server, so it goes first.
pub const SERVER_PRIORITY: i32 = -10;
/// Clients that measure must not wait for attackers: the latency is the server's.
pub const MEASURING_PRIORITY: i32 = -20;
pub const ATTACKER_PRIORITY: i32 = 0;

/// How many CPUs the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// One, on which no client runs.
    One,
    /// Two, which it shares with the clients.
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

/// Where a thread and its children run.
#[derive(Clone, Copy)]
pub struct Place {
    cpus: CpuSet,
    priority: i32,
}

impl Place {
    /// Runs `work` here, on a thread of its own.
    pub fn spawn<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        thread::spawn(move || {
            // Without the right to do so the figures are worse, never better.
            let _ = self.enter();
            work()
        })
    }

    /// Whether this process has the right to it.
    pub fn is_granted(self) -> bool {
        thread::spawn(move || self.enter()).join().is_ok_and(|entered| entered.is_ok())
    }

    fn enter(self) -> io::Result<()> {
        sched_setaffinity(None, &self.cpus)?;
        // On Linux this is the calling thread's alone.
        setpriority_process(None, self.priority)?;
        if self.priority == MEASURING_PRIORITY {
            // Ahead of everything that is not of real time, such as other sessions. They sleep nearly always.
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
        ensure!(allowed.len() >= 2, "two CPUs are needed: with one, the attackers would measure each other");
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
