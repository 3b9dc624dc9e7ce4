//! Three policies in a chain, as an organisation, its team and their service would have them: real components,
//! real connections on loopback.
//!
//! What must hold: what any layer denies is denied, and the record names that layer; what all allow, is allowed
//! under the strictest terms; one layer is replaced from its files while the others stay, and no connection
//! that was kept outlives the chain that it was opened under.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use journal::Journal;
use pinfold::{
    Grant, Guard,
    policy::{Layer, Source, Watch, WatchEvent},
    resolve::Fixed,
};
use pinfold_http::{Client, TlsRoots};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[path = "attack/journal.rs"]
mod journal;

#[path = "../fixtures/guests/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod guests;

const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test]
async fn each_layer_denies_in_its_own_name() {
    let bench = Bench::new().await;
    let table = [
        ("allowed", "a.example.com", Ok(())),
        ("organisation", "org.example.com", Err("organisation")),
        ("team", "team.example.com", Err("team")),
    ];
    for (row, host, outcome) in table {
        let sent = bench.client.get(&bench.url(host)).send().await;
        assert_eq!(sent.is_ok(), outcome.is_ok(), "{row}");
        let records = bench.journal.take();
        let record = records.last().unwrap();
        assert_eq!(record.denied_by.as_deref(), outcome.err(), "{row}");
        assert_eq!(record.layers.len(), 3, "{row}");
    }
    // The third is another component than the first two.
    let policies = bench.guard.policies();
    assert_eq!(policies[0].digest, policies[1].digest);
    assert_ne!(policies[1].digest, policies[2].digest);
    bench
        .guard
        .swap_layer("service", fixture("unreachable"), json!({}))
        .unwrap();
    let error = bench.client.get(&bench.url("a.example.com")).send().await;
    assert_eq!(
        error.unwrap_err().denial().unwrap().code(),
        "policy-trapped"
    );
    assert_eq!(
        bench.journal.take()[0].denied_by.as_deref(),
        Some("service")
    );
}

#[tokio::test]
async fn the_strictest_redirect_budget_of_all_layers_holds() {
    let bench = Bench::new().await;
    // The organisation allows 3 redirects, the team 1: the second is refused.
    let error = bench
        .client
        .get(&format!("{}loop", bench.url("a.example.com")))
        .send()
        .await;
    assert_eq!(
        error.unwrap_err().denial().unwrap().code(),
        "redirect-too-many"
    );
    let records = bench.journal.take();
    assert!(
        records
            .iter()
            .all(|record| record.terms.redirects == Some(1)),
        "{records:#?}"
    );
}

#[tokio::test]
async fn a_kept_connection_ends_when_any_layer_is_replaced() {
    let bench = Bench::new().await;
    for opened in [1, 1] {
        bench.get("a.example.com").await;
        assert_eq!(bench.opened(), opened);
    }
    for (layer, opened) in [("team", 2), ("organisation", 3)] {
        bench
            .guard
            .swap_layer(layer, Source::Shipped, json!({}))
            .unwrap();
        bench.get("a.example.com").await;
        bench.get("a.example.com").await;
        assert_eq!(bench.opened(), opened, "{layer}");
    }
}

#[tokio::test]
async fn the_files_of_one_layer_are_watched() {
    let bench = Bench::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("team.json");
    write(&file, &denying("team.example.com"));
    let before = bench.guard.policies();
    let watch = Watch::shipped()
        .settings(&file)
        .interval(Duration::from_millis(10));
    let (guard, (told, events)) = (bench.guard.clone(), mpsc::channel());
    let swap = move |source, settings| guard.swap_layer("team", source, settings);
    let watcher = watch
        .start(swap, move |event| told.send(event).unwrap())
        .unwrap();

    write(&file, &json!({"ports": "none"}));
    let event = events.recv_timeout(WAIT).unwrap();
    let WatchEvent::Kept { error } = event else {
        unreachable!("{event:?}")
    };
    assert!(
        error
            .to_string()
            .starts_with("layer `team`: settings refused"),
        "{error}"
    );
    assert_eq!(bench.guard.policies(), before);

    write(&file, &denying("a.example.com"));
    let event = events.recv_timeout(WAIT).unwrap();
    assert!(
        matches!(event, WatchEvent::Swapped { generation: 2 }),
        "{event:?}"
    );
    let error = bench.client.get(&bench.url("a.example.com")).send().await;
    assert_eq!(error.unwrap_err().denial().unwrap().code(), "host-denied");
    let after = bench.guard.policies();
    let same = |at: usize| before[at].settings_digest == after[at].settings_digest;
    assert_eq!((same(0), same(1), same(2)), (true, false, true));
    drop(watcher);
}

/// Time for a change of a file to be taken up, on a machine that is busy.
const WAIT: Duration = Duration::from_secs(30);

fn write(file: &Path, settings: &Value) {
    std::fs::write(file, settings.to_string()).unwrap();
}

fn fixture(name: &str) -> Source {
    Source::Bytes(guests::component(name).into())
}

fn denying(host: &str) -> Value {
    json!({"hosts": {"deny": [host]}, "limits": {"redirects": 1}})
}

/// A guard with three layers, a client, and a server.
struct Bench {
    guard: Guard,
    client: Client,
    journal: Journal,
    port: u16,
    opened: Arc<AtomicUsize>,
}

impl Bench {
    async fn new() -> Self {
        let (port, opened) = server().await;
        let journal = Journal::default();
        let organisation =
            json!({"hosts": {"deny": ["org.example.com"]}, "limits": {"redirects": 3}});
        let hosts = ["a", "org", "team"];
        let fixed = hosts.iter().fold(Fixed::default(), |fixed, host| {
            fixed.rule(&format!("{host}.example.com={PUBLIC}")).unwrap()
        });
        let guard = Guard::builder()
            .layer(Layer::new("organisation", Source::Shipped).settings(organisation))
            .layer(Layer::new("team", Source::Shipped).settings(denying("team.example.com")))
            .layer(Layer::new("service", fixture("good")))
            .resolver(fixed)
            .grants([format!("{PUBLIC}:{port}").parse::<Grant>().unwrap()])
            .observer(journal.clone())
            .build()
            .unwrap();
        let client = Client::builder(guard.clone())
            .tls_roots(TlsRoots::Only(Vec::new()))
            .build();
        Self {
            guard,
            client,
            journal,
            port,
            opened,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.port)
    }

    async fn get(&self, host: &str) {
        let response = self.client.get(&self.url(host)).send().await.unwrap();
        response.bytes().await.unwrap();
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// Counts connections; redirects `/loop` to itself.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(SocketAddr::new(PUBLIC, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket));
        }
    });
    (port, opened)
}

async fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let response = match request.starts_with(b"GET /loop") {
            true => "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
            false => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        socket.write_all(response.as_bytes()).await?;
    }
}
