//! The results of a session, as a table for people and as JSON for machines.
//!
//! In scope: units, columns, ratios, and the notes a reader needs to judge the numbers.
//! Out of scope: measuring.

#![expect(clippy::cast_precision_loss, reason = "a report rounds to far fewer digits than an f64 keeps")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Failure, Measurement, Supply};
use crate::server::Stopped;

const HEADINGS: [&str; 12] = [
    "connections",
    "host",
    "executions",
    "errors",
    "executions/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "host CPU µs",
    "client CPU µs",
    "peak MiB",
];

const RATIO_HEADINGS: [&str; 6] = ["connections", "rounds", "executions/s", "p50", "p99", "host CPU"];

/// One measured number of connections on one host.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) label: &'static str,
    pub(crate) connections: usize,
    pub(crate) measurement: Measurement,
    /// How long after the load the log covered everything; `None` for a host without a log.
    pub(crate) log_lag: Option<Duration>,
}

/// What starting and stopping the host took, and a flush of its database's disk; `None` for a host without one.
#[derive(Debug)]
pub(crate) struct Lifetime {
    pub(crate) label: &'static str,
    pub(crate) ready_after: Duration,
    pub(crate) flush: Option<Duration>,
    pub(crate) stopped: Stopped,
}

/// A whole session.
#[derive(Debug)]
pub(crate) struct Report {
    runs: Vec<Run>,
    lifetimes: Vec<Lifetime>,
    n_cores: usize,
}

impl Run {
    fn per_second(&self) -> Option<f64> {
        let seconds = self.measurement.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| self.measurement.executions as f64 / seconds)
    }

    fn latency_ms(&self, quantile: f64) -> Option<f64> {
        let latencies = &self.measurement.latencies;
        (!latencies.is_empty()).then(|| latencies.value_at_quantile(quantile) as f64 / 1e6)
    }

    fn micros_each(&self, total: Option<Duration>) -> Option<f64> {
        let executions = self.measurement.executions;
        let micros = total?.as_secs_f64() * 1e6;
        (executions > 0).then(|| micros / executions as f64)
    }

    fn host_cpu_micros(&self) -> Option<f64> {
        self.micros_each(self.measurement.server_cpu)
    }

    fn client_cpu_micros(&self) -> Option<f64> {
        self.micros_each(Some(self.measurement.client_cpu))
    }

    fn n_errors(&self) -> u64 {
        let failures = self.measurement.failures.values().map(|failure| failure.count).sum::<u64>();
        failures + self.measurement.unanswered as u64
    }

    fn peak_mebibytes(&self) -> Option<f64> {
        self.measurement.server_peak_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.connections.to_string(),
            self.label.to_owned(),
            self.measurement.executions.to_string(),
            self.n_errors().to_string(),
            decimal(self.per_second(), 0),
            decimal(self.latency_ms(0.5), 3),
            decimal(self.latency_ms(0.99), 3),
            decimal(self.latency_ms(0.999), 3),
            decimal(self.latency_ms(1.0), 3),
            decimal(self.host_cpu_micros(), 1),
            decimal(self.client_cpu_micros(), 1),
            decimal(self.peak_mebibytes(), 1),
        ]
    }

    fn errors(&self) -> Vec<(String, u64, &str)> {
        let mut errors: Vec<_> = self
            .measurement
            .failures
            .iter()
            .map(|(failure, seen)| (failure_name(*failure), seen.count, seen.sample.as_str()))
            .collect();
        if self.measurement.unanswered > 0 {
            errors.push(("unanswered".to_owned(), self.measurement.unanswered as u64, ""));
        }
        errors
    }

    fn to_json(&self) -> Value {
        let errors: Vec<Value> = self
            .errors()
            .into_iter()
            .map(|(kind, count, sample)| json!({"kind": kind, "count": count, "sample": sample}))
            .collect();
        json!({
            "host": self.label,
            "connections": self.connections,
            "seconds": self.measurement.elapsed.as_secs_f64(),
            "executions": self.measurement.executions,
            "replayed": self.measurement.replayed,
            "reopened_connections": self.measurement.reopened,
            "bodies_ran_out": self.measurement.supply == Supply::RanOut,
            "errors": errors,
            "executions_per_second": self.per_second(),
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p99": self.latency_ms(0.99),
                "p999": self.latency_ms(0.999),
                "max": self.latency_ms(1.0),
            },
            "log_lag_ms": self.log_lag.map(|lag| lag.as_secs_f64() * 1e3),
            "host_cpu_us_per_execution": self.host_cpu_micros(),
            "client_cpu_us_per_execution": self.client_cpu_micros(),
            "host_peak_memory_bytes": self.measurement.server_peak_bytes,
        })
    }

    /// Things that make this run mean less, or something else, than its row says.
    fn warnings(&self) -> Vec<String> {
        let Measurement { executions, replayed, reopened, supply, elapsed, .. } = &self.measurement;
        let mut warnings = Vec::new();
        if *replayed > 0 {
            warnings.push(format!("{replayed} of {executions} answers were replays of earlier executions"));
        }
        if *reopened > 0 {
            warnings.push(format!("the host closed {reopened} connections between requests"));
        }
        if *supply == Supply::RanOut {
            warnings.push(format!("the bodies ran out after {:.1} s", elapsed.as_secs_f64()));
        }
        warnings
    }
}

