//! How a client reaches the origin through a contender.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::service::{Service, Services};

/// The way through one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Where the origin is.
    pub(crate) origin: Services,
    /// What requests call it; by its address without.
    pub(crate) name: Option<&'static str>,
    /// Where the contender is.
    pub(crate) door: Door,
    /// Whether it keeps the connection of a client after an answer.
    pub(crate) keeps: bool,
}

/// What a client dials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    /// One address for each service; no word is said.
    Relay(Services),
    /// One address, which is told where to go.
    Proxy(SocketAddr),
}

impl Way {
    /// A connection to the contender.
    pub(crate) async fn dial(&self, service: Service) -> io::Result<TcpStream> {
        let door = match self.door {
            Door::Relay(doors) => doors.of(service),
            Door::Proxy(door) => door,
        };
        let stream = TcpStream::connect(door).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The address of a proxy.
    pub(crate) fn proxy(&self) -> io::Result<SocketAddr> {
        match self.door {
            Door::Proxy(door) => Ok(door),
            Door::Relay(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A connection that leads to the service.
    pub(crate) async fn tunnel(&self, service: Service) -> io::Result<TcpStream> {
        let mut stream = self.dial(service).await?;
        if let Door::Proxy(_) = self.door {
            match connect(&mut stream, self.origin.of(service)).await? {
                200 => {}
                status => return Err(unexpected(status)),
            }
        }
        Ok(stream)
    }

    /// Asks for what the rules of the contender do not name: it must be refused, or nothing is compared.
    pub(crate) async fn refuses_others(&self) -> io::Result<()> {
        let Door::Proxy(_) = self.door else {
            return Ok(());
        };
        let allowed = self.origin.of(Service::Echo);
        for other in [
            SocketAddr::from(([127, 0, 0, 3], allowed.port())),
            SocketAddr::new(allowed.ip(), 9),
        ] {
            let mut stream = self.dial(Service::Echo).await?;
            match connect(&mut stream, other).await? {
                403 => {}
                status => return Err(unexpected(status)),
            }
        }
        Ok(())
    }

    /// A request in the form that a proxy takes, which the origin takes too.
    pub(crate) fn request(&self) -> Vec<u8> {
        let address = self.origin.of(Service::Http);
        let to = match self.name {
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        };
        format!(
            "GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
        )
        .into_bytes()
    }
}

/// Asks for a tunnel; the status of the answer.
async fn connect(stream: &mut TcpStream, to: SocketAddr) -> io::Result<u16> {
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: load\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(512);
    read_head(stream, &mut buffer).await?;
    status(&buffer)
}

/// Reads until the head of an answer is there; where it ends.
pub(crate) async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        if let Some(end) = head_end(buffer) {
            return Ok(end);
        }
        if buffer.len() > LONGEST_HEAD {
            return Err(io::Error::other("an endless head"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Where a head ends, after its empty line.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

/// The status of an answer.
pub(crate) fn status(head: &[u8]) -> io::Result<u16> {
    let code = head.get(9..12).and_then(|code| str::from_utf8(code).ok());
    match code.and_then(|code| code.parse().ok()) {
        Some(status) if head.starts_with(b"HTTP/1.") => Ok(status),
        _ => Err(io::Error::other("an answer without a status")),
    }
}

/// An answer that is not what the rules say.
pub(crate) fn unexpected(status: u16) -> io::Error {
    io::Error::other(format!("answered {status}"))
}

const LONGEST_HEAD: usize = 16 << 10;
