//! `pinfold._native`: the host, as Python sees it.
//!
//! A thin shim: it turns arguments into those of the host, lets go of the interpreter lock while the host works, and
//! turns what comes back into objects. What a Python programmer uses is the package around it (`python/pinfold`).
//! Its exceptions are defined there, in Python.
//!
//! Nothing here survives a `fork`: threads do not. What was made before it belongs to the parent (`local.rs`).

mod asking;
mod decision;
mod ending;
mod errors;
mod forking;
mod guard;
mod layers;
mod limits;
mod link;
mod local;
mod pin;
mod resolver;
mod runtime;
mod session;
mod target;
mod watch;

/// The native half of the package `pinfold`.
#[pyo3::pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::{
        decision::{Decision, codes},
        ending::end,
        forking::{after_fork_in_child, after_fork_in_parent, before_fork},
        guard::Guard,
        link::Link,
        pin::Pin,
        resolver::FixedAnswers,
        runtime::Task,
        session::Session,
        target::Target,
        watch::Watcher,
    };

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
