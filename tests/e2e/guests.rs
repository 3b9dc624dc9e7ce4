//! Policies that loop, exhaust memory or stack, trap, answer with too much, too little or garbage, or
//! import something: each is denied or refused with a reason of its own, the next decision on the
//! same host is right, and the host's memory stays flat.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use pinfold::{
    Decision, Guard, Limits, Outcome, Request,
    addr::Target,
    policy::{LoadError, Source},
    resolve::Fixed,
};
use serde_json::json;

#[path = "../fixtures/guests/mod.rs"]
mod guests;
use guests::Expect;

#[tokio::test]
async fn every_fixture_ends_in_its_own_reason_and_the_next_decision_is_right() {
    let guard = guard("good");
    for (name, expect) in guests::all() {
        let swapped = guard.swap(fixture(&name), json!({}));
        match &expect {
            Expect::Load(text) => {
                let error = swapped.expect_err(&name).to_string();
                assert!(error.starts_with(text), "{name}: {error}");
            }
            Expect::Allow => assert_eq!(code(&*decide(&guard).await), None, "{name}"),
            Expect::Target(expected) => {
                let decision = decide(&guard).await;
                assert_eq!(code(&decision).as_ref(), Some(expected), "{name}");
                assert!(
                    decision.addresses.is_empty(),
                    "{name}: the name was looked up"
                );
            }
            Expect::Addresses(expected) => {
                let decision = decide(&guard).await;
                assert_eq!(code(&decision).as_ref(), Some(expected), "{name}");
                assert_eq!(decision.addresses.len(), 1, "{name}");
            }
        }
        if !matches!(expect, Expect::Load(_)) {
            guard.swap(fixture("good"), json!({})).unwrap();
        }
        assert_eq!(
            code(&*decide(&guard).await),
            None,
            "the good policy after `{name}`"
        );
    }
}

/// No wall between the two but the sandbox: one thread runs into every fault over and over, the
/// other is allowed each time.
#[test]
fn faults_do_not_touch_decisions_of_other_threads() {
    let good = guard("good");
    let bad = CHEAP.map(|name| (guard(name), refusal(name)));
    let stop = Arc::new(AtomicBool::new(false));
    let faulty = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (guard, expected) in &bad {
                    assert_eq!(code(&wait_for(guard)).as_ref(), Some(expected));
                }
            }
        })
    };
    for _ in 0..3_000 {
        assert_eq!(code(&wait_for(&good)), None);
    }
    stop.store(true, Ordering::Relaxed);
    faulty.join().unwrap();
}

/// A policy that takes a millisecond for an answer does not stop the other tasks of a runtime that has one
/// thread; a quick one is not worth a change of threads.
#[tokio::test(flavor = "current_thread")]
async fn a_policy_that_takes_long_holds_no_other_task_up() {
    for (name, apart) in [("good", false), ("slow", true)] {
        let mut limits = Limits::default();
        limits.policy_instances = 256;
        limits.decision = Duration::from_secs(10);
        let guard = build(name, limits);
        let mut turns = 0_u32;
        let others = async {
            loop {
                tokio::task::yield_now().await;
                turns += 1;
            }
        };
        let decision = tokio::select! {
            decision = decide(&guard) => decision,
            () = others => unreachable!(),
        };
        assert_eq!(code(&decision), None, "{name}");
        // On the same thread the others get no turn before the answer is there.
        assert_eq!(turns > 10, apart, "{name}: {turns} turns");
    }
}

/// Faults that cost microseconds, of every kind.
const CHEAP: [&str; 12] = [
    "decision-bad-discriminant",
    "deny-message-huge",
    "deny-message-invalid-utf8",
    "divide-by-zero",
    "grow-then-garbage",
    "grow-without-end",
    "realloc-out-of-bounds",
    "recursion",
    "return-out-of-bounds",
    "unreachable",
    "verdicts-amplified",
    "verdicts-none",
];

/// Faults that cost the whole deadline of a decision.
const DEAR: [&str; 4] = [
    "grow-then-loop",
    "loop-in-check-target",
    "loop-in-realloc",
    "loop-over-memory-fill",
];

/// Faults at load, of which most come after some compiling.
const AT_LOAD: [&str; 4] = [
    "load-configure-traps",
    "load-import-function",
    "load-start-traps",
    "load-table-set",
];

