//! `pinfold fetch`, against servers on loopback that a grant opens.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use crate::support::{pinfold, refused, run, run_with_input, show, told};

/// What a request looked like: its head, line by line, and its body.
struct Seen {
    head: Vec<String>,
    body: Vec<u8>,
}

/// A server that gives each connection in turn one of these responses, then is gone.
struct Server {
    address: SocketAddr,
    seen: Receiver<Seen>,
}

impl Server {
    fn start<R: Into<Vec<u8>>>(responses: impl IntoIterator<Item = R>) -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let responses = responses
            .into_iter()
            .map(Into::into)
            .collect::<Vec<Vec<u8>>>();
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            for response in responses {
                let (stream, _) = listener.accept().unwrap();
                sender.send(answer(stream, &response)).unwrap();
            }
        });
        Self { address, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Fetches with a grant for this server alone.
    fn fetch(&self, args: &[&str]) -> Output {
        let grant = self.address.to_string();
        run([&["fetch", "--grant", &grant][..], args].concat())
    }
}

fn answer(stream: TcpStream, response: &[u8]) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let length = head.iter().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let mut stream = reader.into_inner();
    // The client may hang up early: that is what some tests are about.
    let _ = stream.write_all(response);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 1]);
    Seen { head, body }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_body_goes_to_standard_output_and_nothing_else() {
    let server = Server::start([ok("hello")]);
    let output = server.fetch(&[&server.url("/a?b=c")]);
    assert_eq!(show(&output), "exit: 0\n--- stdout\nhello");
    let seen = server.seen.recv().unwrap();
    assert_eq!(seen.head[0], "GET /a?b=c HTTP/1.1");
}

#[test]
fn bytes_are_not_changed_on_the_way() {
    let bytes = [&b"\x1b[31m\0\xff"[..], &(0..=255).collect::<Vec<u8>>()].concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    let server = Server::start([[head.as_bytes(), &bytes].concat()]);
    assert_eq!(server.fetch(&[&server.url("/")]).stdout, bytes);
}

#[test]
fn without_a_grant_the_same_server_is_denied_and_never_reached() {
    let server = Server::start([ok("secret")]);
    let output = run(["fetch", &server.url("/")]);
    let error = refused(&output);
    assert!(
        error.starts_with("error: denied at stage `address` by `address-floor`"),
        "{error}"
    );
    assert!(error.contains("\n\nhint: "), "{error}");
    assert!(server.seen.try_recv().is_err(), "no connection was made");
}

#[test]
fn a_redirect_to_the_inside_is_denied() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.3/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start([redirect]);
    let output = server.fetch(&["-v", &server.url("/")]);
    let text = show(&output).replace(&server.address.to_string(), "[SERVER]");
    insta::assert_snapshot!(text, @r#"
    exit: 1
    --- stderr
    * http://[SERVER] (policy `egress` generation 1)
    * 127.0.0.2  loopback, granted  allowed
    * allowed, connected to [SERVER]
    * redirect 1 from http://[SERVER] to http://127.0.0.3:80 (policy `egress` generation 1)
    * 127.0.0.3  loopback  denied by `address-floor`: 127.0.0.3 is a loopback address
    * denied by `address-floor`: 127.0.0.3 is a loopback address
    * GET http://[SERVER]/ answered 302 Found
    error: redirect 1 from http://[SERVER]/ to http://127.0.0.3/: denied at stage `address` by `address-floor`: 127.0.0.3 is a loopback address

    hint: an operator may grant it (`--grant 127.0.0.3:80`)
    "#);
}

