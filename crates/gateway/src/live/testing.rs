//! Entries for tests. What a decision is, only a guard can say: these are of a real one, without a socket to a
//! server that anybody listens behind.

use std::sync::{Arc, Mutex, PoisonError};

use pinfold::{Connection, Guard, Request, addr::Target, resolve::Fixed};
use tokio::net::{TcpListener, TcpStream};

use super::{Live, Registry};
use crate::{
    client::{Client, ClientAddress, RequestId},
    config,
    event::{Asked, Bus, Ended, Event, Exchange, Sink},
};

/// A registry whose events are kept, and a guard that allows `a.example.com` and `b.example.com` at the loopback alias for the public.
pub(crate) struct Bench {
    pub(crate) registry: Arc<Registry>,
    pub(crate) guard: Guard,
    pub(crate) told: Arc<Told>,
    listener: TcpListener,
}

/// All events so far.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<Event>>);

impl Sink for Told {
    fn take(&self, event: &Event) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(event.clone());
    }
}

impl Told {
    pub(crate) fn all(&self) -> Vec<Event> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    pub(crate) fn ended(&self) -> Vec<Arc<Ended>> {
        let ended = |event| match event {
            Event::Ended(ended) => Some(ended),
            _ => None,
        };
        self.all().into_iter().filter_map(ended).collect()
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with_settings(serde_json::json!({})).await
    }

    pub(crate) async fn with_settings(settings: serde_json::Value) -> Self {
        let told = Arc::new(Told::default());
        let bus = Bus::new(vec![told.clone()]);
        let resolver = Fixed::default()
            .rule("a.example.com=127.0.0.2")
            .and_then(|fixed| fixed.rule("b.example.com=127.0.0.2"))
            .unwrap();
        let guard = Guard::builder()
            .resolver(resolver)
            .settings(settings)
            .grants(["127.0.0.2/32".parse().unwrap()])
            .build()
            .unwrap();
        Self {
            registry: Arc::new(Registry::new(bus)),
            guard,
            told,
            listener: TcpListener::bind("127.0.0.2:0").await.unwrap(),
        }
    }

    /// A connection to `host`, and the server's end of it.
    pub(crate) async fn connection(&self, host: &str) -> (Connection, TcpStream) {
        let port = self.listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("https://{host}:{port}/")).unwrap();
        let opened = self.guard.connect(Request::new(target));
        let (connection, server) = tokio::join!(opened, self.listener.accept());
        (connection.unwrap(), server.unwrap().0)
    }

    /// As [`connection`](Self::connection), where denials are only told.
    pub(crate) async fn reported(&self, host: &str) -> Connection {
        let port = self.listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("https://{host}:{port}/")).unwrap();
        let session = self.guard.session().reporting();
        let pinned = session.pin(Request::new(target)).await.unwrap();
        self.guard.connector().connect(pinned).await.unwrap()
    }

    /// An entry for a tunnel to `host`. Its sockets are closed already.
    pub(crate) async fn enter(&self, host: &str) -> Live {
        let (connection, _) = self.connection(host).await;
        self.enter_with(asked(host, Exchange::Connect), &connection)
    }

    pub(crate) fn enter_with(&self, asked: Asked, connection: &Connection) -> Live {
        let decision = Arc::clone(connection.decision());
        let held = connection.held();
        self.registry.enter(Arc::new(asked), decision, held)
    }
}

/// Somebody at loopback asks for `host`, port 443.
pub(crate) fn asked(host: &str, kind: Exchange) -> Asked {
    Asked {
        id: RequestId::next(),
        client: Arc::new(Client {
            listener: Arc::new(config::Listener::default()),
            address: ClientAddress::Tcp(([127, 0, 0, 1], 1).into()),
            certificate: None,
        }),
        subject: None,
        kind,
        authority: format!("{host}:443"),
        method: None,
        report: false,
        traceparent: None,
        correlation: None,
        began: std::time::Instant::now(),
    }
}
