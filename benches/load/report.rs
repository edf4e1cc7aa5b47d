//! Tables of the measurements.

use std::time::Duration;

use super::client::Load;
use super::process::Memory;
use super::{CACHE_DOWN, CONNECTIONS, MANY_SOURCES, NULL, OTHER, PULLTHROUGH};

/// All measurements.
pub struct Figures {
    /// Milliseconds from the start of a server to its first response.
    pub starts: Vec<(&'static str, f64)>,
    /// Before the first request.
    pub idle: Vec<(&'static str, Memory)>,
    pub rows: Vec<Row>,
    /// The p99 in milliseconds with little CPU, or why it was not measured.
    pub throttled: Result<f64, String>,
}

/// One server with one load: one round, or the median of all.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    cpu_micros: f64,
    requests_per_sec: f64,
    p50_micros: f64,
    p99_micros: f64,
    p999_micros: f64,
    memory: Memory,
    /// The CPU time for a request of `wrk`, if that was measured.
    wrk_cpu_micros: Option<f64>,
}

impl Round {
    pub fn new(load: &Load, cpu: Duration, memory: Memory, wrk_cpu_micros: Option<f64>) -> Self {
        let micros = load.sorted_micros();
        let requests = micros.len() as f64;
        Self {
            cpu_micros: cpu.as_secs_f64() * 1e6 / requests,
            requests_per_sec: requests / load.elapsed.as_secs_f64(),
            p50_micros: quantile(&micros, 0.5),
            p99_micros: quantile(&micros, 0.99),
            p999_micros: quantile(&micros, 0.999),
            memory,
            wrk_cpu_micros,
        }
    }

    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            cpu_micros: of(|round| round.cpu_micros),
            requests_per_sec: of(|round| round.requests_per_sec),
            p50_micros: of(|round| round.p50_micros),
            p99_micros: of(|round| round.p99_micros),
            p999_micros: of(|round| round.p999_micros),
            memory: Memory {
                resident_mib: of(|round| round.memory.resident_mib),
                anonymous_mib: of(|round| round.memory.anonymous_mib),
            },
            wrk_cpu_micros: rounds.iter().map(|round| round.wrk_cpu_micros).collect::<Option<_>>().map(median),
        }
    }
}

/// A line of the table.
pub struct Row {
    body: &'static str,
    connections: usize,
    server: &'static str,
    median: Round,
    /// The lowest and the highest of the rounds.
    cpu_micros: [f64; 2],
}

impl Row {
    pub fn new(body: &'static str, connections: usize, server: &'static str, rounds: &[Round]) -> Self {
        let cpu = || rounds.iter().map(|round| round.cpu_micros);
        let cpu_micros = [cpu().fold(f64::INFINITY, f64::min), cpu().fold(0.0, f64::max)];
        Self { body, connections, server, median: Round::median(rounds), cpu_micros }
    }
}

/// Returns the value below which this part of the sorted values is.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

/// Returns the median. With an even number of values, it is the upper of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn print(figures: &Figures) {
    let Figures { starts, idle, rows, throttled } = figures;
    println!(
        "{:<12} {:>5}  {:<12} {:>10} {:>13} {:>8} {:>8} {:>8} {:>9} {:>8} {:>9}",
        "body",
        "conns",
        "server",
        "CPU µs/req",
        "from to",
        "req/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "RSS MiB",
        "anonymous"
    );
    for Row { body, connections, server, median, cpu_micros: [lowest, highest] } in rows {
        let Round { cpu_micros, requests_per_sec, p50_micros, p99_micros, p999_micros, memory, .. } = median;
        let Memory { resident_mib, anonymous_mib } = memory;
        println!(
            "{body:<12} {connections:>5}  {server:<12} {cpu_micros:>10.1} {lowest:>6.1} {highest:>6.1} \
             {requests_per_sec:>8.0} {p50_micros:>8.0} {p99_micros:>8.0} {p999_micros:>9.0} {resident_mib:>8.1} \
             {anonymous_mib:>9.1}"
        );
    }
    println!("\n{:<12} {:>10} {:>15} {:>15}", "server", "start ms", "RSS idle MiB", "anonymous MiB");
    for ((server, millis), (_, Memory { resident_mib, anonymous_mib })) in starts.iter().zip(idle) {
        println!("{server:<12} {millis:>10.1} {resident_mib:>15.1} {anonymous_mib:>15.1}");
    }
    if rows.iter().any(|row| row.median.wrk_cpu_micros.is_some()) {
        compare(rows);
    }
    if let Err(why) = throttled {
        println!("\nno server with little CPU was measured: {why}");
    }
    targets(figures, PULLTHROUGH);
    if rows.iter().any(|row| row.server == OTHER) {
        targets(figures, OTHER);
    }
}

