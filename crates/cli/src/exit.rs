//! Exit codes.

use std::process::ExitCode;

/// How the process ends. Ordered: of several results the worst wins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Exit {
    /// 0: everything asked was allowed, or done.
    Ok = 0,
    /// 1: at least one URL was denied, or the network failed (a name that does not resolve is not
    /// allowed either), or the server answered with an error and `--fail` was given.
    Refused = 1,
    /// 2: the question could not be answered: usage, a file, a policy that does not load.
    Error = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
