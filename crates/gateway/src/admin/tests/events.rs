//! Events as the parts of a gateway tell them, with names that an attacker would choose.

use std::{sync::Arc, time::SystemTime};

use pinfold::Decision;

use crate::{
    client::{Client, ClientAddress, RequestId},
    config,
    event::{Asked, Decided, Event, Exchange, PolicyChange, PolicyEvent, Turned},
    refusal::{Kind, Refusal},
    subject::{Subject, Way},
};

/// What would run, where text became markup.
pub(crate) const HOSTILE: &str =
    "<img src=x onerror=alert(1)><script>alert(2)</script>\"'\u{202e}javascript:alert(3)";

pub(crate) fn client() -> Arc<Client> {
    Arc::new(Client {
        listener: Arc::new(config::Listener::default()),
        address: ClientAddress::Tcp("127.0.0.1:50000".parse().unwrap()),
        certificate: None,
    })
}

pub(crate) fn asked(authority: &str, subject: &str) -> Arc<Asked> {
    Arc::new(Asked {
        id: RequestId::next(),
        client: client(),
        subject: Some(Subject::new(subject, Way::Basic)),
        kind: Exchange::Connect,
        authority: authority.into(),
        method: Some("CONNECT".into()),
        report: false,
        traceparent: None,
        correlation: None,
        began: std::time::Instant::now(),
    })
}

/// A decision of a guard about this URL: by the shipped policy, nothing is looked up and nothing dialled.
pub(crate) async fn decision(url: &str) -> Arc<Decision> {
    static GUARD: tokio::sync::OnceCell<pinfold::Guard> = tokio::sync::OnceCell::const_new();
    let guard = GUARD.get_or_init(|| async {
        let fixed = pinfold::resolve::Fixed::default();
        let builder = pinfold::Guard::builder().resolver(fixed);
        tokio::task::spawn_blocking(move || builder.build().unwrap())
            .await
            .unwrap()
    });
    let target = pinfold_addr::Target::parse(url).unwrap();
    guard.await.check(pinfold::Request::new(target)).await
}

pub(crate) fn decided(asked: Arc<Asked>, decision: Arc<Decision>) -> Event {
    Event::Decided(Arc::new(Decided {
        at: SystemTime::now(),
        asked,
        before: 0,
        decision,
    }))
}

pub(crate) fn refused(detail: &str) -> Event {
    Event::Refused(Arc::new(Turned {
        at: SystemTime::now(),
        id: RequestId::next(),
        client: client(),
        subject: None,
        correlation: None,
        refusal: Refusal::new(Kind::Malformed, "request", "host-malformed"),
        detail: detail.into(),
    }))
}

pub(crate) fn kept(error: &str) -> Event {
    Event::Policy(Arc::new(PolicyEvent {
        at: SystemTime::now(),
        trigger: "file",
        what: PolicyChange::Kept {
            step: "load",
            error: error.into(),
        },
    }))
}
