//! SOCKS5 (RFC 1928, RFC 1929), `CONNECT` only; names are looked up here, never by the client's word.
//!
//! | file | what it does |
//! |---|---|
//! | `parse` | reads messages; pure |
//! | `reply` | what is answered; pure |
//!
//! Exactly the bytes of each message are read. What a client sends behind its request, without waiting for the reply,
//! is the first that the tunnel reads; until then it is kept, within a bound, so that the end of the connection behind
//! it is seen.

pub mod parse;
mod reply;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::SystemTime};

use bytes::BytesMut;
use pinfold_addr::Target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    client::{Client, RequestId},
    config::Way,
    egress::{self, Ask, Opened},
    event::{Event, Exchange, Turned},
    identity::Presented,
    limit::Permit,
    listen::{Accepted, Stream, rewound},
    refusal::{Kind, Refusal},
    shared::Shared,
    subject::Subject,
    tunnel,
};
use parse::{Command, Greeting, Host, Malformed, Read, Request};
use reply::Reply;

/// Serves a client until it is refused, or has its tunnel, which goes on by itself.
pub(crate) async fn serve(shared: Arc<Shared>, accepted: Accepted) {
    let Accepted {
        stream,
        client,
        permit,
    } = accepted;
    let mut session = Session {
        id: RequestId::next(),
        shared,
        client,
        stream,
        early: BytesMut::new(),
        subject: None,
    };
    match session.opened().await {
        Ok(opened) => session.tunnel(opened, permit),
        Err(End::Refused(refused)) => session.refuse(*refused).await,
        Err(End::Gone) => {}
    }
}

/// One client, which asks for one thing.
struct Session {
    id: RequestId,
    shared: Arc<Shared>,
    client: Arc<Client>,
    stream: Box<dyn Stream>,
    /// What was read behind its request.
    early: BytesMut,
    subject: Option<Subject>,
}

/// Why nothing more is said.
enum End {
    /// The client has gone.
    Gone,
    Refused(Box<Refused>),
}

struct Refused {
    refusal: Refusal,
    /// For the operator; none when the refusal was told with its judgement.
    detail: Option<String>,
    /// For the client.
    words: Words,
}

type Words = std::borrow::Cow<'static, [u8]>;

impl Session {
    /// All that comes before the tunnel.
    async fn opened(&mut self) -> Result<Opened, End> {
        let time = self.shared.config.load().limits.head_time.get();
        let target = match timeout(time, self.asked()).await {
            Ok(target) => target?,
            Err(_) => return Err(End::refused(slow(), "no request in time", b"")),
        };
        let opened = self.connected(target).await?;
        self.say(&Reply::Succeeded.bytes()).await?;
        Ok(opened)
    }

    /// A connection to the server, if the client stays that long.
    async fn connected(&mut self, target: Target) -> Result<Opened, End> {
        let (shared, ask) = (Arc::clone(&self.shared), self.ask(target));
        tokio::select! {
            biased;
            opened = egress::open(&shared, ask) => opened.map_err(End::judged),
            () = self.gone() => Err(End::Gone),
        }
    }

