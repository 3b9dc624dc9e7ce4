//! Both stages of a decision: natively, on a reused instance, on a spare, on a fresh instance; with
//! more patterns; on two threads.
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up measures nothing"
)]

use std::{hint::black_box, thread, time::Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pinfold::policy::{Evaluation, Evaluator};
use pinfold_bench::{Question, native, native_question, sandboxed};
use pinfold_policy::{Decision, Policy as _, Verdict};

/// Names in each list, in the table that is compared with the design's targets.
const NAMES: usize = 50;
/// Patterns in each list, in the table of sizes.
const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];

fn both_stages(evaluation: &mut Evaluation, question: &Question) {
    evaluation.check_target(&question.request).expect("allowed");
    let verdicts = evaluation.check_addresses(&question.request, &[], &question.answers);
    assert!(verdicts.is_ok_and(|verdicts| verdicts == [None]));
}

fn fresh(policy: &Evaluator, question: &Question) {
    let mut evaluation = policy.start().expect("an instance");
    both_stages(&mut evaluation, question);
}

fn bench_native(c: &mut Criterion, group: &str, n: usize) {
    let policy = native(n);
    let (request, resolution) = native_question(n);
    c.benchmark_group(group)
        .bench_function(BenchmarkId::new("native", n), |b| {
            b.iter(|| {
                let decision = policy.check_target(black_box(&request));
                assert!(matches!(decision, Decision::Allow(_)));
                let verdicts = policy.check_addresses(&request, black_box(&resolution));
                assert!(matches!(verdicts[..], [Verdict::Allow]));
            });
        });
}

fn bench_fresh(c: &mut Criterion, group: &str, n: usize) {
    let policy = sandboxed(n, 0);
    let question = Question::new(&policy, n);
    c.benchmark_group(group)
        .bench_function(BenchmarkId::new("fresh", n), |b| {
            b.iter(|| fresh(&policy, black_box(&question)));
        });
}

fn decision(c: &mut Criterion) {
    bench_native(c, "decision", NAMES);
    let policy = sandboxed(NAMES, 0);
    let question = Question::new(&policy, NAMES);
    let mut reused = policy.start().expect("an instance");
    c.benchmark_group("decision")
        .bench_function(BenchmarkId::new("reused", NAMES), |b| {
            b.iter(|| both_stages(&mut reused, black_box(&question)));
        });
    // What a request waits for when an instance was made ahead of time; making it is not counted.
    c.benchmark_group("decision")
        .bench_function(BenchmarkId::new("spare", NAMES), |b| {
            b.iter_batched(
                || policy.start().expect("an instance"),
                |mut spare| {
                    both_stages(&mut spare, black_box(&question));
                    spare
                },
                BatchSize::NumIterations(16),
            );
        });
    bench_fresh(c, "decision", NAMES);
}

fn patterns(c: &mut Criterion) {
    for n in SIZES {
        bench_native(c, "patterns", n);
        bench_fresh(c, "patterns", n);
    }
}

/// Decisions on one thread and on two at once; the time is per decision of all threads together.
fn threads(c: &mut Criterion) {
    let policy = sandboxed(NAMES, 0);
    let question = Question::new(&policy, NAMES);
    let mut group = c.benchmark_group("threads");
    for threads in [1_u64, 2] {
        group.throughput(Throughput::Elements(threads));
        group.bench_function(BenchmarkId::new("fresh", threads), |b| {
            b.iter_custom(|rounds| {
                let start = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| (0..rounds).for_each(|_| fresh(&policy, &question)));
                    }
                });
                start.elapsed()
            });
        });
    }
}

criterion_group!(benches, decision, patterns, threads);
criterion_main!(benches);
