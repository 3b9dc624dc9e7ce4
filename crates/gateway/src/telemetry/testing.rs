//! Events for tests. What a decision is, only a guard can say: these are of a real one that dials nobody.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use pinfold::{Decision, Guard, Request, addr::Target, record::Inputs, resolve::Fixed};

use crate::{
    client::{Client, ClientAddress, RequestId},
    config::{self, Way},
    event::{Asked, Decided, Ended, Event, Exchange, Turned},
    live::Closing,
    refusal::{Kind, Refusal},
    subject::Subject,
};

/// A guard that records inputs, and knows `a.example.com` (public) and `inner.example.com` (not).
pub(crate) fn guard(settings: serde_json::Value) -> Guard {
    let resolver = Fixed::default()
        .rule("a.example.com=93.184.216.34")
        .and_then(|fixed| fixed.rule("inner.example.com=10.1.2.3"))
        .unwrap();
    Guard::builder()
        .resolver(resolver)
        .settings(settings)
        .record_inputs(Inputs::Keep)
        .build()
        .unwrap()
}

/// What the guard says of a URL.
pub(crate) async fn judged(guard: &Guard, url: &str, subject: Option<&str>) -> Arc<Decision> {
    let mut request = Request::new(Target::parse(url).unwrap()).method("GET");
    if let Some(subject) = subject {
        request = request.subject(subject);
    }
    guard.check(request).await
}

pub(crate) fn client() -> Arc<Client> {
    Arc::new(Client {
        listener: Arc::new(config::Listener::default()),
        address: ClientAddress::Tcp(([10, 9, 8, 7], 4321).into()),
        certificate: None,
    })
}

pub(crate) fn asked(subject: Option<&str>) -> Asked {
    Asked {
        id: RequestId::next(),
        client: client(),
        subject: subject.map(|name| Subject::new(name, Way::Basic)),
        kind: Exchange::Connect,
        authority: "a.example.com:443".into(),
        method: None,
        report: false,
        traceparent: None,
        correlation: None,
        began: std::time::Instant::now(),
    }
}

pub(crate) fn decided(asked: Asked, decision: Arc<Decision>) -> Event {
    Event::Decided(Arc::new(Decided {
        at: SystemTime::now(),
        asked: Arc::new(asked),
        before: 0,
        decision,
    }))
}

pub(crate) fn ended(asked: Asked, closing: Closing) -> Event {
    Event::Ended(Arc::new(Ended {
        at: SystemTime::UNIX_EPOCH,
        asked: Arc::new(asked),
        closing,
        denial: None,
        lasted: Duration::from_millis(1_500),
        up: 10,
        down: 20,
        silent: Duration::from_millis(5),
    }))
}

pub(crate) fn refused(kind: Kind, stage: &'static str, code: &'static str, detail: &str) -> Event {
    Event::Refused(Arc::new(Turned {
        at: SystemTime::UNIX_EPOCH,
        id: RequestId::next(),
        client: client(),
        subject: None,
        correlation: None,
        refusal: Refusal::new(kind, stage, code).retry_after(Duration::from_secs(1)),
        detail: detail.into(),
    }))
}
