//! What is in use, for operators.

use std::cmp::Reverse;

use super::State;

/// What is in use of what may be.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Usage {
    pub(crate) connections: Used,
    /// Connections that were let in since the start.
    pub(crate) accepted: u64,
    pub(crate) tunnels: Used,
    /// Requests a second, in all; 0 is no limit.
    pub(crate) rate: u32,
    /// Client addresses with a connection.
    pub(crate) sources: usize,
    /// Those with most connections: an address, or a /64 of IPv6.
    pub(crate) busiest_sources: Vec<Share>,
    /// Subjects that have something open or asked lately.
    pub(crate) subjects: usize,
    /// Those with most open.
    pub(crate) busiest_subjects: Vec<Share>,
    /// Open for requests without a subject.
    pub(crate) without_subject: usize,
    /// Open for subjects that share an entry, because too many asked at the same time.
    pub(crate) sharing: usize,
}

/// Of how many.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Used {
    pub(crate) open: usize,
    pub(crate) limit: usize,
}

/// What one has open.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) open: usize,
}

impl State {
    pub(super) fn usage(&self) -> Usage {
        Usage {
            connections: Used {
                open: self.connections,
                limit: self.bounds.connections,
            },
            accepted: self.accepted,
            tunnels: Used {
                open: self.tunnels,
                limit: self.bounds.tunnels,
            },
            rate: self.bounds.rate,
            sources: self.sources.iter().len(),
            busiest_sources: self.busiest_sources(),
            subjects: self.subjects.known(),
            busiest_subjects: shares(self.subjects.busiest(MOST)),
            without_subject: self.subjects.of_nobody(),
            sharing: self.subjects.of_rest(),
        }
    }

    fn busiest_sources(&self) -> Vec<Share> {
        let mut all: Vec<_> = self.sources.iter().collect();
        all.sort_by_key(|(_, open)| Reverse(*open));
        all.truncate(MOST);
        shares(all)
    }
}

fn shares<N: ToString>(of: Vec<(N, usize)>) -> Vec<Share> {
    of.into_iter()
        .map(|(name, open)| Share {
            name: name.to_string(),
            open,
        })
        .collect()
}

/// Of sources and subjects that are listed.
const MOST: usize = 20;