fn of<'f, T>(figures: &'f [(&str, T)], server: &str) -> Option<&'f T> {
    figures.iter().find(|(name, _)| *name == server).map(|(_, figure)| figure)
}

fn median_of(rows: &[Row], server: &str, body: &str, connections: usize) -> Option<Round> {
    let row = rows.iter().find(|row| (row.server, row.body, row.connections) == (server, body, connections));
    row.map(|row| row.median)
}

fn cpu_ratio(rows: &[Row], server: &str, base: &str, body: &str) -> Option<f64> {
    let cpu = |server| Some(median_of(rows, server, body, CONNECTIONS)?.cpu_micros);
    Some(cpu(server)? / cpu(base)?)
}

/// Prints the ratios by `wrk` beside those by this program's client.
fn compare(rows: &[Row]) {
    println!(
        "\n{:<12} {:>12} {:>12} {:>10} {:>14} {:>10}",
        "by wrk", "null, µs", "CPU µs", "over null", "by own client", "quotient"
    );
    for Row { body, connections, median, .. } in rows.iter().filter(|row| row.server == PULLTHROUGH) {
        let null = median_of(rows, NULL, body, *connections).and_then(|null| null.wrk_cpu_micros);
        let (Some(null), Some(micros)) = (null, median.wrk_cpu_micros) else { continue };
        let Some(own) = cpu_ratio(rows, PULLTHROUGH, NULL, body) else { continue };
        let ratio = micros / null;
        println!("{body:<12} {null:>12.1} {micros:>12.1} {ratio:>10.2} {own:>14.2} {:>10.2}", ratio / own);
    }
}

/// Prints the measured figures that have a target.
fn targets(figures: &Figures, server: &str) {
    let Figures { starts, idle, rows, throttled } = figures;
    let median = |server: &str, body: &str, connections: usize| median_of(rows, server, body, connections);
    let cpu_ratio = |server: &str, base: &str, body: &str| cpu_ratio(rows, server, base, body);
    let p99_ratio = |server: &str, base: &str, body: &str| {
        let p99 = |server| Some(median(server, body, CONNECTIONS)?.p99_micros);
        Some(p99(server)? / p99(base)?)
    };
    let start_millis = of(starts, server).copied();
    let idle_mib = of(idle, server).map(|memory| memory.resident_mib);
    let p999_millis = median(server, "b-realistic", 1).map(|median| median.p999_micros / 1e3);
    let loaded_mib = median(server, "b-realistic", CONNECTIONS).map(|median| median.memory.resident_mib);
    let throttled_millis = throttled.as_ref().ok().copied().filter(|_| server == PULLTHROUGH);
    let lines = [
        ("CPU over null, b-realistic", cpu_ratio(server, NULL, "b-realistic"), 2.0),
        ("CPU over null, c-none", cpu_ratio(server, NULL, "c-none"), 1.6),
        ("CPU over null, a-one", cpu_ratio(server, NULL, "a-one"), 1.5),
        ("CPU over null, 1 MiB", cpu_ratio(server, NULL, "1 MiB"), 2.2),
        ("CPU with 10,000 from over 1, b-realistic", cpu_ratio(MANY_SOURCES, PULLTHROUGH, "b-realistic"), 1.05),
        ("p99 with a cache down over none, b-realistic", p99_ratio(CACHE_DOWN, PULLTHROUGH, "b-realistic"), 1.05),
        ("p99.9 at one connection, b-realistic, ms", p999_millis, 5.0),
        ("p99 at 100 requests/s with 50m CPU, ms", throttled_millis, 10.0),
        ("RSS idle, MiB", idle_mib, 8.0),
        ("RSS under load, b-realistic, MiB", loaded_mib, 12.0),
        ("start to first answer, ms", start_millis, 50.0),
    ];
    println!("\n{:<48} {:>8} {:>8}", format!("{server}: target"), "at most", "is");
    for (figure, is, at_most) in lines {
        let Some(is) = is else { continue };
        let verdict = if is <= at_most { "met" } else { "NOT MET" };
        println!("{figure:<48} {at_most:>8.2} {is:>8.2}  {verdict}");
    }
}
