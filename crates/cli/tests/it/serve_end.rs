//! Who ends a gateway, and how often that has to be said.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    thread::sleep,
    time::Duration,
};

use super::{
    serve::{Served, connect, write},
    support::{run, show},
};

/// A gateway with a tunnel that is open; its configuration.
fn config(folder: &Path) -> String {
    let text = format!(
        "drain = \"10m\"\nfloor = {{grants = [\"127.0.0.2/32\"]}}\nadmin = {{bind = \"unix:{0}/admin.sock\"}}\n\
         records.log.to = \"file:{0}/log.jsonl\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n",
        folder.display()
    );
    write(folder, "gateway.toml", &text).display().to_string()
}

/// A container is told to drain before it is told to end: the signal that always follows must not cut what drains.
#[test]
fn the_signal_after_a_drain_is_let_pass_and_a_second_one_ends() {
    let server = TcpListener::bind("127.0.0.2:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&[&config(folder.path())]);
    let proxy = served.address();
    served.wait_for("decisions ");
    let open = || {
        let (tunnel, head) = connect(proxy, server.local_addr().unwrap(), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        (tunnel, server.accept().unwrap().0)
    };
    let (mut tunnel, mut behind) = open();
    let admin = format!("unix:{}/admin.sock", folder.path().display());
    let drained = run(["gateway", "drain", "--admin", &admin]);
    assert!(drained.status.success(), "{}", show(&drained));
    served.wait_for("draining: ");
    served.signal("-TERM");
    served.wait_for("draining already");
    sleep(Duration::from_millis(300));
    tunnel.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    behind.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
    served.signal("-TERM");
    let (code, said) = served.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("ended at once"), "{said}");
    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    assert!(log.contains("\"closing\":\"drained\""), "{log}");
    let last = log.trim_end().lines().last().unwrap();
    assert!(last.contains("\"stopped\""), "{log}");
}

#[test]
fn what_ends_after_a_drain_and_a_signal_is_waited_for() {
    let server = TcpListener::bind("127.0.0.2:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::start(&[&config(folder.path())]);
    let proxy = served.address();
    served.wait_for("decisions ");
    let (tunnel, _) = connect(proxy, server.local_addr().unwrap(), "");
    let admin = format!("unix:{}/admin.sock", folder.path().display());
    let drained = run(["gateway", "drain", "--admin", &admin]);
    assert!(drained.status.success(), "{}", show(&drained));
    served.wait_for("draining: ");
    served.signal("-TERM");
    served.wait_for("draining already");
    drop((tunnel, server));
    let (code, said) = served.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("drained in"), "{said}");
}
