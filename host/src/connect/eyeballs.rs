//! Happy Eyeballs (RFC 8305) as a pure schedule: which address is tried when. It opens nothing itself;
//! what "trying" means is handed in.
//!
//! ```text
//! time     0 ms        250 ms       500 ms
//! v6 #1    |---------- trying ------------------ ...
//! v4 #1                |-- refused
//! v6 #2                  |--------- trying ----- ...    a failure starts the next one at once
//! ```
//!
//! The first connection wins and the others are dropped. Only the addresses handed in are tried, each
//! at most once: there is no failing over to anything that was not judged.

use std::{fmt, future::Future, io, net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

/// Delay between the starts of two attempts (RFC 8305, section 8: "Connection Attempt Delay").
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// The addresses in the order they are tried: families alternate, beginning with that of the first
/// address (RFC 8305, section 4), none twice, at most `attempts`.
pub(crate) fn order(
    addresses: impl IntoIterator<Item = SocketAddr>,
    attempts: usize,
) -> Vec<SocketAddr> {
    let mut unique = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let first_is_v4 = unique.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = unique
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    interleave(first, second)
        .into_iter()
        .take(attempts)
        .collect()
}

fn interleave<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return all,
            (one, other) => all.extend(one.into_iter().chain(other)),
        }
    }
}

/// How long a race may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// For one attempt.
    pub(super) attempt: Duration,
    /// For all of them together.
    pub(super) whole: Duration,
}

/// Why nobody won.
#[derive(Debug)]
pub(super) enum Lost {
    /// Every attempt failed, each for its own reason; a silent server counts as
    /// [`io::ErrorKind::TimedOut`].
    Failed(Vec<(SocketAddr, io::Error)>),
    /// Time was up; these had failed until then.
    TimedOut(Vec<(SocketAddr, io::Error)>),
}

impl Lost {
    /// Whether nothing but silence was heard.
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Failed(all) => all
                .iter()
                .all(|(_, error)| error.kind() == io::ErrorKind::TimedOut),
        }
    }
}

impl fmt::Display for Lost {
    /// For the operator: names addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, failures) = match self {
            Self::Failed(failures) => ("every attempt failed", failures),
            Self::TimedOut(failures) => ("no attempt succeeded in time", failures),
        };
        f.write_str(head)?;
        for (at, (address, error)) in failures.iter().enumerate() {
            write!(f, "{} {address}: {error}", if at == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// Races the addresses in this order; the first connection wins.
pub(super) async fn race<T, D, F>(addresses: &[SocketAddr], pace: Pace, dial: D) -> Result<T, Lost>
where
    D: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    if let [only] = addresses {
        return alone(*only, pace, dial(*only)).await;
    }
    let mut failures = Vec::new();
    match timeout(
        pace.whole,
        run(addresses, pace.attempt, dial, &mut failures),
    )
    .await
    {
        Ok(Some(won)) => Ok(won),
        Ok(None) => Err(Lost::Failed(failures)),
        Err(_) => Err(Lost::TimedOut(failures)),
    }
}

/// The usual race: of one, which needs one timer.
async fn alone<T>(
    address: SocketAddr,
    pace: Pace,
    dialing: impl Future<Output = io::Result<T>>,
) -> Result<T, Lost> {
    let (_, ended) = attempt(address, pace.attempt.min(pace.whole), dialing).await;
    ended.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut if pace.whole <= pace.attempt => Lost::TimedOut(Vec::new()),
        _ => Lost::Failed(vec![(address, error)]),
    })
}