/// How one host compares with another at one number of connections: in one round, or in the middle of several.
#[derive(Clone, Debug, PartialEq)]
struct Ratio {
    labels: [&'static str; 2],
    connections: usize,
    n_rounds: usize,
    per_second: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    host_cpu: Option<f64>,
}

impl Ratio {
    fn between(tested: &Run, compared: &Run) -> Self {
        let ratio = |measure: &dyn Fn(&Run) -> Option<f64>| {
            measure(tested).zip(measure(compared)).filter(|(_, below)| *below > 0.0).map(|(a, b)| a / b)
        };
        Self {
            labels: [tested.label, compared.label],
            connections: tested.connections,
            n_rounds: 1,
            per_second: ratio(&Run::per_second),
            p50: ratio(&|run| run.latency_ms(0.5)),
            p99: ratio(&|run| run.latency_ms(0.99)),
            host_cpu: ratio(&Run::host_cpu_micros),
        }
    }

    /// Each measure's median over these rounds, which are of one number of connections.
    fn median(rounds: &[Self]) -> Option<Self> {
        let Self { labels, connections, .. } = rounds.first()?;
        let middle = |measure: fn(&Self) -> Option<f64>| median(rounds.iter().filter_map(measure).collect());
        Some(Self {
            labels: *labels,
            connections: *connections,
            n_rounds: rounds.len(),
            per_second: middle(|round| round.per_second),
            p50: middle(|round| round.p50),
            p99: middle(|round| round.p99),
            host_cpu: middle(|round| round.host_cpu),
        })
    }

    fn cells(&self) -> Vec<String> {
        let rounds = if self.n_rounds == 1 { "1".to_owned() } else { format!("median of {}", self.n_rounds) };
        let mut cells = vec![self.connections.to_string(), rounds];
        cells.extend([self.per_second, self.p50, self.p99, self.host_cpu].map(|ratio| decimal(ratio, 2)));
        cells
    }

    fn to_json(&self) -> Value {
        json!({
            "hosts": self.labels,
            "connections": self.connections,
            "rounds": self.n_rounds,
            "executions_per_second": self.per_second,
            "p50": self.p50,
            "p99": self.p99,
            "host_cpu": self.host_cpu,
        })
    }
}

impl Lifetime {
    fn to_json(&self) -> Value {
        json!({
            "host": self.label,
            "ready_after_ms": self.ready_after.as_secs_f64() * 1e3,
            "flush_ms": self.flush.map(|flush| flush.as_secs_f64() * 1e3),
            "stopped_after_ms": self.stopped.after.as_secs_f64() * 1e3,
            "stop_status": self.stopped.status.to_string(),
        })
    }
}

impl Report {
    pub(crate) fn new(runs: Vec<Run>, lifetimes: Vec<Lifetime>) -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { runs, lifetimes, n_cores }
    }

