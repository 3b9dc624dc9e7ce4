//! The file of a policy changes under a gateway that serves: replaced, cut off, written slowly, gone, no file at all.
//! What is active stays until something whole and good is there.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use pinfold_gateway::{Config, Gateway};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::guests;

/// Of the operators.
const TOKEN: &str = "operators-of-the-tests-0123456789abcdef";

const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    folder: tempfile::TempDir,
    gateway: Gateway,
    /// A server that a grant makes reachable.
    server: SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move { while server.accept().await.is_ok() {} });
        let [policy, token] = ["policy.wasm", "token"].map(|name| folder.path().join(name));
        fs::write(&policy, guests::component("good")).unwrap();
        fs::write(&token, TOKEN).unwrap();
        fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
        let config: Config = toml::from_str(&format!(
            "[[listener]]\nbind = '127.0.0.1:0'\n[records.log]\nto = 'off'\n[floor]\ngrants = ['127.0.0.2/32']\n\
             [policy]\nfile = '{}'\ninterval = '20ms'\n[admin]\nbind = '127.0.0.1:0'\ntoken_file = '{}'\n{more}",
            policy.display(),
            token.display()
        ))
        .unwrap();
        let gateway = Gateway::start(config, None).await.unwrap();
        Self {
            folder,
            gateway,
            server: address,
        }
    }

    fn policy(&self) -> PathBuf {
        self.folder.path().join("policy.wasm")
    }

    /// Puts another file in its place, whole.
    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.policy()).unwrap();
    }

    /// The status of a `CONNECT` to the server.
    async fn connect(&self) -> String {
        let mut client = TcpStream::connect(self.gateway.addresses()[0])
            .await
            .unwrap();
        let ask = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", self.server);
        client.write_all(ask.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        timeout(PATIENCE, client.read_exact(&mut status))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    }

    /// The policies, as operators see them.
    async fn shown(&self) -> Value {
        self.get("/status").await["policy"].clone()
    }

    async fn get(&self, path: &str) -> Value {
        let text = self.operator("GET", path).await;
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    async fn post(&self, path: &str) -> String {
        self.operator("POST", path).await
    }

    async fn operator(&self, method: &str, path: &str) -> String {
        let admin = self.gateway.admin_address().unwrap();
        let mut client = TcpStream::connect(admin).await.unwrap();
        let ask = format!(
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: 0\r\n\
             Pinfold-Admin: 1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        client.write_all(ask.as_bytes()).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let shown = self.shown().await;
                if so(&shown) {
                    return shown;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, look).await {
            Ok(shown) => shown,
            Err(_) => panic!("{what}: {:#}", self.shown().await),
        }
    }
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_file_the_last_good_policy_serves() {
    type Spoil = fn(&Bench);
    let table: [(&str, Spoil, &str, &str); 7] = [
        (
            "cut off",
            |bench| {
                let whole = guests::component("deny");
                fs::write(bench.policy(), &whole[..whole.len() / 2]).unwrap();
            },
            "verify",
            "not a component",
        ),
        (
            "empty",
            |bench| fs::write(bench.policy(), []).unwrap(),
            "verify",
            "not a component",
        ),
        (
            "imports something",
            |bench| bench.replace(&guests::component("load-import-function")),
            "verify",
            "imports",
        ),
        (
            "does not take its settings",
            |bench| bench.replace(&guests::component("load-configure-traps")),
            "load",
            "failed while it took its settings",
        ),
        (
            "gone",
            |bench| fs::remove_file(bench.policy()).unwrap(),
            "read",
            "cannot read",
        ),
        (
            "a pipe that nobody writes to",
            |bench| {
                fs::remove_file(bench.policy()).unwrap();
                pipe(&bench.policy());
            },
            "read",
            "is not a regular file",
        ),
        (
            "huge",
            |bench| {
                fs::remove_file(bench.policy()).unwrap();
                fs::File::create(bench.policy())
                    .unwrap()
                    .set_len((64 << 20) + 1)
                    .unwrap();
            },
            "read",
            "is longer than",
        ),
    ];
    let bench = Bench::new().await;
    let mut generation = 1;
    for (row, spoil, step, said) in table {
        assert_eq!(bench.connect().await, "HTTP/1.1 200", "{row}");
        spoil(&bench);
        let shown = bench
            .until(row, |shown| !shown["last_error"].is_null())
            .await;
        let error = &shown["last_error"];
        assert_eq!(error["step"], step, "{row}: {error}");
        assert!(error.to_string().contains(said), "{row}: {error}");
        assert_eq!(shown["generation"], generation, "{row}");
        assert_eq!(
            bench.connect().await,
            "HTTP/1.1 200",
            "{row}: what was active stays"
        );
        bench.replace(&guests::component("deny"));
        generation += 1;
        let good = |shown: &Value| shown["generation"] == generation;
        let shown = bench.until("mended", good).await;
        assert!(shown["last_error"].is_null(), "{row}: {shown}");
        assert_eq!(bench.connect().await, "HTTP/1.1 403", "{row}");
        bench.replace(&guests::component("good"));
        generation += 1;
        let good = |shown: &Value| shown["generation"] == generation;
        bench.until("as before", good).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_promoted_is_what_watched_whatever_became_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = folder.path().join("candidate.wasm");
    fs::write(&candidate, guests::component("deny")).unwrap();
    let bench = Bench::with(&format!("[shadow]\nfile = '{}'\n", candidate.display())).await;
    let watches = async {
        while bench.get("/shadow").await["watching"] != true {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, watches).await.unwrap();
    let watching = bench.get("/shadow").await["candidate"]["digest"].clone();
    fs::write(&candidate, guests::component("load-configure-traps")).unwrap();
    assert_eq!(bench.connect().await, "HTTP/1.1 200", "it decides nothing");
    let answer = bench.post("/shadow/promote").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bench.connect().await, "HTTP/1.1 403");
    let shown = bench.shown().await;
    assert_eq!(shown["policies"][0]["digest"], watching, "{shown:#}");
    assert_eq!(shown["files_in_effect"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_slowly_is_taken_whole() {
    let bench = Bench::new().await;
    let deny = guests::component("deny");
    let mut file = fs::File::create(bench.policy()).unwrap();
    for chunk in deny.chunks(deny.len() / 40 + 1) {
        file.write_all(chunk).unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    let shown = bench
        .until("the whole one", |shown| shown["generation"] == 2)
        .await;
    assert!(shown["last_error"].is_null(), "{shown}");
    assert_eq!(bench.connect().await, "HTTP/1.1 403");
}