async fn run<T, D, F>(
    addresses: &[SocketAddr],
    limit: Duration,
    dial: D,
    failures: &mut Vec<(SocketAddr, io::Error)>,
) -> Option<T>
where
    D: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    loop {
        let next = waiting.next();
        running.extend(next.map(|address| attempt(address, limit, dial(address))));
        // The stagger runs from here; it only matters while somebody is waiting, and is no timer else.
        let more = waiting.len() > 0;
        let stagger = sleep(STAGGER);
        tokio::pin!(stagger);
        tokio::select! {
            biased;
            ended = running.next() => match ended {
                Some((_, Ok(won))) => return Some(won),
                Some((address, Err(error))) => failures.push((address, error)),
                None => return None,
            },
            () = &mut stagger, if more => {}
        }
    }
}

async fn attempt<T>(
    address: SocketAddr,
    limit: Duration,
    dialing: impl Future<Output = io::Result<T>>,
) -> (SocketAddr, io::Result<T>) {
    let ended = timeout(limit, dialing).await;
    (
        address,
        ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    )
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending, rc::Rc};

    use tokio::time::Instant;

    use super::*;

    const PACE: Pace = Pace {
        attempt: Duration::from_secs(5),
        whole: Duration::from_secs(10),
    };

    fn all(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What a server does when it is dialled.
    #[derive(Clone, Copy, Debug)]
    enum Server {
        Accepts(u64),
        Refuses(u64),
        Silent,
    }

    /// Races servers on a paused clock: who won, and who was tried at which millisecond.
    async fn play(
        pace: Pace,
        servers: &[(&str, Server)],
    ) -> (Result<SocketAddr, Lost>, Vec<(SocketAddr, u64)>) {
        let begin = Instant::now();
        let tried = Rc::new(RefCell::new(Vec::new()));
        let table: Vec<(SocketAddr, Server)> = servers
            .iter()
            .map(|(address, server)| (address.parse().unwrap(), *server))
            .collect();
        let addresses: Vec<_> = table.iter().map(|(address, _)| *address).collect();
        let result = race(&addresses, pace, |address| {
            tried
                .borrow_mut()
                .push((address, begin.elapsed().as_millis() as u64));
            let server = table.iter().find(|(known, _)| *known == address).unwrap().1;
            async move {
                match server {
                    Server::Accepts(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(address)
                    }
                    Server::Refuses(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                    Server::Silent => pending().await,
                }
            }
        })
        .await;
        (result, tried.take())
    }

    #[test]
    fn families_alternate() {
        let table = [
            (
                "v6 first",
                vec!["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"],
                vec!["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"],
            ),
            (
                "v4 first",
                vec!["192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"],
                vec!["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"],
            ),
            (
                "one family",
                vec!["192.0.2.2:1", "192.0.2.1:1"],
                vec!["192.0.2.2:1", "192.0.2.1:1"],
            ),
            (
                "twice the same",
                vec!["192.0.2.1:1", "192.0.2.1:1"],
                vec!["192.0.2.1:1"],
            ),
            ("none", vec![], vec![]),
        ];
        for (row, given, expected) in table {
            assert_eq!(order(all(&given), 8), all(&expected), "{row}");
        }
    }

    #[test]
    fn the_bound_on_attempts_leaves_both_families() {
        let many = all(&[
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "[2001:db8::3]:1",
            "192.0.2.1:1",
        ]);
        assert_eq!(order(many, 2), all(&["[2001:db8::1]:1", "192.0.2.1:1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_first_address_is_the_only_one_tried() {
        let (won, tried) = play(
            PACE,
            &[
                ("192.0.2.1:1", Server::Accepts(249)),
                ("192.0.2.2:1", Server::Accepts(0)),
            ],
        )
        .await;
        assert_eq!(won.unwrap(), "192.0.2.1:1".parse().unwrap());
        assert_eq!(tried.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_staggered_and_the_first_connection_wins() {
        let (won, tried) = play(
            PACE,
            &[
                ("[2001:db8::1]:1", Server::Silent),
                ("192.0.2.1:1", Server::Accepts(400)),
                ("192.0.2.2:1", Server::Accepts(300)),
            ],
        )
        .await;
        assert_eq!(won.unwrap(), "192.0.2.1:1".parse().unwrap());
        assert_eq!(
            tried.iter().map(|(_, at)| *at).collect::<Vec<_>>(),
            [0, 250, 500]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_attempt_at_once() {
        let (won, tried) = play(
            PACE,
            &[
                ("192.0.2.1:1", Server::Refuses(10)),
                ("192.0.2.2:1", Server::Refuses(5)),
                ("192.0.2.3:1", Server::Accepts(0)),
            ],
        )
        .await;
        assert_eq!(won.unwrap(), "192.0.2.3:1".parse().unwrap());
        assert_eq!(
            tried.iter().map(|(_, at)| *at).collect::<Vec<_>>(),
            [0, 10, 15]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_once_and_every_failure_told() {
        let (lost, tried) = play(
            PACE,
            &[
                ("192.0.2.1:1", Server::Refuses(0)),
                ("192.0.2.2:1", Server::Silent),
            ],
        )
        .await;
        let lost = lost.unwrap_err();
        assert_eq!(tried.len(), 2);
        assert!(!lost.is_timeout());
        assert_eq!(
            lost.to_string(),
            "every attempt failed: 192.0.2.1:1: connection refused; 192.0.2.2:1: timed out"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_and_the_whole_are_bounded() {
        let begin = Instant::now();
        let (lost, _) = play(PACE, &[("192.0.2.1:1", Server::Silent)]).await;
        assert!(matches!(lost, Err(lost @ Lost::Failed(_)) if lost.is_timeout()));
        assert_eq!(begin.elapsed(), PACE.attempt);

        let begin = Instant::now();
        let whole = Pace {
            whole: Duration::from_millis(900),
            ..PACE
        };
        let (lost, tried) = play(whole, &[("192.0.2.1:1", Server::Silent); 8]).await;
        assert!(matches!(lost, Err(Lost::TimedOut(_))));
        assert_eq!(begin.elapsed(), whole.whole);
        assert_eq!(tried.len(), 4, "one each 250 ms");
    }

    /// All 256 races of four servers: what must hold in each.
    #[tokio::test(start_paused = true)]
    async fn every_race_keeps_the_rules() {
        use Server::{Accepts, Refuses, Silent};
        const KINDS: [Server; 4] = [Accepts(100), Accepts(600), Refuses(20), Silent];
        let names = [
            "[2001:db8::1]:1",
            "192.0.2.1:1",
            "[2001:db8::2]:1",
            "192.0.2.2:1",
        ];
        for race in 0..KINDS.len().pow(4) {
            let kind = |at: u32| KINDS[race / KINDS.len().pow(at) % KINDS.len()];
            let servers: Vec<_> = (0..4).map(|at| (names[at as usize], kind(at))).collect();
            let begin = Instant::now();
            let (result, tried) = play(PACE, &servers).await;

            let expected = all(&names[..tried.len()]);
            let order: Vec<_> = tried.iter().map(|(address, _)| *address).collect();
            assert_eq!(order, expected, "in order, each once: {servers:?}");
            let gaps = tried.windows(2).map(|pair| pair[1].1 - pair[0].1);
            assert!(
                gaps.into_iter().all(|gap| gap <= 250),
                "{servers:?}: {tried:?}"
            );
            assert!(begin.elapsed() <= PACE.whole, "{servers:?}");

            let winner =
                |won: SocketAddr| names.iter().position(|name| won == name.parse().unwrap());
            match result {
                Ok(won) => assert!(
                    matches!(servers[winner(won).unwrap()].1, Accepts(_)),
                    "{servers:?}"
                ),
                Err(_) => assert!(
                    servers.iter().all(|(_, kind)| !matches!(kind, Accepts(_))),
                    "{servers:?}"
                ),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_try_is_a_failure() {
        let (lost, _) = play(PACE, &[]).await;
        assert!(matches!(lost, Err(Lost::Failed(failures)) if failures.is_empty()));
    }
}
