//! The table of authorities: what a client can write where the name of a server belongs, what Envoy makes of it, and the
//! verdict of the gateway.
//!
//! `tests/vectors/envoy/authorities.jsonl` has a row a line: what is sent (`{port}` is that of a public server and of one
//! inside, `{tls}` the one with TLS); `seen`, the `request.http.host` that the decision service is asked about, nothing when Envoy answers by
//! itself; then the status, and the gateway's reason. `UPDATE=1` writes the last three anew, and the table of the guide:
//! a change of a verdict is to be looked at as one of code.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::{fmt::Write as _, fs, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinfold_lab::{Lab, http::Server};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    fake::Fake,
    support::{Envoy, Gateway, PATIENCE, generated},
};
use crate::{
    serve::write,
    support::{repository, vectors},
};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http2: Option<Http2>,
    #[serde(default)]
    seen: Option<String>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    reason: Option<String>,
}

/// A request of HTTP/2: what becomes its pseudo-header fields, and fields with the name `host`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http2 {
    method: String,
    scheme: Option<String>,
    authority: String,
    path: Option<String>,
    host: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_name_a_server_has_its_verdict() {
    let (lab, fake) = (Lab::start().await.unwrap(), Fake::start().await);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), "gateway", &lab, "").await;
    let roots = write(folder.path(), "roots.pem", &lab.authority().pem());
    let roots = ["--roots", roots.to_str().unwrap()];
    let config = |service| generated("forward", &gateway.config, &[service], &roots);
    let seen = Envoy::start(folder.path(), "seen", &config(fake.address)).await;
    let asks = Envoy::start(folder.path(), "asks", &config(gateway.service)).await;
    let ports = Ports::of(&lab);
    let arrived = async || {
        let servers = [lab.public(), lab.tls()];
        for server in servers {
            server.settle().await.unwrap();
        }
        servers.map(Server::connections).iter().sum::<u64>()
    };
    let (mut wrong, mut found) = (Vec::new(), Vec::new());
    for row in rows() {
        row.ask(seen.listeners[0], &ports).await;
        let mut seen = fake.asked();
        assert!(seen.len() <= 1, "{}: {seen:?}", row.row);
        let before = arrived().await;
        let (status, reason) = row.ask(asks.listeners[0], &ports).await;
        assert_eq!(arrived().await > before, status == 200, "{}", row.row);
        assert_eq!(lab.leaks().await.unwrap(), 0, "{}", row.row);
        let now = Row {
            seen: seen.pop().map(|seen| ports.hidden(&seen)),
            status,
            reason,
            ..row.clone()
        };
        if now != row {
            wrong.push(format!("{now:?}"));
        }
        found.push(now);
    }
    if std::env::var_os("UPDATE").is_some() {
        let lines = found
            .iter()
            .map(|row| serde_json::to_string(row).unwrap() + "\n");
        fs::write(vectors(ROWS), lines.collect::<String>()).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The same rows, for readers.
#[test]
fn the_guide_has_the_table() {
    let file = repository().join("docs/envoy.md");
    let guide = fs::read_to_string(&file).unwrap_or_default();
    let Some((before, rest)) = guide.split_once(BEGIN) else {
        panic!("{} has no `{BEGIN}`", file.display());
    };
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", table(&rows()));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, expected).unwrap();
    } else {
        assert_eq!(
            guide, expected,
            "`UPDATE=1` writes the table of the guide anew"
        );
    }
}

impl Row {
    /// The status, and the reason of the gateway.
    async fn ask(&self, proxy: SocketAddr, ports: &Ports) -> (u16, Option<String>) {
        match (&self.sent, &self.http2) {
            (Some(sent), None) => first(proxy, &ports.shown(sent)).await,
            (None, Some(http2)) => http2.ask(proxy, |text| ports.shown(text)).await,
            _ => panic!("{}: one of `sent` and `http2`", self.row),
        }
    }
}

/// What is told first: a tunnel goes on.
async fn first(proxy: SocketAddr, sent: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap_or_default();
    let reason = head
        .lines()
        .filter_map(|line| line.strip_prefix("pinfold-reason: "));
    (
        status.parse().unwrap_or(0),
        reason.map(str::to_owned).next(),
    )
}

impl Http2 {
    pub(crate) fn get(scheme: &str, authority: &str) -> Self {
        Self {
            method: "GET".into(),
            scheme: Some(scheme.into()),
            authority: authority.into(),
            path: Some("/".into()),
            host: Vec::new(),
        }
    }

