//! What a test of the gateway needs: a gateway, servers for both sides of the guard, and clients that say what they
//! want byte by byte.
//!
//! ```ignore
//! let echo = Echo::start(PUBLIC).await;
//! let proxy = Proxy::start().await;                       // or `Proxy::with("[limits]\nconnections = 2")`
//! let mut tunnel = proxy.tunnel(&format!("public.lab.example.com:{}", echo.port())).await;
//! tunnel.send(b"hello").await;
//! assert_eq!(tunnel.exactly(5).await, b"hello");
//! let line = proxy.logged(|line| line["event"] == "decision").await;
//! ```
//!
//! - [`Proxy`] is a gateway on loopback whose base configuration is [`BASE`]; what a test says in TOML is laid over
//!   it: tables are merged, everything else is replaced (so `[[listener]]` replaces all listeners).
//! - `public.lab.example.com` and `other.lab.example.com` are [`PUBLIC`], which a grant makes reachable;
//!   `internal.lab.example.com` is [`INTERNAL`], `mixed.lab.example.com` both, and nothing else exists.
//! - Decisions and everything else that is told are read from the decision log ([`Proxy::logged`]), and from the admin
//!   interface ([`Proxy::admin`]).
//! - Whatever waits does so for at most [`PATIENCE`], and says what it waited for.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pinfold_gateway::{Config, Gateway, StartError};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Stands for the public internet: a grant lets the gateway dial it.
pub(crate) const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Stands for the internal network: nothing may dial it.
pub(crate) const INTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// How long anything may take. Far more than it does: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What every test begins with; `{log}` and `{cache}` are filled in.
const BASE: &str = r#"
drain = "5s"

[[listener]]
bind = "127.0.0.1:0"

[admin]
bind = "127.0.0.1:0"

[policy]
watch = false
cache = "{cache}"

[floor]
grants = ["127.0.0.2/32"]

[dns.fixed]
"public.lab.example.com" = ["127.0.0.2"]
"other.lab.example.com" = ["127.0.0.2"]
"internal.lab.example.com" = ["127.0.0.3"]
"mixed.lab.example.com" = ["127.0.0.2", "127.0.0.3"]

[records.log]
to = "file:{log}"
withhold = []
"#;

/// A gateway under test.
pub(crate) struct Proxy {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// With the base configuration.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With this laid over it.
    pub(crate) async fn with(over: &str) -> Self {
        Self::try_with(over).await.expect("the gateway starts")
    }

