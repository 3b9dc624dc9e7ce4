//! A swap, from the bytes of a policy to its first decision.
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up measures nothing"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pinfold::{Guard, policy::Source};
use pinfold_bench::{Question, sandboxed, settings};

fn swap(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("swap");
    group.sample_size(10);
    for n in [50, 10_000] {
        let question = Question::new(&sandboxed(n, 0), n);
        let guard = Guard::builder()
            .resolver(pinfold::resolve::Fixed::default())
            .settings(settings(n))
            .build()
            .expect("a guard");
        group.bench_function(BenchmarkId::new("to-first-decision", n), |b| {
            b.iter(|| {
                guard
                    .swap(Source::Shipped, settings(n))
                    .expect("the new policy");
                runtime.block_on(guard.check(question.request.clone()))
            });
        });
    }
}

criterion_group!(benches, swap);
criterion_main!(benches);
