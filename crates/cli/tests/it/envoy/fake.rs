//! A decision service that says what a test wants: a wrong one, one that was taken over, one that is broken.
//!
//! It shares no code with the gateway. Its messages are written by hand: a few fields of `ext_authz` (V3).

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Collected, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, task::JoinHandle};

/// The service. It ends when it is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    says: Mutex<Says>,
    hosts: Mutex<Vec<String>>,
}

/// What it answers to every question.
#[derive(Clone)]
pub(crate) enum Says {
    /// Go on, with this as `pin`, `pin2`, ...
    Pins(Vec<Value>),
    /// No.
    No,
    /// An error of HTTP, which is no answer.
    Error,
}

/// A value of metadata.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Texts(Vec<String>),
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            says: Mutex::new(Says::No),
            hosts: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn says(&self, says: Says) {
        *self.state.says.lock().unwrap() = says;
    }

    /// Go on, there.
    pub(crate) fn pin(&self, address: impl ToString) {
        self.says(Says::Pins(vec![Value::Text(address.to_string())]));
    }

    /// `request.http.host` of each question since the last call; empty for one about a connection.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.hosts.lock().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        let connection = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
    }
}

type Answered = Response<BoxBody<Bytes, Infallible>>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answered, Infallible> {
    if request.uri().path().starts_with("/grpc.health.v1.Health/") {
        return Ok(message(vec![0x08, SERVING]));
    }
    let question = request.into_body().collect().await;
    let question = question.map(Collected::to_bytes).unwrap_or_default();
    let host = HOST
        .iter()
        .try_fold(question.get(5..).unwrap_or(&[]), |at, tag| field(at, *tag));
    let host = String::from_utf8_lossy(host.unwrap_or(&[])).into_owned();
    state.hosts.lock().unwrap().push(host);
    let says = state.says.lock().unwrap().clone();
    Ok(match says {
        Says::Pins(pins) => message(go_on(&pins)),
        Says::No => message(no()),
        Says::Error => Response::builder()
            .status(500)
            .body(Full::default().boxed())
            .unwrap(),
    })
}

/// One message and no error, as gRPC frames it.
fn message(message: Vec<u8>) -> Answered {
    let length = u32::try_from(message.len()).unwrap();
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(0))]);
    let body = Full::from(framed).with_trailers(async { Some(Ok(status)) });
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body.boxed())
        .unwrap()
}

/// `CheckResponse { status: {}, ok_response: {}, dynamic_metadata: { pin, pin2, ... } }`
fn go_on(pins: &[Value]) -> Vec<u8> {
    let entries = pins.iter().enumerate().map(|(at, pin)| {
        let key = match at {
            0 => "pin".to_owned(),
            _ => format!("pin{}", at + 1),
        };
        let entry = [part(1, key.as_bytes()), part(2, &value(pin))].concat();
        part(1, &entry)
    });
    let metadata: Vec<u8> = entries.flatten().collect();
    [part(1, &[]), part(3, &[]), part(4, &metadata)].concat()
}

/// `CheckResponse { status: { code: 7 }, denied_response: { status: { code: 403 } } }`
fn no() -> Vec<u8> {
    let forbidden = [0x08, 0x93, 0x03];
    [part(1, &[0x08, 7]), part(2, &part(1, &forbidden))].concat()
}

/// `google.protobuf.Value`
fn value(value: &Value) -> Vec<u8> {
    match value {
        Value::Text(text) => part(3, text.as_bytes()),
        Value::Number(number) => [vec![0x11], number.to_le_bytes().to_vec()].concat(),
        Value::Texts(texts) => {
            let texts = texts.iter().map(|text| part(1, &part(3, text.as_bytes())));
            part(6, &texts.collect::<Vec<_>>().concat())
        }
    }
}

/// A field that holds bytes.
fn part(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut part = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        part.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    part.push(length as u8);
    part.extend(bytes);
    part
}

/// The first field with this tag that holds bytes.
fn field(mut message: &[u8], tag: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let key = number(&mut message)?;
        let bytes = match key & 7 {
            0 => number(&mut message).map(|_| &[][..])?,
            1 => message.split_off(..8)?,
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                message.split_off(..length)?
            }
            5 => message.split_off(..4)?,
            _ => return None,
        };
        if key == tag << 3 | 2 {
            return Some(bytes);
        }
    }
    None
}

fn number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10 {
        let byte = *message.split_off_first()?;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// `attributes.request.http.host`
const HOST: [u64; 4] = [1, 4, 2, 5];
/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: u8 = 1;