#[test]
fn what_was_fetched_is_recorded_hop_by_hop_and_replayed() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.3/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start([redirect]);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.jsonl");
    let log = log.to_str().unwrap();
    let output = server.fetch(&["--record", log, &server.url("/a?b=c")]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    let text = std::fs::read_to_string(log).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let hops: Vec<_> = records
        .map(|record| {
            let request = &record["input"]["request"];
            let parts = [
                &record["verdict"],
                &request["hop"],
                &request["target"]["query"],
            ];
            parts.map(ToString::to_string).join(" ")
        })
        .collect();
    assert_eq!(hops, [r#""allow" 0 "b=c""#, r#""deny" 1 null"#]);
    insta::assert_snapshot!(show(&run(["replay", log])), @r#"
    exit: 0
    --- stdout
    2 records: 1 identical, 0 differ
      1 not replayed: refused before a policy was asked
    "#);
}

/// What is refused before its target is known is a redirect all the same.
#[test]
fn a_redirect_that_says_nonsense_is_told() {
    for (location, code) in [
        ("http://[::1", "url-invalid"),
        ("http:127.0.0.3", "url-ambiguous"),
        ("ftp://127.0.0.2/", "scheme-unsupported"),
    ] {
        let redirect =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start([redirect]);
        let output = server.fetch(&[&server.url("/a")]);
        assert_eq!(output.status.code(), Some(1));
        let error = told(&output);
        let begin = format!("error: redirect 1 from {}", server.url("/a"));
        assert!(error.starts_with(&begin) && error.contains(code), "{error}");
    }
}

#[test]
fn one_redirect_too_many_says_which_option_to_raise() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::start([redirect, redirect]);
    let output = server.fetch(&["--max-redirects", "1", &server.url("/")]);
    let error = told(&output);
    assert!(error.starts_with("error: redirect 2 from "), "{error}");
    assert!(error.contains("`--max-redirects`"), "{error}");
}

#[test]
fn a_redirect_is_followed_and_told() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::start([redirect.to_owned(), ok("there")]);
    let output = server.fetch(&["-v", &server.url("/here")]);
    assert_eq!(output.stdout, b"there", "{}", show(&output));
    let lines = told(&output);
    let lines = lines.replace(&server.address.to_string(), "[SERVER]");
    insta::assert_snapshot!(lines, @r#"
    * http://[SERVER] (policy `egress` generation 1)
    * 127.0.0.2  loopback, granted  allowed
    * allowed, connected to [SERVER]
    * redirect 1 from http://[SERVER] to http://[SERVER] (policy `egress` generation 1)
    * 127.0.0.2  loopback, granted  allowed
    * allowed, connected to [SERVER]
    * GET http://[SERVER]/here answered 302 Found
    * GET http://[SERVER]/there answered 200 OK
    "#);
}

#[test]
fn with_no_redirects_left_the_redirect_is_the_response() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 4\r\n\r\nmore";
    let server = Server::start([redirect]);
    let output = server.fetch(&["--max-redirects", "0", "-i", &server.url("/")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("HTTP/1.1 302 Found\r\n"), "{text}");
    assert!(
        text.contains("location: /there\r\n") && text.ends_with("\r\n\r\nmore"),
        "{text}"
    );
}

#[test]
fn a_name_is_connected_to_at_the_address_that_was_judged() {
    let server = Server::start([ok("named")]);
    let port = server.address.port();
    let output = server.fetch(&[
        "--resolve",
        "app.example=127.0.0.2",
        &format!("http://app.example:{port}/"),
    ]);
    assert_eq!(show(&output), "exit: 0\n--- stdout\nnamed");
    let host = format!("host: app.example:{port}");
    let seen = server.seen.recv().unwrap();
    assert!(
        seen.head.iter().any(|line| line.to_lowercase() == host),
        "{:?}",
        seen.head
    );
}

#[test]
fn data_is_posted_with_headers() {
    let server = Server::start([ok("")]);
    let output = server.fetch(&["-d", "a=1", "-H", "X-Trace: 7", &server.url("/")]);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    let Seen { head, body } = server.seen.recv().unwrap();
    let head = head
        .iter()
        .map(|line| line.to_lowercase())
        .collect::<Vec<_>>();
    assert_eq!(head[0], "post / http/1.1");
    assert!(head.contains(&"x-trace: 7".into()), "{head:?}");
    assert!(
        head.contains(&"content-type: application/x-www-form-urlencoded".into()),
        "{head:?}"
    );
    assert_eq!(body, b"a=1");
}

#[test]
fn a_file_is_sent_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    std::fs::write(&file, b"a\r\n\0b\n").unwrap();
    let server = Server::start([ok("")]);
    let data = format!("@{}", file.display());
    server.fetch(&["-X", "put", "-d", &data, &server.url("/")]);
    let seen = server.seen.recv().unwrap();
    assert_eq!(seen.head[0], "PUT / HTTP/1.1");
    assert_eq!(seen.body, b"a\r\n\0b\n");
}

#[test]
fn only_the_head_is_fetched() {
    let server = Server::start(["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]);
    let output = server.fetch(&["-I", "-i", &server.url("/")]);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert_eq!(server.seen.recv().unwrap().head[0], "HEAD / HTTP/1.1");
    assert_eq!(
        output.stdout,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    );
}

#[test]
fn a_file_is_written_whole_or_kept_as_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let path = file.to_str().unwrap();
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let server = Server::start([ok("whole"), short.into()]);

    let output = server.fetch(&["-o", path, &server.url("/")]);
    assert_eq!(show(&output), "exit: 0\n");
    assert_eq!(std::fs::read(&file).unwrap(), b"whole");

    let output = server.fetch(&["-o", path, &server.url("/")]);
    assert_eq!(output.status.code(), Some(1));
    let error = told(&output);
    let (_, part) = error.split_once("kept the first 4 bytes in `").unwrap();
    let part = part.trim_end().trim_end_matches('`');
    assert!(
        part.starts_with(&format!("{path}.")) && part.ends_with(".part"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"whole");
    assert_eq!(std::fs::read(part).unwrap(), b"half");
}

#[test]
fn a_dash_is_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start([ok("hello")]);
    let (grant, url) = (server.address.to_string(), server.url("/"));
    let mut command = pinfold(["fetch", "--grant", &grant, "-o", "-", &url]);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert_eq!(show(&output), "exit: 0\n--- stdout\nhello");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn standard_input_is_sent() {
    let server = Server::start([ok("")]);
    let (grant, url) = (server.address.to_string(), server.url("/"));
    let output = run_with_input(&["fetch", "--grant", &grant, "-d", "@-", &url], "a\nb");
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert_eq!(server.seen.recv().unwrap().body, b"a\nb");
}

#[test]
fn a_refused_url_does_not_wait_for_its_body() {
    for (url, code) in [
        ("http://127.0.0.3/", "address-floor"),
        ("http://10.0.0.1/", "address-not-public"),
        ("http://db.internal/", "name-special-use"),
        ("http://[::1", "url-invalid"),
    ] {
        let output = fetch_with_open_input(&["-v", "-d", "@-", url]);
        let error = refused(&output);
        assert!(error.contains(code), "{url}: {error}");
        assert_eq!(
            error.contains("(policy `egress`"),
            code != "url-invalid",
            "{error}"
        );
    }
}

#[test]
fn the_budget_of_time_covers_the_body_that_is_sent() {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}/");
    let args = ["--grant", &address, "--max-time", "0.2", "-d", "@-", &url];
    let output = fetch_with_open_input(&args);
    let error = refused(&output);
    assert!(
        error.contains("failed at stage `exchange` by `deadline-exceeded`"),
        "{error}"
    );
    assert!(error.contains("hint: raise `--max-time`"), "{error}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "no connection was made");
}

/// Runs `fetch` with a standard input that never ends.
fn fetch_with_open_input(args: &[&str]) -> Output {
    let start = Instant::now();
    let mut child = pinfold([&["fetch"][..], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    output
}

#[test]
fn a_denied_fetch_touches_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    let output = run(["fetch", "-o", file.to_str().unwrap(), "http://127.0.0.3/"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_budget_of_bytes_ends_the_transfer() {
    let server = Server::start([ok(&"x".repeat(5000))]);
    let output = server.fetch(&["--max-bytes", "1k", &server.url("/")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.len() <= 1024);
    let error = told(&output);
    assert!(error.contains("`response-too-large`"), "{error}");
    assert!(error.contains("hint: raise `--max-bytes`"), "{error}");
}

#[test]
fn a_budget_of_time_ends_the_wait() {
    let silent = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let start = Instant::now();
    let output = run([
        "fetch",
        "--grant",
        &address,
        "--max-time",
        "0.3",
        &format!("http://{address}/"),
    ]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(output.status.code(), Some(1));
    let error = told(&output);
    assert!(error.contains("`deadline-exceeded`"), "{error}");
}

#[test]
fn an_error_status_fails_when_asked() {
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone";
    let server = Server::start([missing, missing]);
    let output = server.fetch(&[&server.url("/")]);
    assert_eq!(show(&output), "exit: 0\n--- stdout\ngone");
    let output = server.fetch(&["-f", &server.url("/")]);
    insta::assert_snapshot!(show(&output), @r#"
    exit: 1
    --- stderr
    error: the server answered `404 Not Found`

    hint: without `--fail` the body is written all the same
    "#);
}

#[test]
fn what_is_never_sent_is_an_error_of_usage() {
    for args in [
        &["-H", "Host: other.example", "http://127.0.0.3/"][..],
        &["-X", "CONNECT", "http://127.0.0.3/"],
        &["-H", "no colon", "http://127.0.0.3/"],
        &["-d", "@/nonexistent/data", "http://127.0.0.3/"],
        &["--cacert", "/nonexistent/ca.pem", "https://127.0.0.3/"],
    ] {
        let output = run([&["fetch"][..], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", show(&output));
    }
}

#[test]
fn a_refused_connection_fails() {
    let address = {
        let closed = TcpListener::bind("127.0.0.2:0").unwrap();
        closed.local_addr().unwrap().to_string()
    };
    let output = run(["fetch", "--grant", &address, &format!("http://{address}/")]);
    assert_eq!(output.status.code(), Some(1));
    let error = told(&output);
    assert!(
        error.starts_with("error: failed at stage `connect` by `connect-failed`"),
        "{error}"
    );
}

#[test]
fn environment_proxies_are_ignored() {
    let server = Server::start([ok("direct")]);
    let grant = server.address.to_string();
    let mut command = pinfold(["fetch", "--grant", &grant, &server.url("/")]);
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://127.0.0.3:1/");
    }
    assert_eq!(
        show(&command.output().unwrap()),
        "exit: 0\n--- stdout\ndirect"
    );
}