    /// Every run executed something and saw no error.
    pub(crate) fn all_succeeded(&self) -> bool {
        self.runs.iter().all(|run| run.measurement.executions > 0 && run.n_errors() == 0)
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = table(&HEADINGS, self.runs.iter().map(Run::cells));
        let ratios = self.ratios();
        if let Some(Ratio { labels: [tested, compared], .. }) = ratios.first() {
            let _ = writeln!(text, "\n{tested} ÷ {compared}");
            text += &table(&RATIO_HEADINGS, ratios.iter().map(Ratio::cells));
        }
        for run in &self.runs {
            for (kind, count, sample) in run.errors() {
                let sample = if sample.is_empty() { String::new() } else { format!(", first: {sample}") };
                let _ = writeln!(
                    text,
                    "\nerror: {} host, {} connections: {count} × {kind}{sample}",
                    run.label, run.connections
                );
            }
        }
        text.push('\n');
        for note in self.notes() {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cores": self.n_cores,
            "hosts": self.lifetimes.iter().map(Lifetime::to_json).collect::<Vec<_>>(),
            "runs": self.runs.iter().map(Run::to_json).collect::<Vec<_>>(),
            "ratios": self.ratios().iter().map(Ratio::to_json).collect::<Vec<_>>(),
            "notes": self.notes(),
        })
    }

    /// The ratio of each round, and after several rounds of one number of connections their median.
    fn ratios(&self) -> Vec<Ratio> {
        let n_hosts = self.runs.iter().map(|run| run.label).collect::<BTreeSet<_>>().len();
        let rounds: Vec<Ratio> = self
            .runs
            .chunks(n_hosts.max(1))
            .filter_map(|runs| match runs {
                [tested, .., compared] if tested.label != compared.label => Some(Ratio::between(tested, compared)),
                _ => None,
            })
            .collect();
        let mut ratios = Vec::new();
        for rounds in rounds.chunk_by(|a, b| a.connections == b.connections) {
            ratios.extend_from_slice(rounds);
            ratios.extend(Ratio::median(rounds).filter(|median| median.n_rounds > 1));
        }
        ratios
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for Lifetime { label, ready_after, flush, stopped } in &self.lifetimes {
            notes.push(format!("{label} host: ready after {:.1} ms", ready_after.as_secs_f64() * 1e3));
            notes.push(format!(
                "{label} host: stopped {:.1} ms after SIGTERM ({})",
                stopped.after.as_secs_f64() * 1e3,
                stopped.status
            ));
            if let Some(flush) = flush {
                let ms = flush.as_secs_f64() * 1e3;
                notes.push(format!("{label} host: its disk makes a page durable in {ms:.3} ms, before the load"));
            }
        }
        for run in &self.runs {
            if let Some(lag) = run.log_lag {
                let ms = lag.as_secs_f64() * 1e3;
                let (label, connections) = (run.label, run.connections);
                notes.push(format!(
                    "{label} host, {connections} connections: the log covered all {ms:.0} ms after the load"
                ));
            }
            for warning in run.warnings() {
                notes.push(format!("{} host, {} connections: {warning}", run.label, run.connections));
            }
        }
        notes.push(format!(
            "{} cores in total; a local host and everything else running here share them with this load generator",
            self.n_cores
        ));
        notes.push("closed loop: a connection sends its next request after the answer to the last one".into());
        notes.push("executions are answers with status 200; latencies are theirs, from request to last byte".into());
        notes.push("CPU is time per execution in user and kernel mode; peak is resident memory since the start".into());
        notes
    }
}

fn failure_name(failure: Failure) -> String {
    match failure {
        Failure::Status(status) => format!("status {status}"),
        Failure::Broken => "broken connection".to_owned(),
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

fn decimal(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Rows below headings, each column right-aligned and as wide as its widest cell.
fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        text += &cells.join("  ");
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0, 9.0, 4.0]), Some(3.5));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["1".to_owned(), "µs".to_owned()], vec!["100".to_owned(), "-".to_owned()]];
        assert_eq!(table(&["a", "b"], rows.into_iter()), "  a   b\n  1  µs\n100   -\n");
    }
}
