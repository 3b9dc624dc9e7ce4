//! `pinfold serve` and `pinfold credential`: the real binary, on loopback.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of a proxy are not judged: they are in the tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use super::support::{filter, pinfold, repository, run, run_with_input, show, shown};

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that runs, and what it has said.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Served {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = pinfold(["serve"].iter().chain(args))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for a line that holds this, and returns it.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("`{part}` was not said:\n{}", self.said.join("\n"));
    }

    /// The lines that were waited for, and those before them.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }

    /// Where its first listener is.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.wait_for("listener ");
        let address = line.split_whitespace().nth(1).unwrap();
        address.parse().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit code, and everything that it has said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.said.extend(self.lines.iter());
        (code, self.said.join("\n"))
    }
}

/// Nothing is left when a test fails.
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status line and the fields of an answer to `CONNECT`.
pub(crate) fn connect(proxy: SocketAddr, to: SocketAddr, fields: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{head:?}");
        head.extend(byte);
    }
    (stream, String::from_utf8(head).unwrap())
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

/// Ports that were chosen are `PORT`.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut shown = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        shown.push_str("127.0.0.1:PORT");
        shown.push_str(rest);
    }
    shown
}

/// The beginning of the digest of the shipped policy is `DIGEST`.
fn without_digests(text: &str) -> String {
    let mut shown = text.to_owned();
    while let Some(at) = shown
        .find("egress (")
        .filter(|at| !shown[at + 8..].starts_with("DIGEST"))
    {
        shown.replace_range(at + 8..at + 20, "DIGEST");
    }
    shown
}

