//! New connections, ready for requests.

use std::sync::Arc;

use pinfold::{Connector, Decision, Guard, Held, Pinned};

use crate::{
    Error, TlsRoots,
    link::{Link, Parser, Purpose},
    tls::Tls,
};

/// Opens connections of one guard.
#[derive(Debug)]
pub(crate) struct Dialer {
    connector: Connector,
    tls: Tls,
    parser: Parser,
}

/// A connection, and what is known of it.
pub(crate) struct Opened {
    pub(crate) link: Box<Link>,
    pub(crate) decision: Arc<Decision>,
    pub(crate) held: Held,
}

impl Dialer {
    pub(crate) fn new(guard: &Guard, roots: &TlsRoots, parser: Parser) -> Self {
        Self {
            connector: guard.connector(),
            tls: Tls::new(roots),
            parser,
        }
    }

    /// A new connection, under TLS when the scheme asks for it. Nothing is sent yet.
    pub(crate) async fn open(&self, pinned: Pinned) -> Result<Opened, Error> {
        let target = pinned.target().clone();
        let policy = pinned.policy().clone();
        let connection = self.connector.connect(pinned).await?;
        let purpose = Purpose::new(&target, connection.peer(), policy);
        let (decision, held) = (Arc::clone(connection.decision()), connection.held());
        let stream = self
            .tls
            .wrap(connection, target.host(), target.scheme().is_tls())
            .await?;
        let link = Link::new(stream, purpose, &self.parser).await?;
        Ok(Opened {
            link,
            decision,
            held,
        })
    }
}