    /// With this laid over it, when it starts.
    pub(crate) async fn try_with(over: &str) -> Result<Self, StartError> {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), over);
        let gateway = Gateway::start(config, None).await?;
        Ok(Self { gateway, folder })
    }

    /// The configuration with which it would have been started with this laid over it: for `reload`.
    pub(crate) fn config(&self, over: &str) -> Config {
        config(self.folder.path(), over)
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// For `drain`, which ends it. The folder stays as long as what comes with it.
    pub(crate) fn into_gateway(self) -> (Gateway, tempfile::TempDir) {
        (self.gateway, self.folder)
    }

    /// A folder of this test alone.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The first TCP listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0]
    }

    /// A connection to the first listener.
    pub(crate) async fn client(&self) -> Client<TcpStream> {
        Client::connect(self.address()).await
    }

    /// A tunnel through it, the answer read.
    pub(crate) async fn tunnel(&self, authority: &str) -> Client<TcpStream> {
        let mut client = self.client().await;
        let head = client.connect_to(authority).await;
        assert_eq!(status(&head), 200, "{head}");
        client
    }

    /// Everything in the decision log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        read_log(self.folder.path())
    }

    /// The first line of the log that is such, once it is there.
    pub(crate) async fn logged(&self, such: impl Fn(&Value) -> bool) -> Value {
        logged(self.folder.path(), such).await
    }

    /// The newest refusal or denial with this code, as the admin interface shows it, once it is there.
    pub(crate) async fn refused(&self, code: &str) -> Value {
        let look = async {
            loop {
                let all = self.admin_json("/denials").await;
                let mut rows = all["denials"].as_array().expect("rows").iter();
                if let Some(row) = rows.find(|row| row["code"] == code) {
                    return row.clone();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let found = timeout(PATIENCE, look).await;
        match found {
            Ok(row) => row,
            Err(_) => panic!("no `{code}` in {:#}", self.admin_json("/denials").await),
        }
    }

    /// `GET` of the admin interface: status and body.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let address = self.gateway.admin_address().expect("an admin interface");
        let mut client = Client::connect(address).await;
        let host = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        client.send(host.as_bytes()).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        (status(head), body.to_owned())
    }

    /// As [`admin`](Self::admin), JSON.
    pub(crate) async fn admin_json(&self, path: &str) -> Value {
        let (status, body) = self.admin(path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

/// The base configuration with `over` laid over it.
pub(crate) fn config(folder: &Path, over: &str) -> Config {
    let base = BASE
        .replace("{log}", folder.join("log.jsonl").to_str().unwrap())
        .replace("{cache}", &cache());
    let mut table: toml::Table = base.parse().unwrap();
    lay_over(&mut table, over.parse().expect("TOML"));
    table.try_into().expect("a configuration")
}

/// Compiled policies are shared by all tests: compiling takes a second, taking them from here some milliseconds.
fn cache() -> String {
    format!("{}/policies", env!("CARGO_TARGET_TMPDIR"))
}

fn lay_over(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// Everything in the log of this folder so far.
pub(crate) fn read_log(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line| serde_json::from_str(line).expect("a line of JSON");
    whole.lines().map(parse).collect()
}

/// The first line of the log in this folder that is such, once it is there.
pub(crate) async fn logged(folder: &Path, such: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            if let Some(line) = read_log(folder).into_iter().find(&such) {
                return line;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let found = timeout(PATIENCE, look).await;
    found.unwrap_or_else(|_| panic!("no such line in the log: {:#?}", read_log(folder)))
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, look).await;
}

/// What should not take long.
pub(crate) async fn within<T>(what: &str, doing: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, doing).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The status of a response head.
pub(crate) fn status(head: &str) -> u16 {
    let number = head
        .split(' ')
        .nth(1)
        .and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no response: {head:?}"))
}

/// The value of a field of a response head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A client that says what it wants, over any stream.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
}

impl Client<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self::over(stream.expect("a connection"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("sending", self.stream.write_all(bytes))
            .await
            .expect("sent");
    }

    /// As [`send`](Self::send), to somebody who may have closed.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within("sending", self.stream.write_all(bytes)).await
    }

    /// Asks for a tunnel; the head of the answer.
    pub(crate) async fn connect_to(&mut self, authority: &str) -> String {
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        self.send(request.as_bytes()).await;
        self.head().await
    }

    /// Everything up to an empty line, without what follows it.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match within("a head", self.stream.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// Head and body of an answer that says how long it is.
    pub(crate) async fn answer(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        (head, self.exactly(length).await)
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = within("bytes", self.stream.read_exact(&mut bytes)).await;
        read.expect("so many bytes");
        bytes
    }

    /// Everything until the other side ends, or breaks off.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What came before a reset is kept.
        let _ = within("the end", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    /// A head, or none when the other side closes without one.
    pub(crate) async fn rest_or_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                within("a head or the end", self.stream.read_u8())
                    .await
                    .ok()?,
            );
        }
        String::from_utf8(head).ok()
    }

    /// That the other side closes, having sent nothing more.
    pub(crate) async fn ended(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
}

/// A server that sends back what it gets.
pub(crate) struct Echo {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(ip: IpAddr) -> Self {
        Self::serve(ip, |stream| async move {
            let (mut read, mut write) = stream.into_split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        })
        .await
    }

    /// A server that does this with each connection.
    pub(crate) async fn serve<F>(ip: IpAddr, each: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(each(stream));
            }
        });
        Self {
            address,
            accepted,
            serving,
        }
    }

    /// A server that answers each request of HTTP/1.1 with its head, and keeps the connection.
    pub(crate) async fn http(ip: IpAddr) -> Self {
        Self::serve(ip, |stream| async move {
            let mut client = Client::over(stream);
            while let Some(head) = client.request().await {
                let length = head.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
                if client.stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `NAME:PORT` of this server.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{name}:{}", self.port())
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Client<TcpStream> {
    /// The head of a request without a body; none when the client is done.
    async fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        String::from_utf8(head).ok()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Writes a file of a test; its path.
pub(crate) fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
