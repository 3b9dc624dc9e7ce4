//! The end of a gateway under load, and its successor: what was accepted ends well, and nobody is turned away between
//! the two.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of a proxy are not judged: they are in the tests"
)]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use super::serve::{PATIENCE, Served, connect, write};

/// A server that does this with each connection, on a thread of its own.
fn server(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Answers slowly, in pieces, after it has read the body.
fn slow() -> SocketAddr {
    server(|mut stream| {
        let Ok(head) = head(&mut stream) else { return };
        let mut body = vec![0; length(&head)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
        for _ in 0..5 {
            sleep(Duration::from_millis(100));
            let _ = stream.write_all(&[b'x'; 100]);
        }
    })
}

fn echo() -> SocketAddr {
    server(|stream| {
        let mut write = stream.try_clone().unwrap();
        let _ = io::copy(&mut &stream, &mut write);
    })
}

/// Everything up to an empty line.
fn head(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

fn length(head: &str) -> usize {
    let head = head.to_lowercase();
    let field = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    field.map_or(0, |length| length.parse().unwrap())
}

/// The configuration of a gateway that may reach the servers of a test.
fn config(folder: &Path, bind: &str, more: &str) -> String {
    let log = folder.join("log.jsonl");
    let text = format!(
        "drain = \"20s\"\nadmin = {{enabled = false}}\nfloor = {{grants = [\"127.0.0.2/32\"]}}\nrecords.log.to = \"file:{}\"\n\
         [[listener]]\nbind = \"{bind}\"\n{more}",
        log.display()
    );
    let name = format!("{}.toml", bind.replace(':', "-"));
    write(folder, &name, &text).display().to_string()
}

/// An answer, or why there is none.
fn answer(stream: &mut TcpStream) -> io::Result<usize> {
    let head = head(stream)?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = vec![0; length(&head)];
    stream.read_exact(&mut body)?;
    Ok(body.len())
}

/// A request that is slow in both directions: its upload takes half a second, its answer as long.
fn exchange(stream: &mut TcpStream, to: SocketAddr) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST http://{to}/ HTTP/1.1\r\nHost: {to}\r\nContent-Length: 500\r\n\r\n"
    )?;
    for _ in 0..5 {
        stream.write_all(&[b'y'; 100])?;
        sleep(Duration::from_millis(100));
    }
    assert_eq!(answer(stream)?, 500);
    Ok(())
}

/// A tunnel that says something for a second.
fn converse(stream: &mut TcpStream) -> io::Result<()> {
    for number in 0..20_u8 {
        stream.write_all(&[number; 1000])?;
        let mut heard = [0; 1000];
        stream.read_exact(&mut heard)?;
        assert_eq!(heard, [number; 1000]);
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Clients that go on until they are stopped, or nobody accepts them any more.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<io::Result<()>>>,
}

impl Load {
    fn start(count: usize, round: impl Fn() -> io::Result<bool> + Send + Sync + 'static) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let round = Arc::new(round);
        let client = |_| {
            let (stop, served, round) =
                (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&round));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) && round()? {
                    served.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        };
        let clients = (0..count).map(client).collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// Waits for so many.
    fn reached(&self, count: usize) {
        let began = Instant::now();
        while self.served() < count {
            assert!(began.elapsed() < PATIENCE, "{} of {count}", self.served());
            sleep(Duration::from_millis(10));
        }
    }

    /// How many were served, and how many clients failed.
    fn end(self) -> (usize, Vec<io::Error>) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        let failed = ended.filter_map(Result::err).collect();
        (self.served.load(Ordering::SeqCst), failed)
    }
}

#[test]
fn what_was_accepted_ends_well_when_the_gateway_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, echo) = (slow(), echo());
    let mut served = Served::start(&[&config(folder.path(), "127.0.0.1:0", "")]);
    let proxy = served.address();
    served.wait_for("decisions ");
    let ending = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ending);
    // Who came before the end was told is answered; who comes later may find nobody.
    let round = move |one: &dyn Fn(&mut TcpStream) -> io::Result<()>| {
        let connected = TcpStream::connect(proxy);
        let early = !told.load(Ordering::SeqCst);
        match connected.and_then(|mut stream| one(&mut stream)) {
            Ok(()) => Ok(true),
            Err(_) if !early => Ok(false),
            Err(error) => Err(error),
        }
    };
    let again = round.clone();
    let exchanges = Load::start(12, move || round(&|stream| exchange(stream, slow)));
    let tunnels = Load::start(12, move || {
        again(&|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "CONNECT {echo} HTTP/1.1\r\n\r\n")?;
            let head = head(stream)?;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            converse(stream)
        })
    });
    exchanges.reached(12);
    tunnels.reached(6);
    ending.store(true, Ordering::SeqCst);
    // Nobody is between its connection and the question whether it was early.
    sleep(Duration::from_millis(50));
    let began = Instant::now();
    served.signal("-TERM");
    let (code, said) = served.end();
    let took = began.elapsed();
    let (exchanged, failed) = exchanges.end();
    assert!(failed.is_empty(), "{failed:?}\n{said}");
    let (tunnelled, failed) = tunnels.end();
    assert!(failed.is_empty(), "{failed:?}\n{said}");
    assert_eq!(code, Some(0), "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(said.contains("drained in"), "{said}");
    // All were under way when it was told: each client was served once more, or was the last one's turn.
    assert!(
        exchanged >= 12 && tunnelled >= 12,
        "{exchanged} exchanges, {tunnelled} tunnels\n{said}"
    );
    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    assert!(
        !log.contains("\"closing\":\"drained\""),
        "something was cut"
    );
    assert!(
        log.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("\"stopped\"")
    );
}

#[test]
fn a_successor_on_the_same_port_takes_over_without_a_failed_connection() {
    let folder = tempfile::tempdir().unwrap();
    let echo = echo();
    let shared = "reuse_port = true";
    let mut old = Served::start(&[&config(folder.path(), "127.0.0.1:0", shared)]);
    let proxy = old.address();
    old.wait_for("decisions ");
    let load = Load::start(4, move || {
        let (mut stream, head) = connect(proxy, echo, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream.write_all(b"hello")?;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard)?;
        Ok(heard == *b"hello")
    });
    load.reached(50);
    let bind = proxy.to_string();
    let mut new = Served::start(&[&config(folder.path(), &bind, shared)]);
    new.address();
    new.wait_for("decisions ");
    let before = load.served();
    load.reached(before + 50);
    old.signal("-TERM");
    let (code, said) = old.end();
    assert_eq!(code, Some(0), "{said}");
    let before = load.served();
    load.reached(before + 50);
    let (_, failed) = load.end();
    assert!(failed.is_empty(), "{failed:?}");
    new.signal("-TERM");
    assert_eq!(new.end().0, Some(0));
}
