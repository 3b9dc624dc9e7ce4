//! The two ends of the guard that a runner holds: the resolver that answers what the case says, and
//! the observer that keeps the records of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinfold::{
    Decision, Observer,
    resolve::{Answers, Resolve, ResolveError, Resolving},
};
use pinfold_addr::{Domain, Reason};

/// Answers the one lookup of the hop under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Script(Arc<Mutex<Option<Result<Answers, ResolveError>>>>);

impl Script {
    /// What the next lookup answers. The guard asks at most once for each hop; a second lookup
    /// would find no answer.
    pub(super) fn set(&self, answers: Result<Answers, ResolveError>) {
        *lock(&self.0) = Some(answers);
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        let answers = lock(&self.0).take().unwrap_or_else(|| {
            let detail = format!("`{}` was looked up a second time", name.as_str());
            Err(ResolveError {
                reason: Reason::ResolveFailed,
                detail,
            })
        });
        Box::pin(std::future::ready(answers))
    }
}

/// Keeps the records of a case: one a hop, and so no more than redirects are followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Arc<Decision>>>>);

impl Recorder {
    /// The records since this was called before, in order.
    pub(super) fn take(&self) -> Vec<Arc<Decision>> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Observer for Recorder {
    fn observe(&self, decision: &Arc<Decision>) {
        lock(&self.0).push(Arc::clone(decision));
    }
}

/// A panic elsewhere cannot leave half a value in these mutexes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_second_lookup_of_a_hop_has_no_answer() {
        let script = Script::default();
        let name = Domain::parse("a.example").unwrap();
        let (addresses, chain) = (vec!["192.0.2.1".parse().unwrap()], Vec::new());
        script.set(Ok(Answers {
            addresses,
            chain,
            ttl: Duration::ZERO,
        }));
        assert!(script.resolve(&name).await.is_ok());
        let error = script.resolve(&name).await.unwrap_err();
        assert_eq!(error.reason, Reason::ResolveFailed);
    }
}
