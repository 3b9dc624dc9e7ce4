//! `pinfold gateway` against a gateway that runs: the real binary on both sides.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of a proxy are not judged: they are in the tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::support::{pinfold, run, show};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A gateway, and how operators reach it.
struct Gateway {
    child: Child,
    folder: tempfile::TempDir,
    proxy: SocketAddr,
    admin: String,
}

impl Gateway {
    /// With these lines below `[admin]`.
    fn start(admin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin.replace("{folder}", folder.path().to_str().unwrap());
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        fs::write(folder.path().join("settings.toml"), "# none yet").unwrap();
        let config = folder.path().join("gateway.toml");
        let text = format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\n[admin]\n{admin}\n[floor]\ngrants = [\"127.0.0.2/32\"]\n\
             [policy]\nwatch = false\nsettings = {:?}\n[records.log]\nto = \"off\"\n",
            folder.path().join("settings.toml")
        );
        fs::write(&config, text).unwrap();
        let mut child = pinfold([Path::new("serve"), &config])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let mut find = |label: &str| loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended: {said}");
            said.push_str(&line);
            if let Some(rest) = line.trim_start().strip_prefix(label) {
                return rest.split_whitespace().next().unwrap().to_owned();
            }
        };
        let proxy = find("listener ").parse().unwrap();
        let admin = find("operators ");
        // What it says later is read by nobody, and must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self {
            child,
            folder,
            proxy,
            admin: admin.trim_end_matches(['/', ';', ',']).to_owned(),
        }
    }

    fn on_unix() -> Self {
        Self::start("bind = \"unix:{folder}/admin.sock\"")
    }

    fn on_tcp() -> Self {
        Self::start("bind = \"127.0.0.1:0\"\ntoken_file = \"{folder}/token\"")
    }

    fn ask(&self, args: &[&str]) -> Output {
        let at = ["gateway", "--admin", &self.admin];
        run(at.iter().chain(args))
    }

    /// Standard output of what must succeed.
    fn said(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", show(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.said(&[args, &["--json"]].concat())).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// The status of `CONNECT`, and the tunnel.
    fn connect(&self, to: SocketAddr) -> (u16, TcpStream) {
        let mut stream = TcpStream::connect(self.proxy).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{head:?}");
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        (head[9..12].parse().unwrap(), stream)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody to connect to, at the address that plays the public internet.
fn server() -> TcpListener {
    TcpListener::bind("127.0.0.2:0").unwrap()
}

#[test]
fn everything_can_be_looked_at() {
    let gateway = Gateway::on_tcp();
    let server = server();
    let (status, _tunnel) = gateway.connect(server.local_addr().unwrap());
    assert_eq!(status, 200);
    assert_eq!(gateway.connect("127.0.0.3:80".parse().unwrap()).0, 403);

    let text = gateway.said(&["status"]);
    for part in [
        "ready, version",
        "generation  1 (from files)",
        "egress",
        "allowed  denied",
        "connections  ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let counts = &gateway.json(&["status"])["traffic"]["counts"];
    assert_eq!(
        (&counts["allowed"], &counts["denied"]),
        (&1.into(), &1.into())
    );
    let open = gateway.said(&["connections"]);
    assert!(
        open.contains(&server.local_addr().unwrap().to_string()),
        "{open}"
    );
    let denials = gateway.said(&["denials"]);
    assert!(
        denials.contains("127.0.0.3:80") && denials.contains("address-floor"),
        "{denials}"
    );
    assert!(gateway.said(&["decisions", "--limit", "1"]).lines().count() == 2);
    assert!(gateway.said(&["policies"]).contains("egress"));
    assert_eq!(gateway.said(&["shadow"]), "no candidate watches\n");
    assert!(gateway.json(&["config"])["limits"].is_object());
    lines_up(&gateway.said(&["policies"]), "source");
}

/// A column begins at the same place in every line.
fn lines_up(table: &str, column: &str) {
    let mut lines = table.lines();
    let at = lines.next().unwrap().find(column).unwrap();
    for line in lines {
        assert!(
            line.is_char_boundary(at) && line[..at].ends_with("  "),
            "{table}"
        );
    }
}

#[test]
fn a_policy_is_swapped_gone_back_to_and_read_again() {
    let gateway = Gateway::on_unix();
    let server = server();
    let connects = || gateway.connect(server.local_addr().unwrap()).0;
    assert_eq!(connects(), 200);
    let denying = gateway.file("denying.toml", "[networks]\ndeny = [\"127.0.0.2/32\"]\n");
    let text = gateway.said(&["swap", "--settings", &denying]);
    assert!(text.starts_with("generation 2 is active\n"), "{text}");
    assert_eq!(connects(), 403);
    let text = gateway.said(&["swap", "--settings", &denying]);
    assert!(
        text.starts_with("generation 2 was active already\n"),
        "{text}"
    );
    assert!(
        gateway
            .said(&["rollback"])
            .starts_with("generation 3 is active\n")
    );
    assert_eq!(connects(), 200);
    assert!(
        gateway
            .said(&["rollback", "2"])
            .starts_with("generation 4 is active\n")
    );
    assert_eq!(connects(), 403);
    gateway.said(&["reload"]);
    assert_eq!(connects(), 200);

    let wrong = gateway.file("wrong.toml", "no-such-setting = 1\n");
    let output = gateway.ask(&["swap", "--settings", &wrong]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    let told = show(&output);
    assert!(
        told.contains("policy-unloadable") && told.contains("hint: "),
        "{told}"
    );
    assert!(
        gateway
            .said(&["status"])
            .contains("the last change was refused at load")
    );
    let wasm = gateway.file("no.wasm", "no component");
    let output = gateway.ask(&["swap", "--policy", &wasm]);
    assert!(
        show(&output).contains("policy-unverified"),
        "{}",
        show(&output)
    );
    assert_eq!(connects(), 200, "what was active stays");
}

#[test]
fn a_candidate_watches_and_is_promoted() {
    let gateway = Gateway::on_unix();
    let server = server();
    let address = server.local_addr().unwrap();
    let denying = gateway.file("denying.toml", "[networks]\ndeny = [\"127.0.0.2/32\"]\n");
    let text = gateway.said(&["shadow", "start", "--settings", &denying]);
    assert!(text.starts_with("a candidate watches: egress "), "{text}");
    assert_eq!(gateway.connect(address).0, 200);
    let end = Instant::now() + PATIENCE;
    while gateway.json(&["shadow"])["compared"] != 1 {
        assert!(Instant::now() < end, "{}", gateway.said(&["shadow"]));
    }
    let text = gateway.said(&["shadow"]);
    assert!(text.contains("stricter in 1"), "{text}");
    gateway.said(&["shadow", "promote"]);
    assert_eq!(gateway.connect(address).0, 403);
    let output = gateway.ask(&["shadow", "stop"]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
}

#[test]
fn a_connection_is_closed_and_the_gateway_drained() {
    let mut gateway = Gateway::on_unix();
    let server = server();
    let (_, mut tunnel) = gateway.connect(server.local_addr().unwrap());
    let id = gateway.json(&["connections"])["connections"][0]["request_id"].clone();
    gateway.said(&["close", id.as_str().unwrap()]);
    assert_eq!(tunnel.read(&mut [0]).unwrap_or(0), 0);
    let output = gateway.ask(&["close", "0-0"]);
    assert!(show(&output).contains("not-open"), "{}", show(&output));
    let (_, tunnel) = gateway.connect(server.local_addr().unwrap());
    gateway.said(&["drain"]);
    let end = Instant::now() + PATIENCE;
    while !show(&gateway.ask(&["status"])).contains("draining, ") {
        assert!(Instant::now() < end, "{}", gateway.said(&["status"]));
    }
    assert_eq!(gateway.ask(&["status"]).status.code(), Some(1));
    drop(tunnel);
    assert!(gateway.child.wait().unwrap().success());
}

#[test]
fn who_proves_nothing_changes_nothing() {
    let gateway = Gateway::on_tcp();
    let token = gateway
        .folder
        .path()
        .join("token")
        .to_str()
        .unwrap()
        .to_owned();
    let wrong = gateway.file("wrong", &"x".repeat(40));
    let table = [
        (
            "no token",
            &["reload"][..],
            1,
            "proof-missing",
            "--token-file FILE",
        ),
        (
            "a wrong one",
            &["reload", "--token-file", &wrong],
            1,
            "token-wrong",
            "admin.token_file",
        ),
        (
            "a wrong one, reading",
            &["status", "--token-file", &wrong],
            1,
            "token-wrong",
            "admin.token_file",
        ),
        (
            "the right one",
            &["reload", "--token-file", &token],
            0,
            "generation 1",
            "",
        ),
        (
            "no file",
            &["status", "--token-file", "/none"],
            2,
            "/none",
            "",
        ),
    ];
    for (row, args, code, part, hint) in table {
        let output = gateway.ask(args);
        let told = show(&output);
        assert_eq!(output.status.code(), Some(code), "{row}: {told}");
        assert!(told.contains(part) && told.contains(hint), "{row}: {told}");
    }
}

#[test]
fn what_is_wrong_says_what_to_do() {
    let gateway = Gateway::on_tcp();
    let proxy = gateway.proxy.to_string();
    let (closed, folder) = (server(), tempfile::tempdir().unwrap());
    let nobody = format!("127.0.0.2:{}", closed.local_addr().unwrap().port());
    drop(closed);
    let none = format!("unix:{}/none.sock", folder.path().display());
    let tls = gateway.admin.replace("http://", "https://");
    let table = [
        ("nobody", &*nobody, "is the gateway running?"),
        ("no socket", &none, "is the gateway running?"),
        (
            "the proxy itself",
            &proxy,
            "not that of a listener of the proxy",
        ),
        ("TLS without an authority", &tls, "--cacert"),
        ("a name", "gateway.example:4751", "unix:PATH"),
    ];
    for (row, admin, hint) in table {
        let output = run(["gateway", "--admin", admin, "status"]);
        let told = show(&output);
        assert_eq!(output.status.code(), Some(2), "{row}: {told}");
        assert!(told.contains(hint), "{row}: {told}");
        assert!(output.stdout.is_empty(), "{row}");
    }
    for (row, args, part) in [
        (
            "nothing to swap",
            &["swap"][..],
            "neither a policy nor settings",
        ),
        ("no id", &["close", "../policies"], "no request id"),
        (
            "two policies",
            &["swap", "--policy", "x", "--shipped"],
            "cannot be used with",
        ),
    ] {
        let output = gateway.ask(args);
        assert_eq!(output.status.code(), Some(2), "{row}");
        assert!(show(&output).contains(part), "{row}: {}", show(&output));
    }
}

/// What a client of the proxy wrote moves no terminal of an operator.
#[test]
fn a_hostile_name_stays_text() {
    let gateway = Gateway::on_tcp();
    let mut stream = TcpStream::connect(gateway.proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"GET http://a\xc2\x9b31m.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    for args in [&["denials"][..], &["denials", "--json"]] {
        let text = gateway.said(args);
        assert!(text.contains("refused"), "{text}");
        let harmless = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(harmless), "{text:?}");
    }
}
