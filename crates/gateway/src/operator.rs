//! The other end of the interface for operators: what a program needs to talk to a gateway, the socket excepted.
//!
//! The routes and their JSON are described in `docs/gateway-admin.md`.

use std::{io, net::IpAddr, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A policy that a gateway is to take: the body of `POST /policies/swap` and `POST /shadow/start`. What is left out
/// stays as it is active.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The layer of a chain; none where there is only one policy.
    pub layer: Option<String>,
    /// The component.
    pub component: Option<Vec<u8>>,
    /// The policy inside the gateway's binary, instead of a component.
    pub shipped: bool,
    /// Its settings.
    pub settings: Option<Value>,
}

/// How a gateway proves itself, and how an operator does.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Who signs the certificate of the gateway, PEM. There is no default: an interface for operators is none of the
    /// public authorities' business.
    pub authorities: Vec<PathBuf>,
    /// Certificate chain and private key of the operator, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the certificate of the gateway; none for its address.
    pub name: Option<String>,
}

impl Policy {
    /// The body, of `Content-Type: application/json`.
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = serde_json::Map::new();
        if let Some(layer) = &self.layer {
            body.insert("layer".into(), layer.clone().into());
        }
        if let Some(component) = &self.component {
            body.insert("component".into(), STANDARD.encode(component).into());
        }
        if self.shipped {
            body.insert("shipped".into(), true.into());
        }
        if let Some(settings) = &self.settings {
            body.insert("settings".into(), settings.clone());
        }
        Value::Object(body).to_string().into_bytes()
    }
}

impl Tls {
    /// Shakes hands over a connection to the gateway at this address. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds nothing of use, a name that is none, or a handshake that fails.
    pub async fn connect<S>(&self, stream: S, address: IpAddr) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.name {
            Some(name) => ServerName::try_from(name.clone()).map_err(invalid)?,
            None => ServerName::IpAddress(address.into()),
        };
        let connector = TlsConnector::from(Arc::new(self.config()?));
        connector.connect(name, stream).await
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(self.roots()?);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some((chain, key)) => {
                let chain = certificates(chain)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, error))?;
                config.with_client_auth_cert(chain, key).map_err(invalid)
            }
        }
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for file in &self.authorities {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| named(file, error))?;
            }
        }
        match roots.is_empty() {
            true => Err(invalid("no authority is named")),
            false => Ok(roots),
        }
    }
}

fn certificates(file: &std::path::Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).map_err(|error| named(file, error))?;
    all.collect::<Result<_, _>>()
        .map_err(|error| named(file, error))
}

fn named(file: &std::path::Path, error: impl std::fmt::Display) -> io::Error {
    invalid(format!("`{}`: {error}", file.display()))
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