    /// The status, and the reason of the gateway. A stream that Envoy resets has none.
    pub(crate) async fn ask(
        &self,
        proxy: SocketAddr,
        ports: impl Fn(&str) -> String,
    ) -> (u16, Option<String>) {
        let answer = timeout(PATIENCE, self.send(proxy, ports)).await.unwrap();
        let Ok(answer) = answer else {
            return (0, None);
        };
        let reason = answer.headers().get("pinfold-reason");
        let reason = reason.map(|reason| reason.to_str().unwrap().to_owned());
        (answer.status().as_u16(), reason)
    }

    async fn send(
        &self,
        proxy: SocketAddr,
        ports: impl Fn(&str) -> String,
    ) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(proxy).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(self.request(ports)).await
    }

    fn request(&self, ports: impl Fn(&str) -> String) -> Request<Empty<Bytes>> {
        let mut uri = Uri::builder().authority(ports(&self.authority));
        if let (Some(scheme), Some(path)) = (&self.scheme, &self.path) {
            uri = uri.scheme(&**scheme).path_and_query(&**path);
        }
        let request = Request::builder()
            .method(&*self.method)
            .version(Version::HTTP_2)
            .uri(uri.build().unwrap());
        let with_host =
            |request: http::request::Builder, host: &String| request.header("host", ports(host));
        let request = self.host.iter().fold(request, with_host);
        request.body(Empty::new()).unwrap()
    }
}

/// The ports of the lab.
struct Ports([(&'static str, String); 2]);

impl Ports {
    fn of(lab: &Lab) -> Self {
        let tls = lab.tls().addr().port();
        Self([
            ("{port}", lab.port().to_string()),
            ("{tls}", tls.to_string()),
        ])
    }

    /// What is sent.
    fn shown(&self, text: &str) -> String {
        let put = |text: String, (name, port): &(&str, String)| text.replace(name, port);
        self.0.iter().fold(text.to_owned(), put)
    }

    /// What is compared.
    fn hidden(&self, text: &str) -> String {
        let put = |text: String, (name, port): &(&str, String)| text.replace(port, name);
        self.0.iter().fold(text.to_owned(), put)
    }
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(vectors(ROWS)).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| | the client sends | the gateway is asked for | answer |\n|---|---|---|---|\n",
    );
    for row in rows {
        let seen = row.seen.as_deref().map_or("not asked".into(), code);
        let answer = match &row.reason {
            Some(reason) => format!("{} `{reason}`", row.status),
            None if row.status == 0 => "the stream is reset".into(),
            None => row.status.to_string(),
        };
        writeln!(
            table,
            "| {} | {} | {seen} | {answer} |",
            row.row,
            row.shown()
        )
        .unwrap();
    }
    table
}

impl Row {
    /// The lines that matter.
    fn shown(&self) -> String {
        if let Some(http2) = &self.http2 {
            let scheme = http2
                .scheme
                .iter()
                .map(|scheme| format!(":scheme {scheme}"));
            let host = http2.host.iter().map(|host| format!("host {host}"));
            let authority = format!(":authority {}", http2.authority);
            let all = [format!(":method {}", http2.method)].into_iter();
            let all = all.chain(scheme).chain([authority]).chain(host);
            return all.map(|line| code(&line)).collect::<Vec<_>>().join(" ");
        }
        let lines = self.sent.iter().flat_map(|sent| sent.split("\r\n"));
        let lines = lines.filter(|line| !line.is_empty() && *line != "Connection: close");
        let lines = lines.map(|line| code(line.trim_end_matches(" HTTP/1.1")));
        lines.collect::<Vec<_>>().join(" ")
    }
}

/// In a cell of a table.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".into();
    }
    let short = text.replace(".lab.example.com", ".example");
    let short = [64, 60].iter().fold(short, |short, times| {
        short.replace(&"a".repeat(*times), &format!("({times} times a)"))
    });
    format!(
        "`{}`",
        short.trim().replace('|', "\\|").replace('\t', "\\t")
    )
}

/// The rows.
const ROWS: &str = "envoy/authorities.jsonl";
/// Before the table in the guide.
const BEGIN: &str = "<!-- authorities: begin -->";
/// Behind it.
const END: &str = "<!-- authorities: end -->";
