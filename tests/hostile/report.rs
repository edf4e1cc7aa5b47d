//! The table, and the violations of a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::attacks::Attack;
use crate::ordinary::{self, Fault, TIMEOUT};
use crate::round::{RECOVERY_LIMIT, Round, median};

/// The largest ratio of the median during the attack to the median before it.
const MOST_SLOWDOWN: f64 = 10.0;
const MIB: f64 = (1 << 20) as f64;

pub const HEAD: &str = "\
| Attack | CPUs | From | Connections | Sent MiB | Peak charge MiB | Peak RSS MiB | Probes | Reviews | Not answered | \
Median ms, before → during | Worst ms | Recovery s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Returns one line of the table.
pub fn row(attack: &Attack, round: &Round) -> String {
    let figures = Figures::of(round);
    let Figures { during, worst, faults, probes_answered } = &figures;
    format!(
        "| {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {} of {} | {} | {} | {:.2} → {:.2} | {:.0} | {} |",
        attack.name,
        round.cpus,
        round.source,
        round.ground.tally.connections(),
        round.ground.tally.sent_mib(),
        round.usage.charge.peak_bytes as f64 / MIB,
        round.usage.peak_resident_bytes as f64 / MIB,
        probes_answered,
        round.probes.len(),
        round.during.len() + round.after.len(),
        faults.values().sum::<usize>(),
        millis(round.before),
        millis(*during),
        millis(*worst),
        round
            .recovery
            .map_or_else(|| format!("over {}", RECOVERY_LIMIT.as_secs()), |time| format!("{:.2}", time.as_secs_f64())),
    )
}

/// Returns the memory bounds that a round breaks, a sentence for each.
pub fn violations_of_memory(round: &Round, bound_bytes: u64) -> Vec<String> {
    let mut violations = Vec::new();
    if let Some(exit) = &round.exit {
        violations.push(format!("the server ended: {exit}"));
    }
    let charge = round.usage.charge;
    if charge.kills > 0 {
        violations.push(format!("the kernel killed {} processes of the cgroup", charge.kills));
    }
    if charge.limit_hits > 0 {
        violations.push(format!("the memory limit was reached {} times", charge.limit_hits));
    }
    for (name, bytes) in [("charge", charge.peak_bytes), ("RSS", round.usage.peak_resident_bytes)] {
        if bytes > bound_bytes {
            violations.push(format!(
                "peak {name} {:.0} MiB, more than {:.0}",
                bytes as f64 / MIB,
                bound_bytes as f64 / MIB
            ));
        }
    }
    violations
}

/// Returns the bounds of probes and reviews that a round breaks.
pub fn violations_of_service(round: &Round) -> Vec<String> {
    let Figures { during, worst, faults, probes_answered } = Figures::of(round);
    let mut violations = Vec::new();
    if round.probes.is_empty() || probes_answered < round.probes.len() {
        violations.push(format!("{} of {} probes failed", round.probes.len() - probes_answered, round.probes.len()));
    }
    let not_answered: usize = faults.values().sum();
    if not_answered > 0 {
        let all = round.during.len() + round.after.len();
        violations.push(format!("{not_answered} of {all} ordinary reviews were not answered"));
    }
    if round.during.is_empty() {
        violations.push("no ordinary review was sent during the attack".to_owned());
    }
    let slowdown = during.as_secs_f64() / round.before.as_secs_f64();
    if slowdown > MOST_SLOWDOWN {
        violations.push(format!("the median is {slowdown:.1} times that of before, more than {MOST_SLOWDOWN:.0}"));
    }
    if worst > TIMEOUT {
        violations
            .push(format!("a review took {:.0} ms, more than the timeout of the webhook configuration", millis(worst)));
    }
    if round.recovery.is_none() {
        violations.push(format!("the median had not recovered within {} s", RECOVERY_LIMIT.as_secs()));
    }
    if round.ground.tally.connections() == 0 {
        violations.push("the attack opened no connection".to_owned());
    }
    violations
}

/// Returns the events of a row that fails.
pub fn details(round: &Round) -> String {
    let mut text = String::new();
    for (fault, count) in Figures::of(round).faults {
        let _ = match fault {
            Fault::Rejected(answer) => writeln!(text, "    {count} × review rejected: {answer}"),
            Fault::Lost(error) => writeln!(text, "    {count} × review lost: {error}"),
            Fault::Late => writeln!(text, "    {count} × review not answered within {} s", TIMEOUT.as_secs()),
        };
    }
    let mut probes = BTreeMap::<_, usize>::new();
    for fault in round.probes.iter().filter_map(|probe| probe.fault.as_deref()) {
        *probes.entry(fault).or_default() += 1;
    }
    for (fault, count) in probes {
        let _ = writeln!(text, "    {count} × probe {fault}");
    }
    let _ = write!(text, "  events of the attack:\n{}", round.ground.tally.events());
    let _ = write!(text, "  end of the server's log:\n{}", round.log_tail);
    text
}

struct Figures {
    during: Duration,
    worst: Duration,
    faults: BTreeMap<Fault, usize>,
    probes_answered: usize,
}

impl Figures {
    fn of(round: &Round) -> Figures {
        let latencies: Vec<_> = round.during.iter().map(|sample| sample.latency).collect();
        let mut faults = ordinary::faults(&round.during);
        for (fault, count) in ordinary::faults(&round.after) {
            *faults.entry(fault).or_default() += count;
        }
        Figures {
            worst: latencies.iter().max().copied().unwrap_or_default(),
            during: median(latencies).unwrap_or_default(),
            faults,
            probes_answered: round.probes.iter().filter(|probe| probe.fault.is_none()).count(),
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
