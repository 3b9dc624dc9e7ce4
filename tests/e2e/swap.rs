//! A hundred swaps while requests run: good ones, corrupt bytes, a wrong world, bad settings.
//!
//! What must hold: no request is lost or judged by a policy that was never whole; a bad swap is refused
//! and the old policy stays; a connection serves under one generation only, and none that was kept
//! outlives its policy.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use journal::Journal;
use pinfold::{
    Decision, Grant, Guard, Outcome, PolicyRef,
    policy::{LoadError, Source},
    resolve::Fixed,
};
use pinfold_http::{Client, TlsRoots};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

#[path = "attack/journal.rs"]
mod journal;

#[path = "../fixtures/guests/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod guests;

const SWAPS: usize = 100;
const WORKERS: usize = 6;
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Each good policy denies one of them.
const NAMES: [&str; 2] = ["one.example.com", "two.example.com"];

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hundred_swaps_while_requests_run() {
    let server = Server::start().await;
    let journal = Journal::default();
    let guard = guard(journal.clone());
    let loaded = Arc::new(Loaded::new(&guard));
    let done = Arc::new(AtomicBool::new(false));

    let client = Client::builder(guard.clone())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let (client, loaded, done) = (client.clone(), loaded.clone(), done.clone());
            tokio::spawn(work(number, client, server.port, loaded, done))
        })
        .collect();
    let swaps = tokio::task::spawn_blocking({
        let (guard, loaded) = (guard.clone(), loaded.clone());
        move || swap(&guard, &loaded)
    });
    let refused = swaps.await.unwrap();
    done.store(true, Ordering::SeqCst);
    let mut answers = Vec::new();
    for worker in workers {
        answers.extend(worker.await.unwrap());
    }

    assert_eq!(refused, SWAPS / 4 * 3);
    assert_eq!(loaded.all().len(), SWAPS / 4 + 1);
    records_agree(&journal.take(), &loaded.all(), answers.len());
    connections_serve_one_generation(&answers, &server);
    println!(
        "{SWAPS} swaps, {refused} of them refused; {} requests, {} connections",
        answers.len(),
        server.opened()
    );
}

/// A kept connection does not outlive its policy, even when no request comes.
#[tokio::test]
async fn a_kept_connection_ends_with_its_policy() {
    let server = Server::start().await;
    let guard = guard(Journal::default());
    let client = Client::builder(guard.clone())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let url = format!("http://{}:{}/", NAMES[1], server.port);
    for _ in 0..3 {
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
    }
    assert_eq!((server.opened(), server.open()), (1, 1));

    // A swap that is refused changes nothing.
    guard
        .swap(Source::Bytes(b"no component".as_slice().into()), json!({}))
        .unwrap_err();
    client
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!((server.opened(), server.open()), (1, 1));

    guard.swap(Source::Shipped, denying(0)).unwrap();
    for _ in 0..200 {
        if server.open() == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection of the old policy is still open");
}

fn guard(journal: Journal) -> Guard {
    let mut fixed = Fixed::default();
    for name in NAMES {
        fixed = fixed.rule(&format!("{name}={PUBLIC}")).unwrap();
    }
    Guard::builder()
        .resolver(fixed)
        .grants([PUBLIC.to_string().parse::<Grant>().unwrap()])
        .settings(denying(0))
        .observer(journal)
        .build()
        .unwrap()
}

fn denying(name: usize) -> Value {
    json!({"hosts": {"deny": [NAMES[name]]}})
}

/// Every policy that was ever whole, by generation, and which name it denies.
struct Loaded {
    all: Mutex<HashMap<u64, (PolicyRef, usize)>>,
    /// The newest generation whose swap has returned.
    newest: AtomicU64,
}

impl Loaded {
    fn new(guard: &Guard) -> Self {
        let loaded = Self {
            all: Mutex::default(),
            newest: AtomicU64::new(0),
        };
        loaded.add(guard.policy(), 0);
        loaded
    }

    fn add(&self, policy: PolicyRef, denies: usize) {
        let generation = policy.generation;
        self.all
            .lock()
            .unwrap()
            .insert(generation, (policy, denies));
        self.newest.store(generation, Ordering::SeqCst);
    }

    fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }

    fn all(&self) -> HashMap<u64, (PolicyRef, usize)> {
        self.all.lock().unwrap().clone()
    }
}

