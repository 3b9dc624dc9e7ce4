//! The one way out: limits, judgement, pin, connection, and an entry among what is open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use pinfold::{Connection, Decision, Denial, Observer, Outcome, Request, Session};
use pinfold_addr::{Reason, Scheme, Target};
use tokio::time::Instant;

use crate::{
    client::{Client, Correlation, RequestId},
    event::{Asked, Bus, Decided, Event, Exchange},
    limit::Permit,
    live::Live,
    refusal::Refusal,
    shared::Shared,
    subject::Subject,
};

/// A request that is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) id: RequestId,
    pub(crate) client: Arc<Client>,
    pub(crate) subject: Option<Subject>,
    pub(crate) kind: Exchange,
    pub(crate) target: Target,
    pub(crate) method: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) correlation: Option<Correlation>,
    /// Further labels for the policy, by who configured who asks; never by a client.
    pub(crate) labels: Vec<(String, String)>,
    /// When whoever asks has no more use for an answer, and the request is given up.
    pub(crate) until: Option<Instant>,
}

/// What came of it: a socket to a judged address, listed as open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) live: Live,
    pub(crate) permit: Permit,
}

/// What is under way once limits let it in: the session that judges, and who asked. `Forward` goes on from here
/// itself, because its connections may be kept ones.
pub(crate) struct Admitted {
    pub(crate) session: Session,
    pub(crate) request: Request,
    pub(crate) asked: Arc<Asked>,
    pub(crate) permit: Permit,
}

/// Limits, then a session whose records say who asked.
pub(crate) fn admit(shared: &Shared, ask: Ask) -> Result<Admitted, Refusal> {
    let permit = shared.admission.request(ask.subject.as_ref())?;
    let mode = shared.reports(ask.subject.as_ref());
    let until = ask.until;
    let (request, asked) = described(ask, mode.is_report());
    let telling = Telling {
        bus: shared.bus.clone(),
        asked: Arc::clone(&asked),
        until,
        judged: AtomicU64::new(0),
    };
    let session = shared.guard.session().observed_by(telling).in_mode(mode);
    Ok(Admitted {
        session,
        request,
        asked,
        permit,
    })
}

/// A new connection to a judged address.
pub(crate) async fn open(shared: &Arc<Shared>, ask: Ask) -> Result<Opened, Refusal> {
    let Admitted {
        session,
        request,
        asked,
        permit,
    } = admit(shared, ask)?;
    let pinned = session.pin(request).await.map_err(|e| Refusal::from(&e))?;
    let connection = shared.connector.connect(pinned).await;
    let connection = connection.map_err(|e| Refusal::from(&e))?;
    let decision = Arc::clone(connection.decision());
    let live = shared.live.enter(asked, decision, connection.held());
    Ok(Opened {
        connection,
        live,
        permit,
    })
}

/// The target of a tunnel to `host:port`: judged as `http` on port 80, where nobody speaks TLS, and as `https` on any
/// other.
pub(crate) fn tunnel_target(authority: &str) -> Result<Target, pinfold_addr::Refusal> {
    match Target::from_authority(Scheme::Https, authority)? {
        target if target.port() == 80 => Target::from_authority(Scheme::Http, authority),
        target => Ok(target),
    }
}

fn described(ask: Ask, report: bool) -> (Request, Arc<Asked>) {
    let (host, port) = (ask.target.host(), ask.target.port());
    let asked = Asked {
        authority: format!("{host}:{port}"),
        id: ask.id,
        subject: ask.subject,
        kind: ask.kind,
        method: ask.method,
        report,
        traceparent: ask.traceparent,
        correlation: ask.correlation,
        began: std::time::Instant::now(),
        client: ask.client,
    };
    let mut request = Request::new(ask.target)
        .label("listener", &*asked.client.listener.name)
        .label("kind", kind(asked.kind));
    for (name, value) in ask.labels {
        request = request.label(name, value);
    }
    if let Some(method) = &asked.method {
        request = request.method(method);
    }
    if let Some(subject) = &asked.subject {
        request = request.subject(subject.name());
    }
    (request, Arc::new(asked))
}

/// The kind of a request, as policies know it. What becomes of a request in absolute form is not known when it is
/// judged.
pub(crate) fn kind(exchange: Exchange) -> &'static str {
    match exchange {
        Exchange::Connect => "connect",
        Exchange::Forward | Exchange::Upgrade => "forward",
        Exchange::Socks => "socks",
        Exchange::Sni => "sni",
    }
}

/// Tells the decision together with who asked.
struct Telling {
    bus: Bus,
    asked: Arc<Asked>,
    until: Option<Instant>,
    judged: AtomicU64,
}

impl Observer for Telling {
    fn observe(&self, decision: &Arc<Decision>) {
        let late = self.until.is_some_and(|until| until <= Instant::now());
        let decision = match late && is_abandoned(decision) {
            true => Arc::new(too_late(decision)),
            false => Arc::clone(decision),
        };
        self.bus.tell(&Event::Decided(Arc::new(Decided {
            at: SystemTime::now(),
            asked: Arc::clone(&self.asked),
            before: self.judged.fetch_add(1, Ordering::Relaxed),
            decision,
        })));
    }
}

fn is_abandoned(decision: &Decision) -> bool {
    let Outcome::Failed(denial) = &decision.outcome else {
        return false;
    };
    denial.reason() == Some(Reason::Abandoned)
}

/// The guard knows that it was given up, and only we know why.
fn too_late(decision: &Decision) -> Decision {
    let detail = "there was no decision within the deadline of whoever asked";
    let mut late = decision.clone();
    late.outcome = Outcome::Failed(Denial::new(Reason::DeadlineExceeded, detail));
    late
}
