//! The decision service, as an Envoy sees it: gRPC over HTTP/2, framed by hand.

mod decisions;
mod records;
mod service;

use std::{collections::HashMap, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinfold_gateway::envoy::wire::{
    self, Address, Answer, Attributes, CheckRequest, CheckResponse, HttpRequest, Peer,
    SocketAddress, TlsSession,
};
use prost::Message;
use prost_types::value::Kind;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use crate::support::{Proxy, within};

/// A listener where an Envoy asks, beside names with several addresses.
pub(crate) const ENVOY: &str = "
[[listener]]
name = 'envoy'
bind = '127.0.0.1:0'
protocols = ['envoy']

[floor]
grants = ['127.0.0.2/32', '127.0.0.4/31', '127.0.0.6/31', '::1/128']

# Nobody is there: what is not fixed is not found.
[dns]
servers = ['127.0.0.1:9']
timeout = '100ms'

[dns.fixed]
'many.lab.example.com' = ['127.0.0.2', '127.0.0.4', '127.0.0.5', '127.0.0.6', '127.0.0.7']
'six.lab.example.com' = ['::1']
'both.lab.example.com' = ['127.0.0.2', '::1']
";

pub(crate) const PUBLIC_NAME: &str = "public.lab.example.com";
pub(crate) const INTERNAL_NAME: &str = "internal.lab.example.com";

/// A gateway with an Envoy's listener and this name server.
pub(crate) async fn stage_with_dns(over: &str, server: SocketAddr) -> Proxy {
    let envoy = ENVOY.replace("127.0.0.1:9", &server.to_string());
    let envoy = envoy.replace("timeout = '100ms'", "timeout = '30s'");
    Proxy::with(&format!("{over}\n{envoy}")).await
}

/// A gateway that an Envoy may ask, with this laid over its configuration.
pub(crate) async fn stage(over: &str) -> Proxy {
    Proxy::with(&format!("{over}\n{ENVOY}")).await
}

/// A connection of an Envoy.
pub(crate) struct Envoy {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) http: u16,
    /// `grpc-status`, wherever it came.
    pub(crate) grpc: Option<String>,
    pub(crate) body: Bytes,
}

impl Envoy {
    pub(crate) async fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        // A head and its message are two pieces: the second would wait for somebody to take the first.
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends what is no question, perhaps.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        let response = within("an answer", self.sender.send_request(request)).await;
        Reply::of(response.unwrap()).await
    }

    pub(crate) async fn call(&mut self, path: &str, message: &impl Message) -> Reply {
        self.send(call(path, framed(&message.encode_to_vec())))
            .await
    }

    /// The decision.
    pub(crate) async fn check(&mut self, question: &CheckRequest) -> CheckResponse {
        let reply = self.call(wire::CHECK, question).await;
        assert_eq!(reply.grpc.as_deref(), Some("0"), "{reply:?}");
        let response = reply.message::<CheckResponse>();
        // Whatever is asked: what allows has an address, and what does not has none.
        let allowed = response.status.as_ref().unwrap().code == 0;
        assert_eq!(allowed, meta(&response, "pin").is_some(), "{response:?}");
        assert_eq!(allowed, matches!(response.answer, Some(Answer::Ok(_))));
        response
    }
}

impl Reply {
    async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let status = |headers: &HeaderMap| {
            let value = headers.get("grpc-status")?.to_str().ok()?;
            Some(value.to_owned())
        };
        let body = within("a body", body.collect()).await.unwrap();
        let trailers = body.trailers().and_then(status);
        Self {
            http: head.status.as_u16(),
            grpc: status(&head.headers).or(trailers),
            body: body.to_bytes(),
        }
    }

    pub(crate) fn message<M: Message + Default>(&self) -> M {
        M::decode(&self.body[5..]).unwrap()
    }
}

/// A call of gRPC with this body.
pub(crate) fn call(path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://policy{path}"));
    let request = request.header(CONTENT_TYPE, "application/grpc");
    request.body(Full::new(body)).unwrap()
}

/// A message with its length before it, not compressed.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A request of HTTP in clear text.
pub(crate) fn get(host: &str) -> CheckRequest {
    of_http("GET", host, "/", &[])
}

pub(crate) fn connect(authority: &str) -> CheckRequest {
    of_http("CONNECT", authority, "", &[])
}

pub(crate) fn of_http(
    method: &str,
    host: &str,
    path: &str,
    route: &[(&str, &str)],
) -> CheckRequest {
    let http = HttpRequest {
        id: "8f2c-1".into(),
        method: method.into(),
        host: host.into(),
        path: path.into(),
        scheme: "http".into(),
        ..HttpRequest::default()
    };
    let request = wire::Request { http: Some(http) };
    asked(Attributes {
        request: Some(request),
        context_extensions: pairs(route),
        ..Attributes::default()
    })
}

pub(crate) fn sni(name: &str) -> CheckRequest {
    asked(Attributes {
        tls_session: Some(TlsSession { sni: name.into() }),
        ..Attributes::default()
    })
}

fn asked(attributes: Attributes) -> CheckRequest {
    let address = SocketAddress {
        address: "10.9.8.7".into(),
        port_value: 4321,
    };
    let source = Peer {
        address: Some(Address {
            socket_address: Some(address),
        }),
        principal: "spiffe://lab/a".into(),
    };
    CheckRequest {
        attributes: Some(Attributes {
            source: Some(source),
            ..attributes
        }),
    }
}

/// The same with this header field.
pub(crate) fn with_field(mut question: CheckRequest, name: &str, value: &str) -> CheckRequest {
    let attributes = question.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.headers.insert(name.into(), value.into());
    question
}

fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

/// A text in the metadata of an answer.
pub(crate) fn meta<'a>(response: &'a CheckResponse, key: &str) -> Option<&'a str> {
    let fields = &response.dynamic_metadata.as_ref()?.fields;
    match fields.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        other => panic!("{key} is no text: {other:?}"),
    }
}

/// The addresses of an answer, in order.
pub(crate) fn pins(response: &CheckResponse) -> Vec<&str> {
    let keys = (0..20).map(pinfold_gateway::envoy::pin_key);
    keys.map_while(|key| meta(response, &key)).collect()
}

/// What the client of Envoy gets: status, fields, body.
pub(crate) fn denied(response: &CheckResponse) -> (i32, HashMap<&str, &str>, &str) {
    let Some(Answer::Denied(denied)) = &response.answer else {
        panic!("not denied: {response:?}");
    };
    let fields = denied.headers.iter().map(|option| {
        assert_eq!(option.append_action, wire::OVERWRITE);
        let field = option.header.as_ref().unwrap();
        (&*field.key, &*field.value)
    });
    let status = denied.status.as_ref().unwrap().code;
    (status, fields.collect(), &denied.body)
}
