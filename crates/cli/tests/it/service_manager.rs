//! `pinfold serve` under a service manager: sockets that it passes on, and what it is told.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of a proxy are not judged: they are in the tests"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::support::pinfold;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service manager with one service, whose socket it keeps.
struct Manager {
    folder: tempfile::TempDir,
    told: UnixDatagram,
    socket: TcpListener,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let told = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            folder,
            told,
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// Starts the service: its socket is descriptor 3, by the name `proxy`.
    fn start(&self) -> Service {
        let served = pinfold(["serve", "--listen", "systemd:proxy", "--admin", "off"]);
        let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$@""#;
        let socket: OwnedFd = self.socket.try_clone().unwrap().into();
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(served.get_program())
            .args(served.get_args())
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "proxy")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("WATCHDOG_USEC", "200000")
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Service(child)
    }

    fn path(&self, name: &str) -> impl AsRef<std::ffi::OsStr> + use<> {
        let folder: &Path = self.folder.path();
        folder.join(name)
    }

    /// Waits until it is told this, and returns all of what it was told with it.
    fn is_told(&self, what: &str) -> String {
        let mut message = [0; 4096];
        loop {
            let length = self.told.recv(&mut message).unwrap();
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|line| line == what) {
                return text;
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

/// A service that runs. Nothing is left when a test fails.
struct Service(Child);

impl Service {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for the gateway itself, which is refused at once.
fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT {address} HTTP/1.1\r\n\r\n").unwrap();
    stream
}

fn is_refused(mut stream: TcpStream) -> bool {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    line == *b"HTTP/1.1 403"
}

#[test]
fn a_socket_that_is_passed_on_loses_nobody_between_two_services() {
    let manager = Manager::new();
    let mut first = manager.start();
    manager.is_told("READY=1");
    assert!(is_refused(ask(manager.address())));

    first.signal("-TERM");
    manager.is_told("STOPPING=1");
    assert_eq!(first.0.wait().unwrap().code(), Some(0));
    // Nobody serves now, and nobody is turned away.
    let between = ask(manager.address());

    let _second = manager.start();
    manager.is_told("READY=1");
    assert!(is_refused(between));
}

#[test]
fn the_service_manager_is_told_of_reloads_and_that_the_service_lives() {
    let manager = Manager::new();
    let service = manager.start();
    manager.is_told("READY=1");
    manager.is_told("WATCHDOG=1");
    service.signal("-HUP");
    let told = manager.is_told("RELOADING=1");
    assert!(told.contains("MONOTONIC_USEC="), "{told}");
    manager.is_told("READY=1");
    manager.is_told("WATCHDOG=1");
}

#[test]
fn a_socket_that_was_not_passed_on_is_an_error_that_says_so() {
    let output = pinfold(["serve", "--listen", "systemd:proxy", "--admin", "off"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("passed no socket on"), "{said}");
}
