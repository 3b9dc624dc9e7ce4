//! TLS for the name in the URL, over a socket to a judged address.
//!
//! The certificate is verified for the *original* host: a name as DNS name, an address literal as IP
//! address (RFC 6125, RFC 9525). The address that was dialled never takes its place. Only HTTP/1.1 is
//! offered in ALPN, so that nothing can be coalesced onto one connection.

use std::{fmt, sync::Arc};

use pinfold::Connection;
use pinfold_addr::{Host, Reason};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Error, io::Stream};

/// Whose certificates are trusted.
///
/// # Example
///
/// ```
/// use pinfold_http::TlsRoots;
///
/// assert!(TlsRoots::pem(b"no certificate in here").is_err());
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum TlsRoots {
    /// The roots of the operating system, read once when the client is built. The default. A system
    /// without roots still makes a client; its TLS connections fail with `tls-failed`.
    #[default]
    Native,
    /// These, and no others.
    Only(Vec<CertificateDer<'static>>),
}

/// PEM text that holds no certificate, or a broken one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no trusted roots: {problem}")]
pub struct InvalidRoots {
    problem: String,
}

impl TlsRoots {
    /// The certificates of a PEM bundle, and no others.
    ///
    /// # Errors
    ///
    /// When a certificate does not parse, or when there is none.
    pub fn pem(bundle: &[u8]) -> Result<Self, InvalidRoots> {
        let roots = CertificateDer::pem_slice_iter(bundle)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| InvalidRoots {
                problem: error.to_string(),
            })?;
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|error| InvalidRoots {
                problem: error.to_string(),
            })?;
        }
        if roots.is_empty() {
            return Err(InvalidRoots {
                problem: "the bundle holds no certificate".into(),
            });
        }
        Ok(Self::Only(roots))
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        match self {
            // One root that does not parse must not take the others away.
            Self::Native => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)
            }
            Self::Only(roots) => store.add_parsable_certificates(roots.iter().cloned()),
        };
        store
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("Native"),
            Self::Only(roots) => write!(f, "Only({} certificates)", roots.len()),
        }
    }
}

/// Speaks TLS over pinned connections.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: Result<TlsConnector, rustls::Error>,
}

impl Tls {
    /// TLS 1.2 and 1.3 with *ring*, no client certificate, no early data, ALPN `http/1.1`.
    /// A provider that cannot do this fails each handshake, and none is made without verification.
    pub(crate) fn new(roots: &TlsRoots) -> Self {
        let connector = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| {
                let mut config = builder
                    .with_root_certificates(roots.store())
                    .with_no_client_auth();
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                TlsConnector::from(Arc::new(config))
            });
        Self { connector }
    }

    /// Shakes hands when the scheme asks for it. The caller bounds the time.
    pub(crate) async fn wrap(
        &self,
        connection: Connection,
        host: &Host,
        tls: bool,
    ) -> Result<Stream, Error> {
        let socket = connection.into_stream();
        if tls {
            self.handshake(socket, host).await.map(Stream::tls)
        } else {
            Ok(Stream::plain(socket))
        }
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        host: &Host,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let failed = |problem: String| {
            Error::network(
                Reason::TlsFailed,
                format!("no TLS with `{host}`: {problem}"),
            )
        };
        let name = server_name(host).map_err(failed)?;
        let connector = self
            .connector
            .as_ref()
            .map_err(|error| failed(error.to_string()))?;
        connector
            .connect(name, socket)
            .await
            .map_err(|error| failed(error.to_string()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The name that the certificate must be valid for.
fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Ip(address) => Ok(ServerName::from(*address)),
        Host::Domain(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|_| "the name cannot stand in a certificate".to_owned()),
    }
}
