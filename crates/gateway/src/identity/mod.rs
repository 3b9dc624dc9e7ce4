//! Who asks: from a certificate, credentials, the user at a Unix socket, or the network.
//!
//! The ways of a listener are tried in their order; the first that names somebody counts. A way that has nothing to
//! go by is passed over. What is *wrong* is refused, even where a later way would name somebody: who sends a bad
//! password is not who the network says.
//!
//! | what came | `required` | answer |
//! |---|---|---|
//! | a name | | the subject |
//! | credentials that are wrong, or of a kind that the listener does not take | | 407 `credentials-wrong` |
//! | a certificate that has expired or was revoked since the handshake | | 403 `certificate-lapsed` |
//! | a certificate with two identities, or a malformed one | | 403 `certificate-ambiguous`, `certificate-unusable` |
//! | nothing | no | no subject |
//! | nothing, where credentials would be taken | yes | 407 `credentials-missing` |
//! | nothing, elsewhere | yes | 403 `identity-missing` |

mod certificate;
mod credentials;
mod hash;
mod header;
mod users;
mod verify;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use pinfold_addr::PrefixMap;

use self::{
    credentials::{Credentials, Vouched},
    header::Given,
    users::Users,
    verify::Verifier,
};
pub use self::{
    credentials::{CredentialsError, Entry},
    hash::{Unfit, basic_entry, bearer_entry, generated},
};
use crate::{
    client::{Client, ClientAddress},
    config::{self, SubjectName, Way},
    refusal::{Kind, Refusal},
    source,
    subject::Subject,
};

/// The identities of all listeners; read again on reload.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    listeners: ArcSwap<HashMap<String, Arc<Listener>>>,
    verifier: Verifier,
}

