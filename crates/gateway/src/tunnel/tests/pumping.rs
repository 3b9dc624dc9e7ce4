//! Bytes, ends, and who breaks off.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

#[tokio::test]
async fn bytes_go_both_ways_and_are_counted() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    ends.client.write_all(b"request").await.unwrap();
    hears(&mut ends.server, b"request").await;
    ends.server.write_all(b"the answer").await.unwrap();
    hears(&mut ends.client, b"the answer").await;
    drop(ends.client);
    drop(ends.server);
    assert_eq!(ends.tunnel.await.unwrap(), Closing::Finished);
    let ended = &scene.bench.told.ended()[0];
    assert_eq!((ended.up, ended.down), (7, 10));
}

#[tokio::test]
async fn each_half_ends_by_itself() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    ends.client.write_all(b"last").await.unwrap();
    ends.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"last", "the client first");
    ends.server.write_all(b"and on").await.unwrap();
    hears(&mut ends.client, b"and on").await;
    ends.server.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.client).await, b"");
    assert_eq!(ends.closing().await, Closing::Finished);

    let mut ends = scene.open(OFF);
    ends.server.write_all(b"last").await.unwrap();
    ends.server.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.client).await, b"last", "the server first");
    ends.client.write_all(b"and on").await.unwrap();
    hears(&mut ends.server, b"and on").await;
    ends.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut ends.server).await, b"");
    assert_eq!(ends.closing().await, Closing::Finished);
}

#[tokio::test]
async fn slow_receivers_get_every_byte_in_order() {
    let scene = Scene::new().await;
    for size in [1, 7, 1_000, 100_000] {
        let mut ends = scene.open_as(asked("a.example.com", Exchange::Socks), OFF, size);
        let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut client, mut server) = (ends.client, ends.server);
        let (up, down) = (sent.clone(), sent.clone());
        let (client_heard, server_heard) =
            tokio::join!(both(&mut client, &up), both(&mut server, &down),);
        assert!(client_heard == sent && server_heard == sent, "{size}");
        (ends.client, ends.server) = (client, server);
        assert_eq!(ends.closing().await, Closing::Finished);
    }
}

/// Writes `sent`, ends its half, and hears what comes.
async fn both(stream: &mut DuplexStream, sent: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut heard = Vec::new();
    let writing = async {
        write.write_all(sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    tokio::join!(writing, async {
        read.read_to_end(&mut heard).await.unwrap()
    });
    heard
}

#[tokio::test]
async fn one_direction_does_not_starve_the_other() {
    let scene = Scene::new().await;
    let (mut client, near) = duplex(1 << 10);
    let tunnel = scene.spawn(
        asked("a.example.com", Exchange::Connect),
        near,
        Endless(0),
        OFF,
    );
    // The server takes and sends without end: the client hears it while it floods.
    let flood = vec![7; 1 << 20];
    let (mut read, mut write) = tokio::io::split(&mut client);
    let mut heard = vec![0; 1 << 20];
    let (wrote, read) = tokio::join!(write.write_all(&flood), read.read_exact(&mut heard));
    wrote.unwrap();
    read.unwrap();
    drop(tunnel);
}

#[tokio::test]
async fn an_answer_arrives_although_the_server_reads_no_more() {
    let scene = Scene::new().await;
    let (mut client, near) = duplex(64);
    let far = Deaf(b"413 too large");
    let tunnel = scene.spawn(asked("a.example.com", Exchange::Connect), near, far, OFF);
    client.write_all(b"a body that is refused").await.unwrap();
    assert_eq!(rest(&mut client).await, b"413 too large");
    assert_eq!(tunnel.await.unwrap(), Closing::Server);
}

#[tokio::test]
async fn who_breaks_off_is_said() {
    let scene = Scene::new().await;
    let connect = || asked("a.example.com", Exchange::Connect);
    let (mut server, far) = duplex(64);
    let tunnel = scene.spawn(connect(), Reset, far, OFF);
    assert_eq!(tunnel.await.unwrap(), Closing::Client);
    assert_eq!(rest(&mut server).await, b"");

    let (mut client, near) = duplex(64);
    let tunnel = scene.spawn(connect(), near, Reset, OFF);
    assert_eq!(tunnel.await.unwrap(), Closing::Server);
    assert_eq!(rest(&mut client).await, b"");

    let enforced = Rules {
        sni: Sni::Enforce,
        ..OFF
    };
    let (_server, far) = duplex(64);
    let tunnel = scene.spawn(connect(), Reset, far, enforced);
    assert_eq!(
        tunnel.await.unwrap(),
        Closing::Client,
        "while its opening is awaited"
    );
}

#[tokio::test]
async fn a_tunnel_at_rest_is_small() {
    let scene = Scene::new().await;
    let live = scene
        .bench
        .enter_with(asked("a.example.com", Exchange::Connect), &scene.connection);
    let bus = Bus::default();
    let near: Box<dyn Stream> = Box::new(tokio::io::empty());
    let tunnel = run(&bus, near, tokio::io::empty(), &live, OFF, LIMITS);
    let size = size_of_val(&tunnel);
    assert!(size <= 1_536, "{size} bytes");
}

/// A server that sends and takes as much as is wanted.
struct Endless(u8);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0 = self.0.wrapping_add(1);
        space.put_slice(&[self.0; 64]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A server that has answered, and cannot be written to.
struct Deaf(&'static [u8]);

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (next, rest) = self.0.split_at(self.0.len().min(1));
        space.put_slice(next);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

/// A side that was reset.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncWrite for Reset {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
