//! Real clients through the gateway, to real servers on loopback: curl, libcurl over HTTP/2, requests, httpx, undici,
//! WebSocket clients, git.
//!
//! `cargo xtask setup` installs the libraries into `tests/clients`, so that no test fetches anything.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crate::support::{PUBLIC, Proxy, within};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::Value;

/// The name that stands for a public server.
const NAME: &str = "public.lab.example.com";
/// The name that stands for an internal one.
const INSIDE: &str = "internal.lab.example.com";

/// A gateway with a plain and a TLS listener, and the servers behind it.
struct Stage {
    proxy: Proxy,
    /// `http`, `https`, `git`, `ws`, `wss`.
    ports: Value,
    folder: tempfile::TempDir,
    _servers: Servers,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let at = |file: &str| folder.path().join(file).display().to_string();
        let (certificate, key) = (at("leaf.pem"), at("leaf.key"));
        let proxy = Proxy::with(&format!(
            "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
             [[listener]]\nname = \"tls\"\nbind = \"127.0.0.1:0\"\n\
             [listener.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        ))
        .await;
        repository(folder.path()).await;
        let mut servers = Command::new(python())
            .arg(clients("python/servers.py"))
            .args([&PUBLIC.to_string(), &certificate, &key, &at("repositories")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`cargo xtask setup` installs the clients");
        let mut told = String::new();
        let mut out = BufReader::new(servers.stdout.take().unwrap());
        assert!(
            out.read_line(&mut told).unwrap() > 0,
            "the servers do not start"
        );
        Self {
            proxy,
            ports: serde_json::from_str(&told).unwrap(),
            folder,
            _servers: Servers(servers),
        }
    }

    /// A URL of one of the servers, by a name.
    fn url(&self, server: &str, name: &str, path: &str) -> String {
        let scheme = if server == "git" { "https" } else { server };
        format!("{scheme}://{name}:{}{path}", self.ports[server])
    }

    /// The listeners, as clients write them.
    fn plain(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.proxy.gateway().addresses()[0])
    }

    fn tls(&self) -> String {
        format!(
            "https://localhost:{}",
            self.proxy.gateway().addresses()[1].port()
        )
    }

    fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// A client of `tests/clients/python`.
    async fn python(&self, library: &str, proxy: &str, url: &str) -> Value {
        let mut command = Command::new(python());
        command.arg(clients("python/client.py"));
        command.args([library, proxy, url, &self.ca()]);
        told(command).await
    }

    async fn node(&self, url: &str) -> Value {
        let mut command = Command::new("node");
        command.arg(clients("node/client.mjs"));
        command.args([&self.plain("http"), url, &self.ca()]);
        told(command).await
    }

    async fn curl(&self, args: &[&str], url: &str) -> (Option<i32>, String) {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "20",
                "--noproxy",
                "",
            ])
            .args([
                "--cacert",
                &self.ca(),
                "--proxy-cacert",
                &self.ca(),
                "--include",
            ])
            .args(args)
            .arg(url)
            .env_clear();
        let output = output(command).await;
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_in_every_way() {
    let stage = Stage::start().await;
    let (plain, socks) = (stage.plain("http"), stage.plain("socks5h"));
    for (way, proxy) in [
        ("plain", &plain),
        ("socks5h", &socks),
        ("over TLS", &stage.tls()),
    ] {
        for server in ["http", "https"] {
            let (code, text) = stage
                .curl(&["--proxy", proxy], &stage.url(server, NAME, "/x?y=1"))
                .await;
            assert_eq!(
                code,
                Some(0),
                "{way} {server}: {text}\n{:#?}",
                stage.proxy.log()
            );
            assert!(
                text.contains("\"path\": \"/x?y=1\""),
                "{way} {server}: {text}"
            );
            let (_, text) = stage
                .curl(&["--proxy", proxy], &stage.url(server, INSIDE, "/"))
                .await;
            assert!(!text.contains("127.0.0.3"), "{way} {server}: {text}");
            assert!(!text.contains("\"path\""), "{way} {server}: {text}");
        }
    }
    let (_, text) = stage
        .curl(&["--proxy", &plain], &stage.url("http", NAME, "/"))
        .await;
    assert!(
        text.to_ascii_lowercase().contains("x-origin: kept"),
        "{text}"
    );
    assert!(
        !text.contains("forged"),
        "an origin speaks in the name of the gateway: {text}"
    );
    let (_, text) = stage
        .curl(&["--proxy", &plain], &stage.url("http", INSIDE, "/"))
        .await;
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    let (_, text) = stage
        .curl(&["--proxy", &plain], "http://nowhere.lab.example.com/")
        .await;
    assert!(text.starts_with("HTTP/1.1 502"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn libcurl_over_http2() {
    let stage = Stage::start().await;
    for server in ["http", "https"] {
        let got = stage
            .python("pycurl", &stage.tls(), &stage.url(server, NAME, "/"))
            .await;
        assert_eq!(got["status"], 200, "{server}: {got}");
    }
    let got = stage
        .python("pycurl", &stage.tls(), &stage.url("https", NAME, "/"))
        .await;
    let told = got["told"].as_str().unwrap();
    assert!(told.contains("Establishing HTTP/2 proxy tunnel"), "{told}");
    let got = stage
        .python("pycurl", &stage.tls(), &stage.url("https", INSIDE, "/"))
        .await;
    let told = got["told"].as_str().unwrap();
    assert!(told.contains("CONNECT Response Status 403"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_python() {
    let stage = Stage::start().await;
    for library in ["requests", "httpx"] {
        for proxy in [stage.plain("http"), stage.plain("socks5h")] {
            for server in ["http", "https"] {
                let case = format!("{library} {proxy} {server}");
                let got = stage
                    .python(library, &proxy, &stage.url(server, NAME, "/"))
                    .await;
                assert_eq!(got["status"], 200, "{case}: {got}");
                let got = stage
                    .python(library, &proxy, &stage.url(server, INSIDE, "/"))
                    .await;
                let refused = got["status"] == 403 || got["error"].is_string();
                assert!(
                    refused && !got.to_string().contains("127.0.0.3"),
                    "{case}: {got}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undici_of_node() {
    let stage = Stage::start().await;
    for server in ["http", "https", "ws", "wss"] {
        let got = stage.node(&stage.url(server, NAME, "/")).await;
        let status = if server.starts_with("ws") { 101 } else { 200 };
        assert_eq!(got["status"], status, "{server}: {got}");
        let got = stage.node(&stage.url(server, INSIDE, "/")).await;
        assert_ne!(got["status"], status, "{server}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets() {
    let stage = Stage::start().await;
    for server in ["ws", "wss"] {
        let got = stage
            .python(
                "websockets",
                &stage.plain("http"),
                &stage.url(server, NAME, "/"),
            )
            .await;
        assert_eq!(got["body"], "hello", "{server}: {got}");
        let got = stage
            .python(
                "websockets",
                &stage.plain("http"),
                &stage.url(server, INSIDE, "/"),
            )
            .await;
        assert!(
            got["error"]
                .as_str()
                .is_some_and(|error| error.contains("403")),
            "{server}: {got}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn git_over_https() {
    let stage = Stage::start().await;
    let clone = async |name: &str, into: &str| {
        let mut command = Command::new("git");
        command.args(["-c", &format!("http.proxy={}", stage.plain("http"))]);
        command.args(["-c", &format!("http.sslCAInfo={}", stage.ca())]);
        command.args([
            "clone",
            "--quiet",
            &stage.url("git", name, "/work.git"),
            into,
        ]);
        command
            .current_dir(stage.folder.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("GIT_TERMINAL_PROMPT", "0");
        output(command).await
    };
    let output = clone(NAME, "copy").await;
    assert!(output.status.success(), "{output:?}");
    let read = std::fs::read_to_string(stage.folder.path().join("copy/README"));
    assert_eq!(read.unwrap(), "through the gateway\n");
    let output = clone(INSIDE, "refused").await;
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("403"), "{told}");
}

/// Runs a client to its end, on a thread where it may block.
async fn output(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = within("a client", run).await.unwrap();
    output.expect("`cargo xtask setup` installs the clients")
}

/// Ends with the test.
struct Servers(Child);

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client printed.
async fn told(mut command: Command) -> Value {
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap());
    let output = output(command).await;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A file of `tests/clients`.
fn clients(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients")).join(file)
}

fn python() -> PathBuf {
    clients("python/.venv/bin/python")
}

/// `ca.pem`, and a certificate of it for the names of the lab and for the gateway.
fn certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "authority of a test");
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate().unwrap();
    let names = vec![NAME.to_owned(), INSIDE.to_owned(), "localhost".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params
        .subject_alt_names
        .push(SanType::IpAddress([127, 0, 0, 1].into()));
    let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
    for (file, text) in [
        ("ca.pem", ca.pem()),
        ("leaf.pem", leaf.pem()),
        ("leaf.key", leaf_key.serialize_pem()),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
}

/// A bare repository with one commit, at `repositories/work.git`.
async fn repository(folder: &Path) {
    let script = "git init --quiet work && cd work && echo 'through the gateway' > README && git add README \
        && git -c user.name=t -c user.email=t@example.com commit --quiet -m one \
        && git clone --quiet --bare . ../repositories/work.git";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder);
    let output = output(command).await;
    assert!(output.status.success(), "{output:?}");
}