    /// Waits until the client has gone. What it sends without waiting for the reply is kept.
    async fn gone(&mut self) {
        while self.early.len() < AHEAD {
            self.early.reserve(PIECE);
            match self.stream.read_buf(&mut self.early).await {
                Ok(1..) => {}
                // It has said all that it has to say to the server, and waits for the answer.
                Ok(0) if !self.early.is_empty() => break,
                Ok(0) | Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }

    fn tunnel(self, opened: Opened, place: Permit) {
        let Self {
            shared,
            stream,
            early,
            ..
        } = self;
        let stream = rewound(early.freeze(), stream);
        let Opened {
            connection,
            live,
            permit,
        } = opened;
        let server = connection.into_stream();
        tunnel::spawn(shared, place, stream, server, live, permit);
    }

    /// Greeting, who asks, and for what.
    async fn asked(&mut self) -> Result<Target, End> {
        let greeting = self.read(parse::greeting, malformed).await?;
        self.subject = self.identify(greeting).await?;
        let refused = |malformed| malformed_request(malformed);
        let request = self.read(parse::request, refused).await?;
        target(request)
    }

    async fn identify(&mut self, greeting: Greeting) -> Result<Option<Subject>, End> {
        let takes_passwords = self.client.listener.identity.ways.contains(&Way::Basic);
        if takes_passwords && greeting.password {
            return self.identify_by_password().await;
        }
        if !greeting.none {
            let detail = "none of the methods that the client offers is taken";
            return Err(End::refused(no_method(), detail, &reply::NO_METHOD));
        }
        let identities = &self.shared.identities;
        let subject = identities.subject(&self.client, Presented::Nothing).await;
        let subject = subject.map_err(|r| End::refused(r, "no password", &reply::NO_METHOD))?;
        self.say(&reply::NO_PROOF).await?;
        Ok(subject)
    }

    async fn identify_by_password(&mut self) -> Result<Option<Subject>, End> {
        self.say(&reply::PASSWORD).await?;
        let given = self.read(parse::password, malformed).await?;
        let presented = Presented::Password {
            name: &given.name,
            password: &given.password,
        };
        let identities = &self.shared.identities;
        let subject = identities.subject(&self.client, presented).await;
        let subject = subject.map_err(|r| End::refused(r, "with a password", &reply::WRONG))?;
        self.say(&reply::WELCOME).await?;
        Ok(subject)
    }

    /// One message, and not a byte more.
    async fn read<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Read<T>, Malformed>,
        refused: impl Fn(Malformed) -> End,
    ) -> Result<T, End> {
        let mut bytes = Vec::new();
        loop {
            let have = bytes.len();
            match parse(&bytes).map_err(&refused)? {
                Read::Done(message) => return Ok(message),
                Read::More(needed) => bytes.resize(have.saturating_add(needed), 0),
            }
            let space = bytes.get_mut(have..).unwrap_or_default();
            let read = self.stream.read_exact(space).await;
            read.map_err(|_| End::Gone)?;
        }
    }

    async fn say(&mut self, words: &[u8]) -> Result<(), End> {
        let said = async {
            self.stream.write_all(words).await?;
            self.stream.flush().await
        };
        said.await.map_err(|_| End::Gone)
    }

    fn ask(&self, target: Target) -> Ask {
        Ask {
            id: self.id,
            client: Arc::clone(&self.client),
            subject: self.subject.clone(),
            kind: Exchange::Socks,
            target,
            method: None,
            traceparent: None,
            correlation: None,
            labels: Vec::new(),
            until: None,
        }
    }

    /// Tells the operator, then the client.
    async fn refuse(&mut self, refused: Refused) {
        let Refused {
            refusal,
            detail,
            words,
        } = refused;
        if let Some(detail) = detail {
            self.shared.bus.tell(&Event::Refused(Arc::new(Turned {
                at: SystemTime::now(),
                id: self.id,
                client: Arc::clone(&self.client),
                subject: self.subject.clone(),
                correlation: None,
                refusal,
                detail,
            })));
        }
        tunnel::farewell(&mut self.stream, &words).await;
    }
}

impl End {
    fn refused(refusal: Refusal, detail: impl Into<String>, words: &'static [u8]) -> Self {
        Self::Refused(Box::new(Refused {
            refusal,
            detail: Some(detail.into()),
            words: words.into(),
        }))
    }

    fn replied(refusal: Refusal, detail: impl Into<String>, reply: Reply) -> Self {
        Self::Refused(Box::new(Refused {
            refusal,
            detail: Some(detail.into()),
            words: reply.bytes().to_vec().into(),
        }))
    }

    /// What was refused on the way out. A judgement tells itself; a limit comes before it.
    fn judged(refusal: Refusal) -> Self {
        let reply = Reply::of(&refusal);
        Self::Refused(Box::new(Refused {
            detail: matches!(refusal.kind, Kind::Limited | Kind::Overloaded).then(String::new),
            refusal,
            words: reply.bytes().to_vec().into(),
        }))
    }
}

/// The target of a request, read like that of any other: a name is whatever the parser of targets says it is.
fn target(request: Request) -> Result<Target, End> {
    let Request {
        command,
        host,
        port,
        ..
    } = request;
    if let Command::Other(command) = command {
        let detail = format!("command {command}");
        return Err(End::replied(
            unsupported(),
            detail,
            Reply::CommandUnsupported,
        ));
    }
    let host = match host {
        Host::Address(address) => pinfold_addr::Host::Ip(address).to_string(),
        Host::Name(name) => name,
    };
    egress::tunnel_target(&format!("{host}:{port}")).map_err(|refusal| {
        let detail = refusal.to_string();
        End::replied(Refusal::from_parse(&refusal), detail, Reply::Failed)
    })
}

/// Of a greeting or a password.
fn malformed(malformed: Malformed) -> End {
    let words = reply::to_malformed(malformed);
    End::refused(not_socks5(), format!("{malformed:?}"), words)
}

fn malformed_request(malformed: Malformed) -> End {
    let reply = reply::to_malformed_request(malformed);
    End::replied(not_socks5(), format!("{malformed:?}"), reply)
}

fn not_socks5() -> Refusal {
    Refusal::new(Kind::Malformed, "request", "socks-malformed")
        .hint("speak SOCKS5, with names that the proxy looks up (`socks5h`)")
}

fn unsupported() -> Refusal {
    Refusal::new(Kind::Malformed, "request", "socks-command")
        .hint("only CONNECT is served: neither BIND nor UDP")
}

fn no_method() -> Refusal {
    Refusal::new(Kind::Malformed, "identity", "socks-method")
        .hint("offer no authentication, or user name and password where the listener takes them")
}

/// What is read of a client before it has its tunnel. Who has sent more is not missed until then.
const AHEAD: usize = 16 << 10;
/// What is read at a time.
const PIECE: usize = 4 << 10;

fn slow() -> Refusal {
    Refusal::new(Kind::Slow, "request", "socks-timeout").hint("send the request without a pause")
}
