//! The process itself, from `/proc`; nothing where there is none.

use std::{fs, time::SystemTime};

/// What the system knows of this process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Process {
    /// Bytes in memory.
    pub(super) resident: u64,
    /// Open files, sockets included.
    pub(super) files: u64,
    /// How many it may open.
    pub(super) files_most: u64,
}

impl Process {
    pub(super) fn now() -> Option<Self> {
        Some(Self {
            resident: status_kib(&fs::read_to_string("/proc/self/status").ok()?)? << 10,
            // One more is open while they are counted.
            files: fs::read_dir("/proc/self/fd")
                .ok()?
                .count()
                .saturating_sub(1) as u64,
            files_most: most_files(&fs::read_to_string("/proc/self/limits").ok()?)?,
        })
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

fn status_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn most_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_system_are_read() {
        let status = "Name:\tpinfold\nVmRSS:\t   12345 kB\nThreads:\t4\n";
        assert_eq!(status_kib(status), Some(12_345));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(most_files(limits), Some(1_024));
        assert_eq!(most_files("Max open files  unlimited  unlimited"), None);
    }
}
