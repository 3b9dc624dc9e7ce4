//! Who asks: from a certificate, credentials, the user at a Unix socket, or the network.

use crate::{client::Client, refusal::Refusal, subject::Subject};

/// The identities of all listeners; read again on reload.
#[derive(Debug, Default)]
pub(crate) struct Identities {}

/// Credentials as they came.
#[derive(Clone, Copy)]
pub(crate) enum Presented<'a> {
    /// None.
    Nothing,
    /// The value of `Proxy-Authorization`.
    Header(&'a [u8]),
    /// User name and password (RFC 1929).
    Password { name: &'a [u8], password: &'a [u8] },
}

impl Identities {
    /// Who asks, by the ways of the listener; none where nobody has to say.
    pub(crate) async fn subject(
        &self,
        _client: &Client,
        _presented: Presented<'_>,
    ) -> Result<Option<Subject>, Refusal> {
        Ok(None)
    }
}
