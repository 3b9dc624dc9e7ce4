//! A stage: the lab's names and servers, a gateway, and an Envoy that asks it.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use pinfold_lab::Lab;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::client::until;
use crate::{
    serve::{Served, write},
    support::{repository, run, show},
};

/// How long anything may take. Far more than it does: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything together. What it started ends with it.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) gateway: Gateway,
    pub(crate) envoy: Envoy,
    #[expect(dead_code, reason = "its files go with it")]
    pub(crate) folder: tempfile::TempDir,
}

/// A gateway whose only listener is for Envoys.
pub(crate) struct Gateway {
    pub(crate) served: Served,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    /// Where it is asked.
    pub(crate) service: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// An Envoy that runs.
pub(crate) struct Envoy {
    child: Child,
    pub(crate) log: PathBuf,
    pub(crate) admin: SocketAddr,
    /// Its listeners, in the order of the configuration.
    pub(crate) listeners: Vec<SocketAddr>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Stage {
    /// With the configuration that is written for this mode.
    pub(crate) async fn start(mode: &str) -> Self {
        Self::with(mode, "", &[]).await
    }

    /// With this laid over the configuration of the gateway, and these further words for `pinfold envoy config`.
    pub(crate) async fn with(mode: &str, over: &str, words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab::start().await.unwrap();
        let gateway = Gateway::start(folder.path(), "gateway", &lab, over).await;
        let config = generated(mode, &gateway.config, &[gateway.service], words);
        let envoy = Envoy::start(folder.path(), "envoy", &config).await;
        Self {
            lab,
            gateway,
            envoy,
            folder,
        }
    }

    /// A request in absolute form, through the first listener of Envoy.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        get(self.envoy.listeners[0], url).await
    }
}

/// What `pinfold envoy config` writes, with ports that the system chooses.
pub(crate) fn generated(
    mode: &str,
    gateway: &Path,
    services: &[SocketAddr],
    words: &[&str],
) -> String {
    let gateway = gateway.to_str().unwrap();
    let mut all = vec!["envoy", "config", mode, "--gateway", gateway];
    all.extend(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let services: Vec<_> = services.iter().map(SocketAddr::to_string).collect();
    for service in &services {
        all.extend(["--service", service]);
    }
    all.extend(words);
    let output = run(all);
    assert!(output.status.success(), "{}", show(&output));
    String::from_utf8(output.stdout).unwrap()
}

impl Gateway {
    /// Names are the lab's; 127.0.0.2, 127.0.0.4 and `::1` stand for the public internet.
    pub(crate) async fn start(folder: &Path, name: &str, lab: &Lab, over: &str) -> Self {
        Self::at("bind = '127.0.0.1:0'", folder, name, lab, over).await
    }

    /// With these keys of its listener.
    pub(crate) async fn at(
        listener: &str,
        folder: &Path,
        name: &str,
        lab: &Lab,
        over: &str,
    ) -> Self {
        let (log, dns) = (folder.join(format!("{name}.log")), lab.dns().addr());
        let cache = repository().join("target/tmp/envoy-policies");
        let token = write(folder, &format!("{name}.token"), TOKEN);
        let settings = folder.join(format!("{name}.settings.toml"));
        if !settings.exists() {
            fs::write(&settings, "# none yet").unwrap();
        }
        let base = format!(
            "drain = '5s'\n[[listener]]\nname = 'envoy'\n{listener}\nprotocols = ['envoy']\n\
             [admin]\nbind = '127.0.0.1:0'\ntoken_file = '{}'\n[policy]\ncache = '{}'\nsettings = '{}'\n\
             [floor]\ngrants = ['127.0.0.2/32', '127.0.0.4/32', '::1/128']\n[dns]\nservers = ['{dns}']\n\
             [records.log]\nto = 'file:{}'\nwithhold = []\n{over}",
            token.display(),
            cache.display(),
            settings.display(),
            log.display()
        );
        let config = write(folder, &format!("{name}.toml"), &base);
        let mut served = Served::start(&[config.to_str().unwrap()]);
        let service = served.address();
        let admin = served.wait_for("operators ");
        let admin = admin.split("http://").nth(1).unwrap();
        let admin = admin.split('/').next().unwrap().parse().unwrap();
        Self {
            served,
            config,
            log,
            service,
            admin,
        }
    }

    /// `pinfold gateway` of it, with the right to change it; JSON.
    pub(crate) fn operate(&self, words: &[&str]) -> serde_json::Value {
        let (admin, token) = (self.admin.to_string(), self.config.with_extension("token"));
        let at = ["gateway", "--admin", &admin, "--json"];
        let proof = ["--token-file", token.to_str().unwrap()];
        let output = run(at.iter().chain(&proof).chain(words));
        assert!(output.status.success(), "{}", show(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Stops it, as one that hangs; waits until none of its threads runs.
    pub(crate) async fn hang(&self) {
        self.served.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.served.id());
        until("it stands still", || {
            let stopped = |task: fs::DirEntry| {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state is behind the name, which may contain anything.
                stat.rsplit(") ").next().unwrap().starts_with('T')
            };
            let mut tasks = fs::read_dir(&tasks).unwrap().flatten();
            tasks.all(stopped).then_some(())
        })
        .await;
    }

    /// The lines of its log.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    }
}

impl Envoy {
    /// With this configuration; waits until it listens.
    pub(crate) async fn start(folder: &Path, name: &str, yaml: &str) -> Self {
        let config = write(folder, &format!("{name}.yaml"), yaml);
        let (log, told) = (
            folder.join(format!("{name}.envoy.log")),
            folder.join(format!("{name}.admin")),
        );
        // Of an Envoy of this name before it: its address is not ours.
        let _ = fs::remove_file(&told);
        let output = File::create(&log).unwrap();
        let child = Command::new(binary())
            .args(["-c", config.to_str().unwrap()])
            .args(["--admin-address-path", told.to_str().unwrap()])
            .args([
                "--use-dynamic-base-id",
                "--concurrency",
                "1",
                "-l",
                "warning",
            ])
            // So that its lines about requests come while a test waits for them.
            .args(["--file-flush-interval-msec", "50"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut envoy = Self {
            child,
            log,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            listeners: Vec::new(),
        };
        let ready = timeout(PATIENCE, envoy.ready(&told)).await;
        assert!(ready.is_ok(), "Envoy does not start:\n{}", envoy.said());
        envoy
    }

    async fn ready(&mut self, told: &Path) {
        loop {
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.said());
            let admin = fs::read_to_string(told)
                .ok()
                .and_then(|text| text.parse().ok());
            if let Some(admin) = admin {
                self.admin = admin;
                self.listeners = self.listening().await;
                if !self.listeners.is_empty() {
                    return;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Empty until all of them listen.
    async fn listening(&self) -> Vec<SocketAddr> {
        if self.admin("/ready").await.status != 200 {
            return Vec::new();
        }
        let listeners = self.admin("/listeners").await.body;
        let addresses = listeners
            .lines()
            .filter_map(|line| line.split("::").nth(1)?.parse().ok());
        addresses.collect()
    }

    /// `GET` of its admin interface.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n");
        ask(self.admin, head.as_bytes()).await
    }

    /// The value of a counter or gauge; 0 when it was never used.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        let stats = self.admin(&format!("/stats?filter=^{name}$")).await.body;
        // Among the lines of its chunks.
        let value = stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// A header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| value.trim())
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// A request in absolute form to a proxy.
pub(crate) async fn get(proxy: SocketAddr, url: &str) -> Answer {
    let host = url.split('/').nth(2).unwrap();
    let head = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    ask(proxy, head.as_bytes()).await
}

/// Sends bytes, and reads until the other side is done.
pub(crate) async fn ask(to: SocketAddr, bytes: &[u8]) -> Answer {
    let asked = async {
        let Ok(mut stream) = TcpStream::connect(to).await else {
            return Vec::new();
        };
        let mut answer = Vec::new();
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = timeout(PATIENCE, asked).await.unwrap();
    Answer::of(&answer)
}

/// The Envoy that `cargo xtask setup` installs.
pub(crate) fn binary() -> PathBuf {
    let library = repository().join("tests/clients/envoy/.venv/lib");
    let pythons = fs::read_dir(&library).into_iter().flatten().flatten();
    let binaries = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    let found = binaries.into_iter().find(|binary| binary.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no Envoy in {}: `cargo xtask setup` installs it",
            library.display()
        )
    })
}

/// Of operators.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
