//! Clients that go on asking while something happens to the service that decides.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use pinfold_lab::{
    INTERNAL, Lab, PUBLIC, SECRET,
    dns::{Reply, Strategy},
    http::Page,
};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    client::until,
    support::{Envoy, Gateway, PATIENCE},
};

/// Below this, every name is of the public server; below [`INSIDE`], of the canary.
pub(crate) const OUTSIDE: &str = "outside";
/// See [`OUTSIDE`].
pub(crate) const INSIDE: &str = "inside";

/// Names without end, so that each request has one of its own, by which it is found again.
pub(crate) fn names(lab: &Lab) {
    let names = [(OUTSIDE, PUBLIC), (INSIDE, INTERNAL)];
    // Envoy keeps a connection for each name, and the lab serves a bounded number.
    lab.public()
        .route(PATH, Page::text(BODY).header("connection", "close"));
    for (below, address) in names {
        let pattern = format!("*.{below}.lab.example.com");
        lab.dns()
            .name(&pattern, Strategy::Always(Reply::address(address)));
    }
}

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The authority, which no other request has.
    pub(crate) host: String,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// None when the connection broke.
    pub(crate) status: Option<u16>,
    /// The code of a refusal; of an answer that Envoy made itself, none.
    pub(crate) reason: Option<String>,
    pub(crate) body: String,
}

impl Sent {
    /// Whether it was asked for something inside.
    pub(crate) fn inside(&self) -> bool {
        self.host.contains(INSIDE)
    }
}

/// A client that keeps its connection.
pub(crate) struct Client {
    proxy: SocketAddr,
    sender: Option<SendRequest<Empty<bytes::Bytes>>>,
}

impl Client {
    pub(crate) fn new(proxy: SocketAddr) -> Self {
        Self {
            proxy,
            sender: None,
        }
    }

    /// `GET` of the page at an authority.
    pub(crate) async fn get(&mut self, host: String) -> Sent {
        let began = Instant::now();
        let asked = timeout(PATIENCE, self.ask(&host)).await;
        let (status, reason, body) = match asked.ok().flatten() {
            Some((status, reason, body)) => (Some(status), reason, body),
            None => {
                self.sender = None;
                (None, None, String::new())
            }
        };
        let took = began.elapsed();
        Sent {
            host,
            began,
            took,
            status,
            reason,
            body,
        }
    }

