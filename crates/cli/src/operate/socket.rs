//! The socket to a gateway's interface for operators. The operator names it, and nobody else can: this is the one
//! place of the command line that connects without a judgement.
#![expect(
    clippy::disallowed_methods,
    reason = "an operator connects to the interface of the own gateway, at the address that the operator wrote"
)]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use pinfold_gateway::operator::Tls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// Where a gateway's interface is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// `127.0.0.1:4751`
    Tcp(SocketAddr),
    /// `https://127.0.0.1:4751`
    Tls(SocketAddr),
    /// `unix:/run/pinfold/admin.sock`
    Unix(PathBuf),
}

/// A connection to it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Place {
    /// Connects, within a bounded time.
    pub(super) async fn connect(&self, tls: &Tls) -> io::Result<Box<dyn Stream>> {
        match tokio::time::timeout(CONNECT_TIME, self.opened(tls)).await {
            Ok(stream) => stream,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn opened(&self, tls: &Tls) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tls(address) => {
                let stream = TcpStream::connect(address).await?;
                Box::new(tls.connect(stream, address.ip()).await?)
            }
        })
    }

    /// What stands in `Host`.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Tcp(address) | Self::Tls(address) => address.to_string(),
            Self::Unix(_) => "localhost".into(),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err("write `unix:` and a path".into()),
                false => Ok(Self::Unix(path.into())),
            };
        }
        if let Some(rest) = text.strip_prefix("https://") {
            return address(rest).map(Self::Tls);
        }
        address(text.strip_prefix("http://").unwrap_or(text)).map(Self::Tcp)
    }
}

/// Names are not looked up here: an operator's token goes to the address that was written.
fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| HOW.to_owned())?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| HOW.to_owned())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Tls(address) => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

const HOW: &str = "write an address with a port: `127.0.0.1:4751`, `https://192.0.2.7:4751` (with `--server-name` \
                   for a name), or `unix:PATH`";
const CONNECT_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_gateway_may_be() {
        let table = [
            ("127.0.0.1:4751", Some("127.0.0.1:4751")),
            ("http://127.0.0.1:4751/", Some("127.0.0.1:4751")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("[::1]:4751", Some("[::1]:4751")),
            ("https://192.0.2.7:4751", Some("https://192.0.2.7:4751")),
            ("unix:/run/x.sock", Some("unix:/run/x.sock")),
            ("unix:", None),
            ("gateway.example:4751", None),
            ("127.0.0.1", None),
            ("ftp://127.0.0.1:1", None),
            ("http://127.0.0.1:1/status", None),
        ];
        for (text, expected) in table {
            let place = text.parse::<Place>().ok().map(|place| place.to_string());
            assert_eq!(place.as_deref(), expected, "{text}");
        }
    }
}
