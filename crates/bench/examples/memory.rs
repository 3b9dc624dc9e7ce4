//! Memory of a loaded policy: loads many with settings of their own, lets each decide once, and prints
//! what the process holds for each, as JSON.
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up measures nothing"
)]
#![expect(clippy::print_stdout, reason = "prints its result")]

use std::fs;

use pinfold_bench::{Question, sandboxed};

/// Policies that are loaded; enough that one-time costs do not show.
const POLICIES: usize = 64;
const NAMES: usize = 50;

fn main() {
    let question = Question::new(&sandboxed(NAMES, 0), NAMES);
    let before = Memory::now();
    let policies: Vec<_> = (0..POLICIES).map(|_| sandboxed(NAMES, 0)).collect();
    for policy in &policies {
        let mut evaluation = policy.start().expect("an instance");
        evaluation.check_target(&question.request).expect("allowed");
    }
    let after = Memory::now();
    let each = |after: usize, before: usize| after.saturating_sub(before) / POLICIES;
    println!(
        r#"{{"policies":{POLICIES},"resident_kib":{},"anonymous_kib":{}}}"#,
        each(after.resident, before.resident),
        each(after.anonymous, before.anonymous),
    );
}

/// KiB, as the kernel counts them for this process.
struct Memory {
    resident: usize,
    anonymous: usize,
}

impl Memory {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let field = |name: &str| {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .expect("a field");
            line.split_whitespace()
                .nth(1)
                .and_then(|n| n.parse().ok())
                .expect("a number")
        };
        Self {
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
        }
    }
}
