//! Places for connections of operators: few, and nobody keeps one by saying nothing.
//!
//! Where all are taken, who comes takes the place of whoever has been silent longest. So connections that say nothing
//! keep nobody out, from whichever addresses they come: an operator, and who asks for health, speaks at once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::client::ClientAddress;

/// All places of one interface.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    /// One was left.
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// The oldest first.
    by_number: BTreeMap<u64, One>,
}

#[derive(Debug)]
struct One {
    from: Option<IpAddr>,
    silent: bool,
    lost: CancellationToken,
}

/// A place, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    lost: CancellationToken,
}

/// How a place was found.
#[derive(Debug)]
pub(super) enum Found {
    Free(Place),
    /// Somebody who said nothing had to go for it.
    Instead(Place),
    /// Everybody speaks.
    Nowhere,
}

impl Places {
    pub(super) fn enter(self: &Arc<Self>, address: &ClientAddress) -> Found {
        let from = match address {
            ClientAddress::Tcp(address) => Some(address.ip()),
            ClientAddress::Unix { .. } => None,
        };
        let mut taken = self.taken();
        let full = taken.full(from);
        if full.is_some_and(|full| !taken.dismiss(from, full)) {
            return Found::Nowhere;
        }
        let (number, lost) = taken.add(from);
        let place = Place {
            places: Arc::clone(self),
            number,
            lost,
        };
        match full {
            Some(_) => Found::Instead(place),
            None => Found::Free(place),
        }
    }

    /// Waits until all have left.
    pub(super) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.taken().by_number.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which places there are none left of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Full {
    /// Those of one address.
    Address,
    /// Those of all that come this way.
    Way,
}

impl Taken {
    /// Those of Unix sockets and those of TCP are apart: whoever floods the one does not touch the other.
    fn full(&self, from: Option<IpAddr>) -> Option<Full> {
        let all = self.by_number.values();
        let same_way = all.filter(|one| one.from.is_some() == from.is_some());
        let (mut way, mut address) = (0, 0);
        for one in same_way {
            way += 1;
            address += usize::from(one.from == from);
        }
        match from {
            Some(_) if address >= OF_ONE_ADDRESS => Some(Full::Address),
            Some(_) if way >= OVER_TCP => Some(Full::Way),
            None if way >= OVER_UNIX => Some(Full::Way),
            _ => None,
        }
    }

    /// Sends away who has been silent longest. False when nobody is.
    fn dismiss(&mut self, from: Option<IpAddr>, full: Full) -> bool {
        let meant = |one: &One| match full {
            Full::Address => one.from == from,
            Full::Way => one.from.is_some() == from.is_some(),
        };
        let mut all = self.by_number.iter();
        let found = all.find(|(_, one)| one.silent && meant(one));
        let Some(number) = found.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(one) = self.by_number.remove(&number) {
            one.lost.cancel();
        }
        true
    }

    fn add(&mut self, from: Option<IpAddr>) -> (u64, CancellationToken) {
        let (number, lost) = (self.next, CancellationToken::new());
        self.next += 1;
        let one = One {
            from,
            silent: true,
            lost: lost.clone(),
        };
        self.by_number.insert(number, one);
        (number, lost)
    }
}

impl Place {
    /// A whole request has come.
    pub(super) fn heard(&self) {
        if let Some(one) = self.places.taken().by_number.get_mut(&self.number) {
            one.silent = false;
        }
    }

    /// Waits until somebody else has it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_number.remove(&self.number);
        self.places.left.notify_waiters();
    }
}

/// Connections over TCP at a time.
const OVER_TCP: usize = 56;
/// And over a Unix socket.
const OVER_UNIX: usize = 8;
/// Of one address, over TCP.
const OF_ONE_ADDRESS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(last: u8) -> ClientAddress {
        ClientAddress::Tcp(([127, 0, 0, last], 4000).into())
    }

    const UNIX: ClientAddress = ClientAddress::Unix { uid: 0, pid: None };

    /// So many places, all of which are free.
    fn taken(places: &Arc<Places>, from: &ClientAddress, many: usize) -> Vec<Place> {
        let free = (0..many).map(|_| match places.enter(from) {
            Found::Free(place) => place,
            other => panic!("{other:?}"),
        });
        free.collect()
    }

    #[test]
    fn who_is_silent_longest_makes_place_and_who_speaks_stays() {
        let places = Arc::new(Places::default());
        let first = taken(&places, &tcp(1), OF_ONE_ADDRESS);
        first[0].heard();
        let Found::Instead(other) = places.enter(&tcp(1)) else {
            panic!("a silent one has to go");
        };
        let lost = |place: &Place| place.lost.is_cancelled();
        assert!(!lost(&first[0]) && lost(&first[1]) && !lost(&first[2]));
        first.iter().chain([&other]).for_each(Place::heard);
        assert!(matches!(places.enter(&tcp(1)), Found::Nowhere));
        drop(other);
        assert!(matches!(places.enter(&tcp(1)), Found::Free(_)));
    }

    #[test]
    fn a_flood_over_tcp_takes_no_place_of_a_unix_socket() {
        let places = Arc::new(Places::default());
        let flood: Vec<_> = (1..=7)
            .flat_map(|last| taken(&places, &tcp(last), OVER_TCP / 7))
            .collect();
        let unix = taken(&places, &UNIX, OVER_UNIX);
        let instead = places.enter(&tcp(99));
        assert!(matches!(instead, Found::Instead(_)));
        assert!(unix.iter().all(|place| !place.lost.is_cancelled()));
        flood.iter().for_each(Place::heard);
        assert!(
            matches!(places.enter(&tcp(98)), Found::Instead(_)),
            "99 is silent"
        );
    }
}
