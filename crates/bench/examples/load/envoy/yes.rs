//! A service that an Envoy asks (`ext_authz`, gRPC over HTTP/2), and that answers every question with the same bytes,
//! without reading it: the limit. No service that decides anything can be faster than this.
//!
//! As much of HTTP/2 (RFC 9113) as that needs: heads are not decoded, and what is sent stays far below every window.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::origin::{CHUNK, accept};

/// Serves until the process ends; says where.
pub(crate) async fn serve(pin: &str) -> io::Result<SocketAddr> {
    let answer = Answer::new(pin);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(accept(listener, move |stream| talk(stream, answer.clone())));
    Ok(address)
}

async fn talk(stream: TcpStream, answer: Answer) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(CHUNK, stream);
    let mut payload = vec![0; PREFACE];
    stream.read_exact(&mut payload).await?;
    let mut out = frame(SETTINGS, 0, 0, &[]);
    loop {
        // What came together is answered together.
        if stream.buffer().is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        payload.resize(u32::from_be_bytes([0, a, b, c]) as usize, 0);
        stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS if flags & ACK == 0 => out.extend(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => out.extend(frame(PING, ACK, 0, &payload)),
            DATA if !payload.is_empty() => {
                let taken = payload.len() as u32;
                out.extend(frame(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes()));
            }
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            answer.write(id, &mut out);
        }
    }
}

/// The payloads of the frames of an answer.
#[derive(Clone)]
struct Answer {
    message: Vec<u8>,
}

impl Answer {
    /// One message for both questions: of `CheckResponse` it is the status 0 (field 1), an answer that allows (3), and
    /// metadata with the address (4). A reader of `HealthCheckResponse` finds a number in field 1, which says that the
    /// service is well; each passes over what is of another type than it knows.
    fn new(pin: &str) -> Self {
        let value = field(3, pin.as_bytes());
        let entry = [field(1, b"pin"), field(2, &value)].concat();
        let metadata = field(1, &entry);
        let healthy = [1 << 3, 1];
        let message = [
            healthy.to_vec(),
            field(1, &[]),
            field(3, &[]),
            field(4, &metadata),
        ]
        .concat();
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        Self { message: framed }
    }

    fn write(&self, id: u32, to: &mut Vec<u8>) {
        to.extend(frame(HEADERS, END_HEADERS, id, HEAD));
        to.extend(frame(DATA, 0, id, &self.message));
        to.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, TRAILERS));
    }
}

/// A field of protocol buffers that has a length, which is below 128 here.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, value.len() as u8];
    field.extend(value);
    field
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend(length);
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:status: 200` by its index, `content-type` with its name by index (RFC 7541).
const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

/// Bytes with which a client begins.
const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