/// How much more memory the process may hold after 10,000 faults than after the first few of each
/// kind: a leak of one page of wasm (64 KiB) each would be 640 MiB, one of 4 KiB each 40 MiB.
#[cfg(target_os = "linux")]
const GROWTH: usize = 16 << 20;

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_over_10_000_faults() {
    let with_code = |name| (guard(name), refusal(name));
    let (cheap, dear) = (CHEAP.map(with_code), DEAR.map(with_code));
    let host = guard("good");
    let faults = |cheap_rounds: usize, dear_rounds: usize, load_rounds: usize| {
        let mut faults = 0;
        for (guards, rounds) in [(&cheap[..], cheap_rounds), (&dear[..], dear_rounds)] {
            for (guard, expected) in guards.iter().cycle().take(guards.len() * rounds) {
                assert_eq!(code(&wait_for(guard)).as_ref(), Some(expected));
                faults += 1;
            }
        }
        for name in AT_LOAD.iter().cycle().take(AT_LOAD.len() * load_rounds) {
            let error = host.swap(fixture(name), json!({})).unwrap_err();
            assert!(error.to_string().starts_with(&refusal(name)), "{error}");
            faults += 1;
        }
        faults
    };
    faults(50, 3, 10);
    let before = resident();
    let total = faults(815, 35, 25);
    let grown = resident().saturating_sub(before);
    assert!(total >= 10_000, "{total} faults");
    assert!(grown < GROWTH, "{grown} bytes more after {total} faults");
    assert_eq!(code(&wait_for(&host)), None);
}

/// Memory of this process that is resident, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Who grants inert WASI gets policies that hear nothing of the world, and a record that says so; who does
/// not gets none of them.
#[tokio::test]
async fn inert_wasi_is_granted_or_refused() {
    for name in [
        "load-import-wasi",
        "load-import-wasi-exit",
        "load-import-wasi-hoard",
    ] {
        let expected = match guests::granted(name) {
            Some(Expect::Allow) => None,
            Some(Expect::Target(code)) => Some(code),
            other => panic!("{name}: {other:?}"),
        };
        let without = granting(name, false).map(drop).unwrap_err().to_string();
        assert!(
            without.starts_with("the policy imports `wasi:"),
            "{name}: {without}"
        );
        let guard = granting(name, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        // More often than there are spares: instances that were made ahead and others.
        for _ in 0..40 {
            let decision = decide(&guard).await;
            assert_eq!(code(&decision), expected, "{name}");
            let record = serde_json::to_value(&*decision).unwrap();
            assert_eq!(record["policy"]["inert_wasi"], true, "{name}");
        }
    }
    let more = granting("load-import-wasi-and-more", true).map(drop);
    let more = more.unwrap_err().to_string();
    assert_eq!(more, "the policy imports `secrets#get`");
}

fn granting(name: &str, granted: bool) -> Result<Guard, LoadError> {
    Guard::builder()
        .policy(fixture(name))
        .inert_wasi(granted)
        .resolver(Fixed::default().rule("example.com=93.184.216.34").unwrap())
        .build()
}

fn guard(name: &str) -> Guard {
    let mut limits = Limits::default();
    limits.policy_instances = 256;
    build(name, limits)
}

fn build(name: &str, limits: Limits) -> Guard {
    Guard::builder()
        .policy(fixture(name))
        .limits(limits)
        .resolver(Fixed::default().rule("example.com=93.184.216.34").unwrap())
        .build()
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What a fixture says it is refused with.
fn refusal(name: &str) -> String {
    match guests::expected(name) {
        Expect::Target(text) | Expect::Addresses(text) | Expect::Load(text) => text,
        Expect::Allow => panic!("`{name}` is allowed"),
    }
}

fn fixture(name: &str) -> Source {
    Source::Bytes(guests::component(name).into())
}

async fn decide(guard: &Guard) -> Arc<Decision> {
    guard
        .check(Request::new(Target::parse("https://example.com/").unwrap()))
        .await
}

fn wait_for(guard: &Guard) -> Arc<Decision> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(decide(guard))
}

/// The code of the refusal; none when it is allowed.
fn code(decision: &Decision) -> Option<String> {
    match &decision.outcome {
        Outcome::Allow { .. } => None,
        Outcome::Deny(denial) => Some(denial.code().to_owned()),
        other => panic!("{other:?}"),
    }
}
