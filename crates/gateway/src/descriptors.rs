//! Files that this process may have open: each connection is one, and each tunnel one more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Limits;

/// How many files may be open, and how many are needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Descriptors {
    /// What the system allows now; none is no limit.
    pub allowed: Option<u64>,
    /// What the limits of the configuration need.
    pub needed: u64,
}

impl Descriptors {
    /// Raises what is allowed as far as the system lets this process, where it is not enough.
    pub fn raise(limits: &Limits) -> Self {
        let needed = needed(limits);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let enough = current.is_none_or(|current| current >= needed);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        let allowed = match !enough && setrlimit(Resource::Nofile, raised).is_ok() {
            true => maximum,
            false => current,
        };
        Self { allowed, needed }
    }

    /// Whether connections will be refused by the system before the limits of the configuration are reached.
    pub fn is_short(&self) -> bool {
        self.allowed.is_some_and(|allowed| allowed < self.needed)
    }
}

fn needed(limits: &Limits) -> u64 {
    let open = limits.connections.saturating_add(limits.tunnels);
    u64::try_from(open)
        .unwrap_or(u64::MAX)
        .saturating_add(SPARE)
}

/// Listeners, files, operators, lookups, kept connections.
const SPARE: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_what_may_be_open() {
        let limits = Limits::default();
        assert_eq!(needed(&limits), 10_000 + 8_000 + 512);
        let raised = Descriptors::raise(&limits);
        let Rlimit { current, .. } = getrlimit(Resource::Nofile);
        assert_eq!(raised.allowed, current);
        let short = current.is_some_and(|current| current < raised.needed);
        assert_eq!(raised.is_short(), short);
    }
}