#[test]
fn without_a_file_it_is_a_proxy_that_says_what_it_does_and_refuses_the_inside() {
    let inside = TcpListener::bind("127.0.0.3:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let mut served = Served::start(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let proxy = served.address();
    let (_, head) = connect(proxy, inside.local_addr().unwrap(), "");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(
        head.to_lowercase().contains("\r\npinfold-reason: address-"),
        "{head}"
    );
    assert!(inside.accept().is_err(), "nobody was led inside");
    served.wait_for("Change it:");
    served.signal("-TERM");
    let (code, said) = served.end();
    assert_eq!(code, Some(0), "{said}");
    let said = without_digests(&without_ports(&said));
    let took = said.rfind("drained in").unwrap();
    insta::assert_snapshot!(&said[..took], @r"
    Pinfold gateway 0.1.0
      listener   127.0.0.1:PORT (proxy): HTTP and SOCKS5; nobody is asked for a name
      operators  http://127.0.0.1:PORT/ (status page, /metrics)
      policy     egress (DIGEST)
      refused    every address that is not public: loopback, private networks, link-local, cloud metadata
      decisions  to standard output, a line of JSON for each

    Try it:
      curl -x http://127.0.0.1:PORT https://example.com/
      curl -x http://127.0.0.1:PORT http://169.254.169.254/      (refused: cloud metadata)
      export http_proxy=http://127.0.0.1:PORT https_proxy=http://127.0.0.1:PORT
      export HTTP_PROXY=$http_proxy HTTPS_PROXY=$https_proxy
    Change it:
      pinfold serve --print-defaults > gateway.toml && pinfold serve gateway.toml

    draining: no connection is accepted; a second signal ends at once
    ");
}

#[test]
fn a_configuration_that_breaks_while_it_runs_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = "admin = {enabled = false}\n[[listener]]\nbind = \"127.0.0.1:0\"\n";
    let file = write(folder.path(), "gateway.toml", good);
    let mut served = Served::start(&[file.to_str().unwrap()]);
    let proxy = served.address();
    served.wait_for("decisions ");
    fs::write(&file, "drian = \"5s\"").unwrap();
    served.signal("-HUP");
    served.wait_for("there is no key `drian` here");
    served.wait_for("everything stays as it was");
    assert!(TcpStream::connect(proxy).is_ok());
    fs::write(&file, format!("drain = \"5s\"\n{good}")).unwrap();
    served.signal("-HUP");
    served.wait_for("reading everything again");
    served.signal("-INT");
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = TcpListener::bind("127.0.0.2:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = "
        drain = \"10m\"
        admin = {enabled = false}
        floor = {grants = [\"127.0.0.2/32\"]}
        [[listener]]
        bind = \"127.0.0.1:0\"
    ";
    let file = write(folder.path(), "gateway.toml", config);
    let mut served = Served::start(&[file.to_str().unwrap()]);
    let proxy = served.address();
    served.wait_for("warning: the floor is open towards 127.0.0.2");
    let (_tunnel, head) = connect(proxy, server.local_addr().unwrap(), "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    served.signal("-TERM");
    served.wait_for("draining: ");
    served.signal("-TERM");
    let (code, said) = served.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("ended at once"), "{said}");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(["serve", "--listen", &address, "--admin", "off"]);
    insta::assert_snapshot!(without_ports(&show(&output)), @r"
    exit: 2
    --- stderr
    error: cannot listen on `127.0.0.1:PORT`: Address already in use (os error 98)

    hint: another process listens there: end it, or choose another `bind`
    ");
}

#[test]
fn a_credential_that_was_made_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(["credential", "jobs", "--bearer", "--generate"]);
    assert_eq!(made.status.code(), Some(0));
    let entry = String::from_utf8(made.stdout).unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    let token = told.trim().rsplit(' ').next().unwrap();
    assert!(!entry.contains(token));
    write(folder.path(), "credentials.toml", &entry);
    let config = "
        admin = {enabled = false}
        [[listener]]
        bind = \"127.0.0.1:0\"
        identity = {ways = [\"bearer\"], required = true, credentials = \"credentials.toml\"}
    ";
    let file = write(folder.path(), "gateway.toml", config);
    let mut served = Served::start(&[file.to_str().unwrap()]);
    let proxy = served.address();
    let inside = "127.0.0.3:9".parse().unwrap();
    for (fields, status, reason) in [
        (String::new(), "407", "credentials-missing"),
        (
            "Proxy-Authorization: Bearer nonsense\r\n".into(),
            "407",
            "credentials-wrong",
        ),
        (
            format!("Proxy-Authorization: Bearer {token}\r\n"),
            "403",
            "address-",
        ),
    ] {
        let (_, head) = connect(proxy, inside, &fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let head = head.to_lowercase();
        assert!(
            head.contains(&format!("pinfold-reason: {reason}")),
            "{head}"
        );
        assert_eq!(
            head.contains("proxy-authenticate: bearer "),
            status == "407",
            "{head}"
        );
    }
    served.signal("-TERM");
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn secrets_are_read_from_standard_input_and_only_hashes_are_printed() {
    let hashed = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for line in &mut lines {
            if let Some(at) = line.find("p=1$") {
                line.truncate(at + 4);
                line.push_str("[SALT]$[HASH]\"");
            }
        }
        filter(&lines.join("\n"))
    };
    let made = |args: &[&str], input: &str| {
        let args: Vec<_> = ["credential"].iter().chain(args).copied().collect();
        hashed(&show(&run_with_input(&args, input)))
    };
    insta::assert_snapshot!(made(&["web"], "correct horse battery\n"), @r#"
    exit: 0
    --- stdout
    [[credential]]
    subject = "web"
    kind = "basic"
    hash = "$argon2id$v=19$m=19456,t=2,p=1$[SALT]$[HASH]"
    "#);
    let token = "0123456789abcdef0123456789abcdef\r\n";
    insta::assert_snapshot!(made(&["jobs", "--bearer", "--expires", "2999-01-31T00:00:00Z"], token), @r#"
    exit: 0
    --- stdout
    [[credential]]
    subject = "jobs"
    kind = "bearer"
    hash = "sha256:[DIGEST]"
    expires = 2999-01-31T00:00:00Z
    "#);
    insta::assert_snapshot!(made(&["web"], "short\n"), @r"
    exit: 2
    --- stderr
    error: a password has at least 12 bytes

    hint: `--generate` makes one that is fit
    ");
    insta::assert_snapshot!(made(&["web"], "correct horse battery\nand more\n"), @r"
    exit: 2
    --- stderr
    error: a password holds no control characters, such as a line feed

    hint: `--generate` makes one that is fit
    ");
    insta::assert_snapshot!(made(&["web", "--expires", "soon"], "correct horse battery"), @r"
    exit: 2
    --- stderr
    error: `soon` is no time

    hint: write it with an offset, such as `2027-01-31T00:00:00Z`
    ");
    insta::assert_snapshot!(made(&["web", "--generate", "--expires", "2001-01-31T00:00:00Z"], ""), @r"
    exit: 2
    --- stderr
    error: `2001-01-31T00:00:00Z` has passed

    hint: a credential that has ended lets nobody in: write a later time
    ");
    insta::assert_snapshot!(made(&["a:b", "--generate"], ""), @r"
    exit: 2
    --- stderr
    error: a name for `Basic` holds no colon

    hint: the name ends at its first colon: choose another, or make a token (`--bearer`)
    ");
    insta::assert_snapshot!(made(&["a\nb"], ""), @r"
    exit: 2
    --- stderr
    error: invalid value 'a
    b' for '<NAME>': the name of a subject holds a character that is not printed

    For more information, try '--help'.
    ");
}

#[test]
fn everything_is_tried_before_it_is_started() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "nonsense", "nonsense");
    let checked = |config: &str| {
        let file = write(folder.path(), "gateway.toml", config);
        let text = shown(&["serve", "--check", file.to_str().unwrap()]);
        let text = text.replace(folder.path().to_str().unwrap(), "DIR");
        without_digests(&text)
    };
    insta::assert_snapshot!(checked(""), @r"
    exit: 0
    --- stdout
    ok     configuration  DIR/gateway.toml
    ok     listener       127.0.0.1:4750 (proxy): HTTP and SOCKS5; nobody is asked for a name
    ok     certificates   no TLS
    ok     identities     nobody is asked for a name
    ok     operators      127.0.0.1:4751: no token, read only
    ok     policy         egress (DIGEST)
    ");
    insta::assert_snapshot!(checked("
        policy = {file = \"nonsense\"}
        admin = {token_file = \"nonsense\"}
        [[listener]]
        tls = {certificate = \"nonsense\", key = \"nonsense\"}
        identity = {ways = [\"basic\"], credentials = \"nonsense\"}
    "), @r"
    exit: 2
    --- stdout
    ok     configuration  DIR/gateway.toml
    ok     listener       127.0.0.1:4750 (proxy): HTTP and SOCKS5 under TLS; known by password, others too
    wrong  certificates   `DIR/nonsense`: holds no certificate in PEM
    wrong  identities     `DIR/nonsense`, line 1: key with no value, expected `=`
    wrong  operators      the token in `DIR/nonsense` has 8 characters, at least 32 are needed
    wrong  policy         not a component: WebAssembly begins with `\0asm`, these bytes do not
    --- stderr

    hint: give a WebAssembly component, for example made by `wasm-tools component new`
    ");
    insta::assert_snapshot!(checked("
        [[listener]]
        bind = \"0.0.0.0:4750\"
        identity = {ways = [\"mtls\"]}
        [limits]
        streams = 0
    "), @r"
    exit: 2
    --- stderr
    error: there are 2 problems in `DIR/gateway.toml`
      caused by: line 4, column 29: the way `mtls` needs certificates, and no `client_ca` says whose are good (add `tls.client_ca` to the listener, or take `mtls` out)
                 line 6, column 9: with `streams = 0` nobody is served (leave it out for its default, or write a number)

    hint: `pinfold serve --print-defaults` shows every key with its meaning
    ");
    insta::assert_snapshot!(checked("[limit]"), @r"
    exit: 2
    --- stderr
    error: `DIR/gateway.toml`, line 1, column 2: there is no key `limit` here

    hint: did you mean `limits`?
    ");
}

#[test]
fn what_is_checked_is_said_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    write(folder.path(), "credentials.toml", "");
    let row = |config: &str, what: &str| {
        let file = write(folder.path(), "gateway.toml", config);
        let text = shown(&["serve", "--check", file.to_str().unwrap()]).replace(place, "DIR");
        let row = text.lines().find(|line| line.contains(what));
        row.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let listener = |identity: &str| format!("[[listener]]\nidentity = {{{identity}}}");
    for (identity, said) in [
        (
            "ways = ['source'], networks = {'10.0.0.0/8' = 'a'}",
            "no file of credentials, no users: there is nothing to read",
        ),
        (
            "ways = ['basic'], credentials = 'credentials.toml'",
            "credentials are read",
        ),
    ] {
        let found = row(&listener(identity), "identities");
        assert_eq!(found, format!("ok     identities     {said}"));
    }
    for (admin, said) in [
        (
            "bind = 'unix:admin.sock'",
            "unix:DIR/admin.sock: who may open the socket",
        ),
        (
            "bind = '127.0.0.1:4799'",
            "127.0.0.1:4799: no token, read only",
        ),
    ] {
        let found = row(&format!("[admin]\n{admin}"), "operators");
        assert_eq!(found, format!("ok     operators      {said}"));
    }
}

/// On the machine where a configuration is written there is not yet what the service manager makes.
#[test]
fn folders_that_a_service_manager_makes_are_missed_at_the_start_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
        policy = {cache = \"var/cache/policies\"}
        admin = {bind = \"unix:run/admin.sock\"}
        [[listener]]
        bind = \"127.0.0.1:0\"
    ";
    let file = write(folder.path(), "gateway.toml", config);
    let file = file.to_str().unwrap();
    let place = folder.path().to_str().unwrap();
    let unmade = "a start needs it; a unit makes it with `RuntimeDirectory=`, `CacheDirectory=` or `LogsDirectory=`";
    let output = run(["serve", "--check", file]);
    let said = show(&output).replace(place, "DIR");
    assert_eq!(output.status.code(), Some(0), "{said}");
    for path in ["var/cache/policies", "run/admin.sock"] {
        let warning = format!("warning: the folder of `DIR/{path}` is not there: {unmade}");
        assert!(said.contains(&warning), "{said}");
    }
    let output = run(["serve", file]);
    let said = show(&output).replace(place, "DIR");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there are 2 problems in `DIR/gateway.toml`"),
        "{said}"
    );
}

#[test]
fn settings_that_are_refused_are_named_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let config = "policy = {settings = \"settings.toml\"}";
    let file = write(folder.path(), "gateway.toml", config);
    let checked = |settings: &str| {
        write(folder.path(), "settings.toml", settings);
        shown(&["serve", "--check", file.to_str().unwrap()]).replace(place, "DIR")
    };
    let said = checked("[hosts]\nprots = []");
    assert!(
        said.contains(
            "wrong  policy         `DIR/settings.toml`: settings refused: `/hosts/prots`: "
        ),
        "{said}"
    );
    let said = checked("[networks]\nallow = ['127.0.0.0/8']");
    assert!(
        said.ends_with(
            "hint: leave it out of `networks.allow`: a grant in `floor.grants` is enough\n"
        ),
        "{said}"
    );
}

#[test]
fn a_policy_that_fails_its_vectors_would_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let vectors =
        "[[case]]\nname = \"inside\"\nurl = \"http://10.0.0.1/\"\nexpect = {verdict = \"allow\"}";
    write(folder.path(), "vectors.toml", vectors);
    let config = "policy = {vectors = [\"vectors.toml\"]}";
    let file = write(folder.path(), "gateway.toml", config);
    for args in [
        &["--check"][..],
        &["--listen", "127.0.0.1:0", "--admin", "off"],
    ] {
        let output = run([&["serve", file.to_str().unwrap()][..], args].concat());
        let said = show(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("1 of 1 vectors failed: `inside`"), "{said}");
    }
}

#[test]
fn the_examples_would_start() {
    let folder = tempfile::tempdir().unwrap();
    let examples = repository().join("examples/gateway");
    for name in [
        "gateway.toml",
        "container.toml",
        "settings.toml",
        "credentials.toml",
    ] {
        let text = fs::read_to_string(examples.join(name)).unwrap();
        let place = folder.path().to_str().unwrap();
        let text = text
            .replace("/run/pinfold", place)
            .replace("/var/cache/pinfold", place);
        write(folder.path(), name, &text);
    }
    for name in ["gateway.toml", "container.toml"] {
        let file = folder.path().join(name);
        let output = run(["serve", "--check", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", show(&output));
    }
}

#[test]
fn the_units_start_what_there_is() {
    let unit =
        |name: &str| fs::read_to_string(repository().join("examples/gateway").join(name)).unwrap();
    let (service, socket) = (unit("pinfold.service"), unit("pinfold.socket"));
    let config = unit("gateway.toml");
    for line in service.lines().filter(|line| line.starts_with("ExecStart")) {
        assert!(line.contains("=/usr/bin/pinfold serve "), "{line}");
    }
    assert!(socket.contains("\nFileDescriptorName=proxy\n"));
    assert!(config.contains("bind = \"systemd:proxy\""));
    // A policy is compiled in the process: with the setting on, none could be loaded.
    assert!(service.contains("\nMemoryDenyWriteExecute=no\n"));
    assert!(service.contains("\nNoNewPrivileges=yes\n"));
}

#[test]
fn the_schema_and_the_defaults_are_printed() {
    let schema = run(["serve", "--print-schema"]).stdout;
    let committed = fs::read(repository().join("docs/gateway.schema.json")).unwrap();
    assert!(schema == committed);
    let folder = tempfile::tempdir().unwrap();
    let defaults = String::from_utf8(run(["serve", "--print-defaults"]).stdout).unwrap();
    let file = write(folder.path(), "gateway.toml", &defaults);
    let output = run(["serve", "--check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
}

#[test]
fn options_that_contradict_the_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let two = write(
        folder.path(),
        "two.toml",
        "[[listener]]\n[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:4760\"",
    );
    let chain = write(
        folder.path(),
        "chain.toml",
        "[[policy.layer]]\nname = \"a\"",
    );
    let two = two.to_str().unwrap();
    let chain = chain.to_str().unwrap();
    insta::assert_snapshot!(shown(&["serve", two, "--listen", "127.0.0.1:0"]), @r"
    exit: 2
    --- stderr
    error: `--listen` is for the only listener, and the configuration has several

    hint: change `bind` in the configuration
    ");
    insta::assert_snapshot!(shown(&["serve", chain, "--settings", "a.toml"]), @r"
    exit: 2
    --- stderr
    error: `--policy` and `--settings` are of one policy, and the configuration has a chain

    hint: change the layers in the configuration
    ");
    insta::assert_snapshot!(shown(&["serve", "--listen", "127.0.0.1:4751"]), @r"
    exit: 2
    --- stderr
    error: the listener `proxy` and the one for operators are both at `127.0.0.1:4751`

    hint: give each its own `bind`
    ");
    insta::assert_snapshot!(shown(&["serve", "--admin", "0.0.0.0:4751"]), @r"
    exit: 2
    --- stderr
    error: operators would be let in from everywhere, whoever they are

    hint: bind to loopback or a Unix socket, or add `token_file` or `tls` with a `client_ca`
    ");
    insta::assert_snapshot!(shown(&["serve", "--listen", "localhost:80"]), @r"
    exit: 2
    --- stderr
    error: invalid value 'localhost:80' for '--listen <BIND>': write `127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME`

    For more information, try '--help'.
    ");
}
