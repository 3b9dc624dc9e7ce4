//! The certificate that a client has proved, and whether it is still good: a connection can outlive that.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::server::TlsStream;

use super::tls::{Good, Tls};

/// A certificate with its chain, from the handshake of a connection.
pub(crate) struct Proof {
    own: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    /// None in tests alone, where it is good for ever.
    tls: Option<Arc<Tls>>,
    verified: Mutex<Option<Verified>>,
}

/// A verification, and how long it counts.
struct Verified {
    /// By these authorities and revocation lists.
    by: Weak<Good>,
    from: u64,
    until: u64,
}

impl Proof {
    /// What the client of a connection has proved.
    pub(crate) fn of<S>(stream: &TlsStream<S>, tls: &Arc<Tls>) -> Option<Arc<Self>> {
        let (_, session) = stream.get_ref();
        let (own, chain) = session.peer_certificates()?.split_first()?;
        Some(Arc::new(Self {
            own: own.clone(),
            chain: chain.to_vec(),
            tls: Some(Arc::clone(tls)),
            verified: Mutex::default(),
        }))
    }

    /// One that nobody verifies.
    #[cfg(test)]
    pub(crate) fn unverified(own: CertificateDer<'static>) -> Self {
        Self {
            own,
            chain: Vec::new(),
            tls: None,
            verified: Mutex::default(),
        }
    }

    /// Whether the listener would take it now: by the authorities and revocation lists that were read last, at this
    /// time. Costs a signature or two when they are new, and every now and then.
    pub(crate) fn holds(&self) -> bool {
        let Some(tls) = &self.tls else {
            return true;
        };
        let (good, now) = (tls.good(), UnixTime::now());
        let verified = self.verified.lock();
        let mut verified = verified.unwrap_or_else(PoisonError::into_inner);
        if verified.as_ref().is_some_and(|v| v.counts(&good, now)) {
            return true;
        }
        let holds = good.verifies(&self.own, &self.chain, now);
        *verified = holds.then(|| Verified::new(&good, &self.own, now));
        holds
    }
}

impl Verified {
    fn new(good: &Arc<Good>, own: &CertificateDer<'_>, now: UnixTime) -> Self {
        let from = now.as_secs();
        let end = super::tls::end(own).and_then(|end| u64::try_from(end).ok());
        // Lists and authorities end too.
        let soon = from.saturating_add(AGAIN.as_secs());
        Self {
            by: Arc::downgrade(good),
            from,
            until: end.unwrap_or(from).min(soon),
        }
    }

    fn counts(&self, good: &Arc<Good>, now: UnixTime) -> bool {
        let in_time = (self.from..=self.until).contains(&now.as_secs());
        in_time && std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(good))
    }
}

impl Deref for Proof {
    type Target = CertificateDer<'static>;

    fn deref(&self) -> &Self::Target {
        &self.own
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// How long a verification counts, at most.
const AGAIN: Duration = Duration::from_secs(30);
