//! Tasks that belong to one client connection, and end with it: streams of HTTP/2, tunnels, watches over exchanges.

use std::future::Future;

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Where tasks of a connection are spawned. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    tasks: TaskTracker,
    gone: CancellationToken,
}

impl Scope {
    /// Runs `task` until it is done or the connection is gone.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let gone = self.gone.clone();
        self.tasks.spawn(async move {
            gone.run_until_cancelled_owned(task).await;
        });
    }

    /// Ends all tasks when what is returned is dropped.
    pub(crate) fn bind(&self) -> DropGuard {
        self.gone.clone().drop_guard()
    }

    /// Waits until all tasks are done.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<F> hyper::rt::Executor<F> for Scope
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