/// Swaps, one kind after the other, and answers how many were refused.
fn swap(guard: &Guard, loaded: &Loaded) -> usize {
    let good = guests::component("good");
    let corrupt = [
        b"no component".as_slice(),
        &[],
        &good[..good.len() / 2],
        &good[8..],
    ]
    .map(|bytes| Source::Bytes(bytes.into()));
    let worlds = [
        "load-wrong-version",
        "load-import-function",
        "load-import-interface",
    ]
    .map(|name| Source::Bytes(guests::component(name).into()));
    let settings = [
        json!({"hosts": {"deny": ["not a host"]}}),
        json!({"no_such_section": true}),
        json!({"schemes": []}),
    ];
    let mut refused = 0;
    for number in 0..SWAPS {
        let round = number / 4;
        let before = guard.policy();
        let (source, with) = match number % 4 {
            0 => (corrupt[round % corrupt.len()].clone(), json!({})),
            1 => (worlds[round % worlds.len()].clone(), json!({})),
            2 => (Source::Shipped, settings[round % settings.len()].clone()),
            _ => (Source::Shipped, denying((round + 1) % 2)),
        };
        match guard.swap(source, with) {
            Ok(generation) => {
                assert_eq!(number % 4, 3, "swap {number} should have been refused");
                assert_eq!(
                    generation,
                    before.generation + 1,
                    "refused swaps do not count"
                );
                assert_eq!(guard.policy().generation, generation);
                loaded.add(guard.policy(), (round + 1) % 2);
            }
            Err(error) => {
                refused += 1;
                assert_ne!(number % 4, 3, "swap {number}: {error}");
                assert_eq!(
                    number % 4 == 2,
                    matches!(error, LoadError::Settings(_)),
                    "{error}"
                );
                let after = guard.policy();
                assert_eq!(
                    (after.generation, &after.digest, &after.settings_digest),
                    (before.generation, &before.digest, &before.settings_digest),
                    "swap {number}: the old one stays"
                );
            }
        }
    }
    refused
}

/// What a request got.
struct Answer {
    generation: u64,
    /// The connection it came over, as the server counts; none when the request was denied.
    connection: Option<usize>,
    reused: bool,
}

/// Sends requests until it is done. Any outcome but an answer or the denial that the policy of that
/// generation demands is a lost request, and fails.
async fn work(
    number: usize,
    client: Client,
    port: u16,
    loaded: Arc<Loaded>,
    done: Arc<AtomicBool>,
) -> Vec<Answer> {
    // Some exchanges are slow, so that swaps happen in the midst of them.
    let path = if number == 0 { "slow" } else { "" };
    let mut answers = Vec::new();
    while !done.load(Ordering::SeqCst) {
        let name = NAMES[answers.len() % 2];
        let at_least = loaded.newest();
        let answer = match client
            .get(&format!("http://{name}:{port}/{path}"))
            .send()
            .await
        {
            Ok(response) => {
                let hop = response.hops()[0].clone();
                let connection = response
                    .text()
                    .await
                    .expect("a whole body")
                    .trim()
                    .parse()
                    .unwrap();
                Answer {
                    generation: hop.generation,
                    connection: Some(connection),
                    reused: hop.reused,
                }
            }
            Err(error) => {
                assert_eq!(error.denial().unwrap().code(), "host-denied", "{error:?}");
                let generation = error.decision().unwrap().policy.generation;
                Answer {
                    generation,
                    connection: None,
                    reused: false,
                }
            }
        };
        assert!(
            answer.generation >= at_least,
            "judged by a policy that was replaced before"
        );
        answers.push(answer);
        // Leaves the cores to the compiler now and then.
        sleep(Duration::from_millis(1)).await;
    }
    answers
}

/// One record a request; each names a policy that was whole, and says what that policy says.
fn records_agree(
    records: &[Arc<Decision>],
    loaded: &HashMap<u64, (PolicyRef, usize)>,
    requests: usize,
) {
    assert_eq!(records.len(), requests, "one record a request");
    let mut used = HashMap::<u64, usize>::new();
    for record in records {
        let (policy, denies) = loaded
            .get(&record.policy.generation)
            .expect("a loaded generation");
        assert_eq!(record.policy.digest, policy.digest);
        assert_eq!(record.policy.settings_digest, policy.settings_digest);
        let denied = match &record.outcome {
            Outcome::Allow { .. } => false,
            Outcome::Deny(denial) => {
                assert_eq!(denial.code(), "host-denied");
                true
            }
            other => panic!("{other:?}"),
        };
        let expected = record.target.contains(NAMES[*denies]);
        assert_eq!(
            denied, expected,
            "{} under generation {}",
            record.target, policy.generation
        );
        *used.entry(policy.generation).or_default() += 1;
    }
    assert!(
        used.len() > loaded.len() / 2,
        "requests ran during the swaps: {used:?}"
    );
}

fn connections_serve_one_generation(answers: &[Answer], server: &Server) {
    let mut generations = HashMap::new();
    for answer in answers {
        if let Some(connection) = answer.connection {
            let first = *generations.entry(connection).or_insert(answer.generation);
            assert_eq!(
                first, answer.generation,
                "connection {connection} served two generations"
            );
        }
    }
    assert_eq!(
        generations.len(),
        server.opened(),
        "every connection served a request"
    );
    let reused = answers.iter().filter(|answer| answer.reused).count();
    assert!(
        reused > answers.len() / 4,
        "connections are kept: {reused} of {}",
        answers.len()
    );
}

/// Answers each request with the number of the connection it came over.
struct Server {
    port: u16,
    opened: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::new(PUBLIC, 0)).await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            opened: Arc::default(),
            open: Arc::default(),
        };
        let (opened, open) = (server.opened.clone(), server.open.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                open.fetch_add(1, Ordering::SeqCst);
                let open = open.clone();
                tokio::spawn(async move {
                    let _ = serve(socket, number).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn serve(mut socket: TcpStream, number: usize) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{number:9}");
        let (first, second) = response.as_bytes().split_at(response.len() - 5);
        socket.write_all(first).await?;
        if request.starts_with(b"GET /slow") {
            sleep(Duration::from_millis(30)).await;
        }
        socket.write_all(second).await?;
    }
}
