//! `System`: the operating system's own lookup.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use pinfold_addr::{Domain, Reason};
use tokio::sync::Semaphore;

use super::{Answers, Resolve, ResolveError, Resolving};

/// Lookups under way at once. Each occupies a thread until the operating system answers, which no
/// deadline of ours can cut short; beyond this number lookups wait for their turn, within the deadline.
const LOOKUPS: usize = 32;

/// The operating system's lookup (`getaddrinfo`), for names that live outside DNS: hosts file, mDNS,
/// a company's NSS module.
///
/// What it costs, compared with [`Dns`](super::Dns):
///
/// - The hosts file and NSS modules answer too. The addresses are judged all the same.
/// - Aliases are not told: a policy cannot match the names an answer came through.
/// - No TTL is told, so nothing is cached; a lookup that hangs holds a thread until it returns.
/// - The name is asked for with a trailing dot, which keeps search lists out on common systems; the
///   operating system has the last word.
#[derive(Clone, Debug)]
pub struct System {
    turns: Arc<Semaphore>,
}

impl System {
    /// At most 32 lookups at once.
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        Box::pin(async move {
            let turn = self
                .turns
                .clone()
                .acquire_owned()
                .await
                .map_err(|_| failed("the resolver is closed"))?;
            let absolute = format!("{}.", name.as_str());
            // A task of its own, so that a caller who gives up does not free the turn of a lookup that
            // still occupies its thread.
            let lookup = tokio::spawn(async move {
                let found = getaddrinfo(absolute).await;
                drop(turn);
                found
            });
            let found = lookup
                .await
                .map_err(|_| failed("the lookup was cancelled"))?;
            answers(found.map_err(|error| failed(error.to_string()))?)
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the resolver of the system: its answers are judged like any"
)]
async fn getaddrinfo(absolute: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((absolute, 0)).await?.collect())
}

fn answers(found: Vec<SocketAddr>) -> Result<Answers, ResolveError> {
    if let Some(scoped) = found.iter().find(|address| scope(address) != 0) {
        return Err(ResolveError::new(
            Reason::AddressScoped,
            format!("{scoped} carries a zone"),
        ));
    }
    if found.is_empty() {
        return Err(ResolveError::new(Reason::ResolveNoAnswer, "no address"));
    }
    let addresses = found.iter().map(SocketAddr::ip).collect();
    Ok(Answers {
        addresses,
        chain: Vec::new(),
        ttl: Duration::ZERO,
    })
}

/// The zone of a link-local address; 0 for none.
fn scope(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// `getaddrinfo` does not tell "no such name" from "no server" in a portable way.
fn failed(detail: impl Into<String>) -> ResolveError {
    ResolveError::new(Reason::ResolveFailed, detail)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn scoped_answers_are_refused() {
        let link_local = "fe80::1".parse().unwrap();
        let scoped = SocketAddrV6::new(link_local, 0, 0, 2).into();
        assert_eq!(
            answers(vec![scoped]).unwrap_err().reason,
            Reason::AddressScoped
        );
        let plain = SocketAddrV6::new(link_local, 0, 0, 0).into();
        assert_eq!(answers(vec![plain]).unwrap().addresses.len(), 1);
    }

    #[test]
    fn no_answer_is_an_error() {
        assert_eq!(
            answers(Vec::new()).unwrap_err().reason,
            Reason::ResolveNoAnswer
        );
    }

    #[tokio::test]
    async fn a_full_house_waits() {
        let system = System {
            turns: Arc::new(Semaphore::new(0)),
        };
        let name = Domain::parse("localhost").unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(20), system.resolve(&name));
        assert!(waiting.await.is_err());
    }
}
