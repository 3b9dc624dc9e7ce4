//! What is behind every contender. It does as little as it can: the comparison is of what stands before it.

use std::{future::Future, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time,
};

use crate::{service::Services, way::head_end};

/// Binds and serves all services, until the process ends.
pub(crate) async fn serve() -> io::Result<Services> {
    let listeners = [bind().await?, bind().await?, bind().await?, bind().await?];
    let addresses = [
        listeners[0].local_addr()?,
        listeners[1].local_addr()?,
        listeners[2].local_addr()?,
        listeners[3].local_addr()?,
    ];
    let [for_http, for_echo, for_sink, for_source] = listeners;
    tokio::spawn(accept(for_http, http));
    tokio::spawn(accept(for_echo, echo));
    tokio::spawn(accept(for_sink, sink));
    tokio::spawn(accept(for_source, source));
    Ok(Services::new(addresses))
}

async fn bind() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.2:0").await
}

/// Serves each connection on a task of its own.
pub(crate) async fn accept<F, Served>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> Served,
    Served: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
            // No descriptor is left: one will be.
            Err(_) => time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Requests without a body, one after the other.
async fn http(mut stream: TcpStream) -> io::Result<()> {
    let answer = answer();
    let mut buffer = vec![0; 8 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            more => filled += more,
        }
        while let Some(end) = head_end(&buffer[..filled]) {
            stream.write_all(&answer).await?;
            buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }
}

fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + BODY, b'x');
    answer
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// The first byte says that the tunnel is open; no measurement lasts as long as the limit.
async fn source(mut stream: TcpStream) -> io::Result<()> {
    stream.read_u8().await?;
    let chunk = vec![b'x'; CHUNK];
    let sending = async { while stream.write_all(&chunk).await.is_ok() {} };
    let _ = time::timeout(LONGEST, sending).await;
    Ok(())
}

/// Bytes of the body of an answer.
pub(crate) const BODY: usize = 1024;
/// Bytes that are handed to the kernel, or taken from it, at a time.
pub(crate) const CHUNK: usize = 64 << 10;
const LONGEST: Duration = Duration::from_secs(60);
