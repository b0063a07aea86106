//! What the kernel knows about a process: CPU time used and peak memory.
//!
//! In scope: reading `/proc/PID/stat` and `/proc/PID/status`.
//! Out of scope: child processes of that process; a host with workers needs another measure.

use std::path::Path;
use std::time::Duration;

use crate::error::BenchError;

/// Position of `utime` in `/proc/PID/stat`, counted behind the command name; `stime` follows it.
const UTIME_FIELD: usize = 11;

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Process {
    /// This one.
    Own,
    /// One with a number.
    Numbered(u32),
}

impl Process {
    /// CPU time of all its threads so far, in user and kernel mode, in steps of one clock tick.
    pub(crate) fn cpu_time(self) -> Result<Duration, BenchError> {
        let path = self.path("stat");
        let n_ticks = n_ticks(&read(&path)?).ok_or_else(|| BenchError::ProcessField { path, field: "CPU time" })?;
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100).max(1);
        Ok(Duration::from_secs(n_ticks) / per_second)
    }

    /// Largest resident memory since it started.
    pub(crate) fn peak_memory_bytes(self) -> Result<u64, BenchError> {
        let path = self.path("status");
        peak_bytes(&read(&path)?).ok_or_else(|| BenchError::ProcessField { path, field: "VmHWM" })
    }

    fn path(self, file: &str) -> String {
        match self {
            Self::Own => format!("/proc/self/{file}"),
            Self::Numbered(id) => format!("/proc/{id}/{file}"),
        }
    }
}

fn read(path: &str) -> Result<String, BenchError> {
    std::fs::read_to_string(Path::new(path)).map_err(|source| BenchError::Process { path: path.to_owned(), source })
}

fn n_ticks(stat: &str) -> Option<u64> {
    // The command name stands in parentheses and may itself contain any character.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(UTIME_FIELD);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_command_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 70 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(n_ticks(stat), Some(100));
    }

    #[test]
    fn peak_memory_is_read_in_bytes() {
        assert_eq!(peak_bytes("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(peak_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        assert!(Process::Own.peak_memory_bytes().unwrap() > 0);
        assert!(Process::Own.cpu_time().unwrap() < Duration::from_hours(1));
    }
}