/// Credentials as they came.
#[derive(Clone, Copy)]
pub(crate) enum Presented<'a> {
    /// None.
    Nothing,
    /// The value of `Proxy-Authorization`.
    Header(&'a [u8]),
    /// User name and password (RFC 1929).
    Password { name: &'a [u8], password: &'a [u8] },
    /// Whom an Envoy vouches for.
    Principal(&'a str),
}

/// How the subjects of one listener are found.
#[derive(Debug)]
struct Listener {
    ways: Vec<Way>,
    required: bool,
    credentials: Arc<Credentials>,
    networks: PrefixMap<SubjectName>,
    users: Users,
}

impl Identities {
    /// Reads what the configuration names.
    ///
    /// # Errors
    ///
    /// When a file of credentials, or the list of users, cannot be used.
    pub(crate) fn read(config: &config::Config) -> Result<Self, CredentialsError> {
        let listeners = read(config, &HashMap::new())?;
        Ok(Self {
            listeners: ArcSwap::from_pointee(listeners),
            verifier: Verifier::default(),
        })
    }

    /// Reads everything again. Passwords that were verified before stay so while their entries are as they were.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); what was read before stays.
    pub(crate) fn reload(&self, config: &config::Config) -> Result<(), CredentialsError> {
        let before = self.listeners.load_full();
        self.listeners.store(Arc::new(read(config, &before)?));
        Ok(())
    }

    /// Who asks, by the ways of the listener; none where nobody has to say.
    pub(crate) async fn subject(
        &self,
        client: &Client,
        presented: Presented<'_>,
    ) -> Result<Option<Subject>, Refusal> {
        if !certificate::holds(client) {
            return Err(lapsed());
        }
        let Some(listener) = self.listener(client) else {
            return unlisted(client);
        };
        for way in &listener.ways {
            let (name, voucher) = match way {
                Way::Mtls => (certificate::name(client)?, None),
                Way::Basic | Way::Bearer => {
                    let given = listener.given(presented)?;
                    let vouched = self.by_credential(&listener, client, *way, given).await?;
                    vouched.map(|v| (v.subject, v.voucher)).unzip()
                }
                Way::Unix => (listener.user(client), None),
                Way::Source => (listener.network(client), None),
                Way::Envoy => (principal(presented)?, None),
            };
            if let Some(name) = name {
                return Ok(Some(Subject::new(name.shared(), *way).by(voucher)));
            }
        }
        listener.nobody()
    }

    /// Whether a client would still be taken for the subject that it was: its certificate is valid, the entry of its
    /// credentials is there, its network or user has that name.
    pub(crate) fn holds(&self, client: &Client, subject: Option<&Subject>) -> bool {
        let Some(subject) = subject else {
            return certificate::holds(client);
        };
        let Some(listener) = self.listener(client) else {
            return false;
        };
        let named = |name: Option<SubjectName>| name.is_some_and(|name| *name == *subject.name());
        certificate::holds(client)
            && listener.ways.contains(&subject.way())
            && match subject.way() {
                Way::Mtls | Way::Envoy => true,
                Way::Basic | Way::Bearer => {
                    let voucher = subject.voucher();
                    voucher.is_some_and(|voucher| listener.credentials.vouches(voucher))
                }
                Way::Unix => named(listener.user(client)),
                Way::Source => named(listener.network(client)),
            }
    }

    /// What to answer to a request of a client that has to give credentials: the values of `Proxy-Authenticate`.
    /// None where no credentials are taken.
    pub(crate) fn challenges(&self, client: &Client) -> Vec<&'static str> {
        let ways = self.listener(client).map(|listener| listener.ways.clone());
        let challenge = |way: &Way| match way {
            Way::Basic => Some(r#"Basic realm="pinfold", charset="UTF-8""#),
            Way::Bearer => Some(r#"Bearer realm="pinfold""#),
            Way::Mtls | Way::Unix | Way::Source | Way::Envoy => None,
        };
        ways.iter().flatten().filter_map(challenge).collect()
    }

    fn listener(&self, client: &Client) -> Option<Arc<Listener>> {
        self.listeners.load().get(&client.listener.name).cloned()
    }

    async fn by_credential(
        &self,
        listener: &Listener,
        client: &Client,
        way: Way,
        given: Given,
    ) -> Result<Option<Vouched>, Refusal> {
        match (way, given) {
            (Way::Basic, Given::Password { name, password }) => {
                let credentials = &listener.credentials;
                let source = client.address;
                let verified = self.verifier.password(credentials, source, name, password);
                verified.await.map(Some)
            }
            (Way::Bearer, Given::Token(token)) => {
                let vouched = listener.credentials.bearer(&token);
                vouched.map(Some).ok_or_else(wrong)
            }
            _ => Ok(None),
        }
    }
}

impl Listener {
    /// What was presented, where it is of a kind that this listener takes.
    fn given(&self, presented: Presented<'_>) -> Result<Given, Refusal> {
        let given = header::given(presented).ok_or_else(wrong)?;
        let taken = match &given {
            Given::Nothing => true,
            Given::Password { .. } => self.ways.contains(&Way::Basic),
            Given::Token(_) => self.ways.contains(&Way::Bearer),
        };
        match taken {
            true => Ok(given),
            false => Err(wrong()),
        }
    }

    fn user(&self, client: &Client) -> Option<SubjectName> {
        match client.address {
            ClientAddress::Unix { uid, .. } => self.users.name(uid),
            ClientAddress::Tcp(_) => None,
        }
    }

    fn network(&self, client: &Client) -> Option<SubjectName> {
        let ClientAddress::Tcp(address) = client.address else {
            return None;
        };
        let found = self.networks.get(source::plain(address.ip()));
        found.map(|(_, name)| name.clone())
    }

    fn nobody(&self) -> Result<Option<Subject>, Refusal> {
        let credentials = self
            .ways
            .iter()
            .any(|way| matches!(way, Way::Basic | Way::Bearer));
        match (self.required, credentials) {
            (false, _) => Ok(None),
            (true, true) => Err(Refusal::new(
                Kind::Unauthenticated,
                STAGE,
                "credentials-missing",
            )
            .hint("send credentials to the proxy: `Proxy-Authorization`, or user name and password of SOCKS5")),
            (true, false) => Err(missing()),
        }
    }
}

/// Reads what the listeners need; a file that several name is read once.
fn read(
    config: &config::Config,
    before: &HashMap<String, Arc<Listener>>,
) -> Result<HashMap<String, Arc<Listener>>, CredentialsError> {
    let mut files = HashMap::new();
    let mut listeners = HashMap::new();
    for listener in &config.listener {
        let identity = &listener.identity;
        let credentials = match &identity.credentials {
            None => Arc::default(),
            Some(file) => match files.get(file) {
                Some(read) => Arc::clone(read),
                None => {
                    let mut credentials = Credentials::read(file)?;
                    if let Some(before) = before.get(&listener.name) {
                        credentials.inherit(&before.credentials);
                    }
                    Arc::new(credentials)
                }
            },
        };
        if let Some(file) = &identity.credentials {
            files.insert(file.clone(), Arc::clone(&credentials));
        }
        let identity = Listener::new(identity, credentials)?;
        listeners.insert(listener.name.clone(), Arc::new(identity));
    }
    Ok(listeners)
}

impl Listener {
    fn new(
        identity: &config::Identity,
        credentials: Arc<Credentials>,
    ) -> Result<Self, CredentialsError> {
        let networks = identity.networks.iter();
        let networks = networks.map(|(network, name)| (*network, name.clone()));
        Ok(Self {
            ways: identity.ways.clone(),
            required: identity.required,
            credentials,
            networks: PrefixMap::new(networks).map_err(|twice| {
                CredentialsError::new(format!("the network {} is named twice", twice.prefix))
            })?,
            users: Users::read(&identity.users)?,
        })
    }
}

/// A listener that is not in the table: nobody is let in who would have had to say a name.
fn unlisted(client: &Client) -> Result<Option<Subject>, Refusal> {
    let identity = &client.listener.identity;
    match identity.ways.is_empty() && !identity.required {
        true => Ok(None),
        false => Err(missing()),
    }
}

/// Whom Envoy vouches for; none when its client has no certificate.
fn principal(presented: Presented<'_>) -> Result<Option<SubjectName>, Refusal> {
    match presented {
        Presented::Principal(name) if !name.is_empty() => match name.parse() {
            Ok(name) => Ok(Some(name)),
            Err(_) => Err(Refusal::new(Kind::Denied, STAGE, "certificate-unusable")
                .hint("the name in the certificate of the client is not fit to be a subject")),
        },
        _ => Ok(None),
    }
}

fn wrong() -> Refusal {
    Refusal::new(Kind::Unauthenticated, STAGE, "credentials-wrong").hint(
        "the credentials are not known here, have expired, or are of a kind that is not taken",
    )
}

/// Of a kept connection: what was proved when it began does not hold any more.
fn lapsed() -> Refusal {
    Refusal::new(Kind::Denied, STAGE, LAPSED)
        .hint("the certificate of this connection has expired, or is revoked: connect with one that is valid")
}

fn missing() -> Refusal {
    Refusal::new(Kind::Denied, STAGE, "identity-missing")
        .hint("this listener serves only whom it knows: by certificate, user or network")
}

/// The code of who has to connect again.
pub(crate) const LAPSED: &str = "certificate-lapsed";

const STAGE: &str = "identity";

#[cfg(test)]
mod tests;
