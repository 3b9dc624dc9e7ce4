//! Certificates, good and bad.

use std::{fmt, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of its own, made anew each time.
///
/// # Example
///
/// ```
/// use pinfold_lab::tls::Authority;
///
/// let authority = Authority::new()?;
/// let good = authority.issue(["shop.lab.example.com"])?;
/// let stale = authority.expired(["shop.lab.example.com"])?;
/// assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # let _ = (good, stale);
/// # Ok::<(), pinfold_lab::tls::TlsError>(())
/// ```
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key: what a TLS server shows.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// By the certificate library.
    #[error("no certificate")]
    Certificate(#[from] rcgen::Error),
    /// By the TLS library.
    #[error("no server configuration")]
    Config(#[from] rustls::Error),
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new() -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Pinfold lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
        })
    }

    /// A valid certificate for these names and addresses; `*.` is allowed in names.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn issue<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Identity, TlsError> {
        self.sign(server_params(names)?)
    }

    /// A valid certificate with its chain, and its private key, as text: for programs that read files.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn issue_pem<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(String, String), TlsError> {
        let key = KeyPair::generate()?;
        let certificate = server_params(names)?.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem() + &self.pem(), key.serialize_pem()))
    }

    /// A certificate that is valid no more.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn expired<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Identity, TlsError> {
        let mut params = server_params(names)?;
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    /// A certificate that no authority signed.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn self_signed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Identity, TlsError> {
        let key = KeyPair::generate()?;
        let certificate = server_params(names)?.self_signed(&key)?;
        Identity::new(vec![certificate.der().clone()], &key)
    }

    /// The authority's certificate, for a client's list of roots.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The same as text.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, TlsError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Identity::new(vec![certificate.der().clone(), self.der()], &key)
    }
}

impl Identity {
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn server_params<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Pinfold lab server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
