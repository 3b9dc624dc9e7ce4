//! A swap while connections are open: what the new policy refuses is closed, and nothing else.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{
    socks,
    support::{Client, Echo, PUBLIC, Proxy, file, until, within},
};

const KEPT: &str = "public.lab.example.com";
const DENIED: &str = "other.lab.example.com";

/// So many tunnels in the large test, half of them to each name.
const TUNNELS: usize = 1_000;

/// A gateway whose settings are a file, and what it takes to change them.
struct Scene {
    proxy: Proxy,
    over: String,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(over: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = file(folder.path(), "settings.toml", "# none yet");
        let over = format!("policy = {{settings = '{}'}}\n{over}", settings.display());
        let proxy = Proxy::with(&over).await;
        Self {
            proxy,
            over,
            folder,
        }
    }

    fn swap(&self, settings: &str) {
        file(self.folder.path(), "settings.toml", settings);
        self.proxy.gateway().reload(self.proxy.config(&self.over));
    }

    fn reviewed(&self) -> Vec<(u64, u64)> {
        let log = self.proxy.log();
        let lines = log.iter().filter(|line| line["change"] == "reviewed");
        let counts = lines.map(|line| (line["kept"].as_u64(), line["closed"].as_u64()));
        counts
            .map(|(kept, closed)| (kept.unwrap(), closed.unwrap()))
            .collect()
    }
}

/// Both kinds of tunnels, one after the other.
async fn open(proxy: &Proxy, number: usize, name: &str, echo: &Echo) -> Client<TcpStream> {
    if number.is_multiple_of(2) {
        return proxy.tunnel(&echo.at(name)).await;
    }
    let mut client = proxy.client().await;
    socks::tunnel(&mut client, name, echo.port()).await;
    client
}

async fn echoes(client: &mut Client<TcpStream>, text: &[u8]) {
    client.send(text).await;
    assert_eq!(client.exactly(text.len()).await, text);
}

fn time(line: &serde_json::Value) -> jiff::Timestamp {
    line["time"].as_str().unwrap().parse().unwrap()
}

/// Each tunnel has three sockets here, and the server's.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_tunnels_exactly_the_refused_half_is_closed() {
    raise_limits();
    let echo = Echo::start(PUBLIC).await;
    let scene = Scene::new("").await;
    let (mut kept, mut denied) = (Vec::new(), Vec::new());
    for number in 0..TUNNELS / 2 {
        kept.push(open(&scene.proxy, number, KEPT, &echo).await);
        denied.push(open(&scene.proxy, number, DENIED, &echo).await);
    }
    for client in kept.iter_mut().chain(&mut denied) {
        echoes(client, b"before").await;
    }

    // Those that stay talk while the others are closed.
    let mut talking = JoinSet::new();
    for mut client in kept {
        talking.spawn(async move {
            for _ in 0..20 {
                echoes(&mut client, b"meanwhile").await;
                sleep(Duration::from_millis(50)).await;
            }
            client
        });
    }
    scene.swap(&format!("hosts = {{deny = ['{DENIED}']}}"));
    for client in &mut denied {
        client.ended().await;
    }
    let mut kept = within("the others", talking.join_all()).await;
    for client in &mut kept {
        echoes(client, b"after").await;
    }
    let half = u64::try_from(TUNNELS / 2).unwrap();
    until("the review is told", async || !scene.reviewed().is_empty()).await;
    assert_eq!(scene.reviewed(), [(half, half)]);
    let log = scene.proxy.log();
    let ends: Vec<_> = log.iter().filter(|line| line["event"] == "end").collect();
    assert_eq!(ends.len(), TUNNELS / 2);
    let revoked = |end: &&serde_json::Value| {
        end["closing"] == "revoked" && end["denial"]["code"] == "host-denied"
    };
    assert!(ends.iter().all(revoked), "{}", ends[0]);
    let swap = log.iter().rfind(|line| line["change"] == "active").unwrap();
    let last = ends.iter().map(|end| time(end)).max().unwrap();
    let last = last.duration_since(time(swap));
    println!(
        "{} tunnels closed, the last {last:#} after the swap",
        ends.len()
    );
    assert!(last.as_secs() < 5, "within `tunnels.revocation`: {last:?}");
}

#[tokio::test]
async fn a_subject_loses_its_tunnels_and_others_keep_theirs() {
    let echo = Echo::start(PUBLIC).await;
    let identity = "[[listener]]\nbind = '127.0.0.1:0'\n[listener.identity]\nways = ['source']\n\
                    networks = {'127.0.0.4/32' = 'alpha', '127.0.0.5/32' = 'beta'}";
    let scene = Scene::new(identity).await;
    let (mut alpha, mut beta) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        alpha.push(tunnel_from([127, 0, 0, 4], &scene.proxy, &echo).await);
        beta.push(tunnel_from([127, 0, 0, 5], &scene.proxy, &echo).await);
    }
    scene.swap("[[subjects]]\nmatch = ['alpha']\nhosts = {allow = ['nothing.example.com']}");
    for client in &mut alpha {
        client.ended().await;
    }
    for client in &mut beta {
        echoes(client, b"after").await;
    }
}

async fn tunnel_from(source: [u8; 4], proxy: &Proxy, echo: &Echo) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let mut client = Client::over(socket.connect(proxy.address()).await.unwrap());
    let head = client.connect_to(&echo.at(KEPT)).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    client
}

#[tokio::test]
async fn a_response_under_way_is_cut() {
    // A server that begins an answer, and does not end it.
    let server = Echo::serve(PUBLIC, |mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, head).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let scene = Scene::new("").await;
    let mut client = scene.proxy.client().await;
    let request = format!("GET http://{}/ HTTP/1.1\r\n\r\n", server.at(DENIED));
    client.send(request.as_bytes()).await;
    client.head().await;
    assert_eq!(client.exactly(5).await, b"begun");
    scene.swap(&format!("hosts = {{deny = ['{DENIED}']}}"));
    client.ended().await;
    let end = scene.proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "revoked");
}

#[tokio::test]
async fn a_shorter_life_holds_for_what_is_open() {
    let echo = Echo::start(PUBLIC).await;
    let scene = Scene::new("").await;
    let mut client = scene.proxy.tunnel(&echo.at(KEPT)).await;
    scene.swap("limits = {total_timeout_ms = 1000}");
    client.ended().await;
    let end = scene.proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "lifetime");
}

#[tokio::test]
async fn report_mode_keeps_what_is_refused() {
    let echo = Echo::start(PUBLIC).await;
    let scene = Scene::new("report = {all = true}").await;
    let mut client = scene.proxy.tunnel(&echo.at(DENIED)).await;
    scene.swap(&format!("hosts = {{deny = ['{DENIED}']}}"));
    until("the review is told", async || !scene.reviewed().is_empty()).await;
    assert_eq!(scene.reviewed(), [(1, 0)]);
    echoes(&mut client, b"after").await;
}
