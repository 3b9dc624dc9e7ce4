//! TLS towards clients and operators: files become a configuration, whole or not at all.
//!
//! TLS 1.2 and 1.3 with *ring*. No early data: what is replayed would be judged and sent twice. Where certificates of
//! clients are asked for no session is resumed, since that would skip the revocation lists.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, OtherError, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use x509_parser::prelude::{FromDer, X509Certificate};

use super::Stream;
use crate::{
    config::{AdminTls, ClientAuth, ListenerTls},
    file,
};

/// Shakes hands, by the files as they were when they were last good.
pub(crate) struct Tls {
    good: ArcSwap<Good>,
}

/// What was read.
pub(super) struct Good {
    config: Arc<ServerConfig>,
    /// Who verifies certificates of clients, where they are asked for.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// When the certificate ends, in seconds since 1970.
    end: Option<i64>,
}

/// The files of one listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Vec<PathBuf>,
    client_crl: Vec<PathBuf>,
    /// Whether a handshake without a certificate fails.
    required: bool,
    /// What may be negotiated above.
    protocols: &'static [&'static [u8]],
}

/// What is wrong with a file, or with what it holds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{}`: {problem}", path.display())]
pub(crate) struct BadFile {
    path: PathBuf,
    problem: String,
}

impl Files {
    pub(crate) fn of_listener(tls: &ListenerTls) -> Self {
        Self {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
            client_crl: tls.client_crl.clone(),
            required: tls.client_auth == ClientAuth::Required,
            protocols: &[b"h2", b"http/1.1"],
        }
    }

    /// A certificate is a proof that is asked for where a route needs one, so that health needs none.
    pub(crate) fn of_admin(tls: &AdminTls) -> Self {
        Self {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
            client_crl: Vec::new(),
            required: false,
            protocols: &[b"http/1.1"],
        }
    }

    fn read(&self) -> Result<Good, BadFile> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let asked = verifier.clone();
        let verifier = verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
        let asks = !self.client_ca.is_empty();
        let chain = certificates(&self.certificate)?;
        let key = key(&self.key)?;
        let end = chain.first().and_then(|first| end(first));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(&self.certificate, error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| bad(&self.key, self.words(&error)))?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        config.max_early_data_size = 0;
        if asks {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let config = Arc::new(config);
        Ok(Good {
            config,
            verifier: asked,
            end,
        })
    }

    /// Why certificate and key are not taken.
    fn words(&self, error: &rustls::Error) -> String {
        match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the key is not that of the certificate in `{}`",
                self.certificate.display()
            ),
            other => words(other),
        }
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, BadFile> {
        let Some(first) = self.client_ca.first() else {
            return Ok(None);
        };
        let roots = Arc::new(self.roots()?);
        // An issuer of which no list is known, and a list that is out of date, refuse: fail closed.
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .with_crls(self.lists()?)
            .enforce_revocation_expiration();
        let builder = match self.required {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        builder.build().map(Some).map_err(|error| bad(first, error))
    }

    fn roots(&self) -> Result<RootCertStore, BadFile> {
        let mut roots = RootCertStore::empty();
        for path in &self.client_ca {
            for certificate in certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| bad(path, words(&error)))?;
            }
        }
        Ok(roots)
    }

    fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, BadFile> {
        let mut lists = Vec::new();
        for path in &self.client_crl {
            lists.extend(all(path, "revocation list")?);
        }
        Ok(lists)
    }
}

impl Tls {
    /// Reads the files.
    pub(crate) fn new(files: &Files) -> Result<Self, BadFile> {
        Ok(Self {
            good: ArcSwap::from_pointee(files.read()?),
        })
    }

    /// Reads them again, or others. What was good before stays when one is not.
    pub(crate) fn reload(&self, files: &Files) -> Result<(), BadFile> {
        self.good.store(Arc::new(files.read()?));
        Ok(())
    }

    pub(super) fn good(&self) -> Arc<Good> {
        self.good.load_full()
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn end(&self) -> Option<i64> {
        self.good.load().end
    }

    /// Shakes hands. The caller bounds the time.
    pub(crate) async fn accept<S: Stream>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(Arc::clone(&self.good.load().config))
            .accept(stream)
            .await
    }
}

impl Good {
    /// Whether a client may prove who it is with this certificate, now.
    pub(super) fn verifies(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let verified = self
            .verifier
            .as_ref()
            .map(|verifier| verifier.verify_client_cert(own, chain, now));
        matches!(verified, Some(Ok(_)))
    }
}

/// The certificate that a client proved.
pub(crate) fn proved<S>(stream: &TlsStream<S>) -> Option<Arc<CertificateDer<'static>>> {
    let (_, session) = stream.get_ref();
    let first = session.peer_certificates()?.first()?;
    Some(Arc::new(first.clone()))
}

pub(super) fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// What is wrong with a certificate: the library shows its own types for much of it.
fn words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return error.to_string();
    };
    let wrong = match wrong {
        CertificateError::BadEncoding => "the certificate cannot be read",
        CertificateError::Other(other) if is_old(other) => {
            "the certificate is not of X.509 version 3: make it with extensions"
        }
        CertificateError::Other(_) => "the certificate is of a kind that is not taken",
        _ => return error.to_string(),
    };
    wrong.into()
}

fn is_old(error: &OtherError) -> bool {
    error.0.to_string() == "UnsupportedCertVersion"
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    all(path, "certificate")
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BadFile> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| bad(path, format!("no private key: {error}")))
}

/// Everything of a kind in a file; a file without any is a mistake.
fn all<T: PemObject>(path: &Path, kind: &str) -> Result<Vec<T>, BadFile> {
    let text = read(path)?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
    let items = items.map_err(|error| bad(path, format!("no {kind}: {error}")))?;
    match items.is_empty() {
        true => Err(bad(path, format!("holds no {kind} in PEM"))),
        false => Ok(items),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadFile> {
    file::read(path, FILE_BYTES).map_err(|error| bad(path, error))
}

fn bad(path: &Path, problem: impl fmt::Display) -> BadFile {
    BadFile {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Of a file with certificates, a key or revocation lists.
const FILE_BYTES: u64 = 16 << 20;