    async fn ask(&mut self, host: &str) -> Option<(u16, Option<String>, String)> {
        let request = http::Request::get(format!("http://{host}{PATH}"))
            .header("host", host)
            .body(Empty::new())
            .unwrap();
        let answer = self.connected().await?.send_request(request).await.ok()?;
        let reason = answer.headers().get("pinfold-reason");
        let reason = reason.map(|reason| reason.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, reason, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn connected(&mut self) -> Option<&mut SendRequest<Empty<bytes::Bytes>>> {
        // It says so when the other side has ended the connection after the last answer.
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        if self.sender.is_none() {
            let stream = TcpStream::connect(self.proxy).await.ok()?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut()
    }
}

/// What a load has come to so far.
#[derive(Default)]
struct Counts {
    done: AtomicUsize,
    served: AtomicUsize,
}

/// Clients that ask one after the other, every third time for something inside, until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    /// So many clients through an Envoy, to the port of the lab's servers.
    pub(crate) fn start(name: &str, clients: usize, proxy: SocketAddr, lab: &Lab) -> Self {
        let (stop, counts) = (Arc::default(), Arc::default());
        let client = |number| {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            let (name, port) = (format!("{name}-{number}"), lab.port());
            tokio::spawn(ask(name, Client::new(proxy), port, stop, counts))
        };
        Self {
            clients: (0..clients).map(client).collect(),
            stop: Arc::clone(&stop),
            counts,
        }
    }

    /// Waits for so many further answers.
    pub(crate) async fn more(&self, count: usize) {
        reach(&self.counts.done, count).await;
    }

    /// Waits for so many further answers of the server.
    pub(crate) async fn served(&self, count: usize) {
        reach(&self.counts.served, count).await;
    }

    /// What became of every request.
    pub(crate) async fn end(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

async fn ask(
    name: String,
    mut client: Client,
    port: u16,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
) -> Vec<Sent> {
    let mut all = Vec::new();
    while !stop.load(Ordering::SeqCst) && all.len() < MOST {
        let below = if all.len() % 3 == 2 { INSIDE } else { OUTSIDE };
        let host = format!("{name}-{}.{below}.lab.example.com:{port}", all.len());
        let sent = client.get(host).await;
        let served = usize::from(sent.status == Some(200));
        counts.served.fetch_add(served, Ordering::SeqCst);
        counts.done.fetch_add(1, Ordering::SeqCst);
        all.push(sent);
        sleep(PAUSE).await;
    }
    all
}

async fn reach(counter: &AtomicUsize, further: usize) {
    let goal = counter.load(Ordering::SeqCst) + further;
    until("answers", || {
        (counter.load(Ordering::SeqCst) >= goal).then_some(())
    })
    .await;
}

/// How often each answer came: `200`, `403 address-not-public`, `503` of Envoy itself.
pub(crate) fn tally(all: &[Sent]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for sent in all {
        let status = sent
            .status
            .map_or("broken".to_owned(), |status| status.to_string());
        let reason = sent.reason.as_deref().unwrap_or_default();
        let answer = format!("{status} {reason}").trim().to_owned();
        *tally.entry(answer).or_default() += 1;
    }
    tally
}

/// The decisions in the log of a gateway.
pub(crate) fn decisions(gateway: &Gateway) -> Vec<Value> {
    let records = gateway.records().into_iter();
    records
        .filter(|record| record["event"] == "decision")
        .collect()
}

/// Those of these gateways, once there are so many: a log is written a little later.
pub(crate) async fn decided(gateways: &[&Gateway], many: usize) -> Vec<Value> {
    until("decisions", || {
        let all = gateways.iter().flat_map(|gateway| decisions(gateway));
        let all: Vec<_> = all.collect();
        (all.len() >= many).then_some(all)
    })
    .await
}

/// What Envoy says of each request, by the authority.
pub(crate) fn lines(envoy: &Envoy) -> BTreeMap<String, Value> {
    let said = envoy.said();
    let lines = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = lines.filter_map(|line| Some((line["authority"].as_str()?.to_owned(), line)));
    named.collect()
}

/// Whatever happened to who decides: nothing was sent anywhere without an answer that allowed it, and with an address;
/// nothing twice; and whoever got no answer of a server got a refusal.
pub(crate) async fn closed(lab: &Lab, envoy: &Envoy, all: &[Sent]) {
    let odd: Vec<_> = all
        .iter()
        .filter(|sent| match sent.status {
            Some(200) => sent.inside() || sent.body != BODY,
            Some(403 | 503 | 504) => sent.body == BODY || sent.body.contains(SECRET),
            _ => true,
        })
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(lab.leaks().await.unwrap(), 0);
    let served = served(lab);
    let answered: BTreeSet<_> = all
        .iter()
        .filter(|sent| sent.status == Some(200))
        .map(|sent| sent.host.clone())
        .collect();
    let sent: BTreeSet<_> = all.iter().map(|sent| sent.host.clone()).collect();
    let arrived: BTreeSet<_> = served
        .iter()
        .filter(|host| sent.contains(*host))
        .cloned()
        .collect();
    assert_eq!(
        arrived, answered,
        "who was answered is who got to the server"
    );
    let lines = until("a line for each request", || {
        let lines = lines(envoy);
        let all = sent.iter().all(|host| lines.contains_key(host));
        all.then_some(lines)
    })
    .await;
    let pin = format!("{PUBLIC}:{}", lab.port());
    for host in &answered {
        assert_eq!(lines[host]["pin"], pin.as_str(), "{}", lines[host]);
        assert_eq!(lines[host]["upstream"], pin.as_str(), "{}", lines[host]);
    }
}

/// The authorities of the requests that got to the public server: each once.
fn served(lab: &Lab) -> BTreeSet<String> {
    let seen = lab.public().requests();
    let hosts = seen
        .iter()
        .map(|seen| seen.header("host").unwrap().to_owned());
    let hosts: BTreeSet<_> = hosts.collect();
    assert_eq!(hosts.len(), seen.len(), "a request came twice");
    hosts
}

/// For each request that got to the server, one of these gateways has decided that it may.
pub(crate) async fn all_decided(lab: &Lab, gateways: &[&Gateway]) {
    let served = served(lab);
    until("a decision for each that was served", || {
        let decisions = gateways.iter().flat_map(|gateway| decisions(gateway));
        let allowed: BTreeSet<_> = decisions
            .filter(|record| record["decision"]["verdict"] == "allow")
            .map(|record| record["authority"].as_str().unwrap().to_owned())
            .collect();
        served.is_subset(&allowed).then_some(())
    })
    .await;
}

/// How long after a moment the first request was served.
pub(crate) fn recovery(all: &[Sent], moment: Instant) -> Duration {
    let served = all.iter().filter(|sent| sent.status == Some(200));
    let ends = served.map(|sent| sent.began + sent.took);
    let first = ends.filter(|end| *end > moment).min();
    first.unwrap().duration_since(moment)
}

/// The one in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A port that stays ours while nobody listens on it: a gateway that ends and starts again finds it free.
pub(crate) struct Port {
    _held: TcpSocket,
    address: SocketAddr,
}

impl Port {
    pub(crate) fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseport(true).unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = held.local_addr().unwrap();
        Self {
            _held: held,
            address,
        }
    }

    /// A gateway there.
    pub(crate) async fn gateway(
        &self,
        folder: &Path,
        name: &str,
        lab: &Lab,
        over: &str,
    ) -> Gateway {
        let listener = format!("bind = '{}'\nreuse_port = true", self.address);
        Gateway::at(&listener, folder, name, lab, over).await
    }
}

/// Over the configuration of a gateway that takes its time on a busy machine.
pub(crate) const UNHURRIED: &str = "[envoy]\ndeadline = '10s'";
/// For `pinfold envoy config`: the time for a question to such a gateway.
pub(crate) const WAITS: [&str; 2] = ["--timeout", "12s"];

/// An Envoy that does not take a busy gateway for one that hangs: a ping may be answered, and its health told, a good
/// while later. Whom it asks instead, and how often, stays as it was generated.
pub(crate) fn unhurried(config: String) -> String {
    let places = [
        (
            "{interval: 0.5s, timeout: 1s}",
            "{interval: 0.5s, timeout: 10s}",
        ),
        ("    - timeout: 1s\n", "    - timeout: 10s\n"),
    ];
    places.into_iter().fold(config, |config, (place, other)| {
        assert_eq!(config.matches(place).count(), 1, "{place}");
        config.replace(place, other)
    })
}

/// Clients of a load.
pub(crate) const CLIENTS: usize = 6;
/// Answers after which what happened to a gateway has reached every client.
pub(crate) const ENOUGH: usize = 40 * CLIENTS;
/// Of the page that is asked for.
const PATH: &str = "/once";
/// What it says.
const BODY: &str = "served";
/// Requests of one client. Far more than it comes to.
const MOST: usize = 20_000;
/// Between two requests of a client: load, but nothing that fills a slow machine.
const PAUSE: Duration = Duration::from_millis(5);
