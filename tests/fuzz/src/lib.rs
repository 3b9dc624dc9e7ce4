//! What must hold for every input, whoever makes it up: a fuzzer, or the test of the corpus.
//!
//! Each target takes bytes, and panics when something does not hold. Where a stream is read piece by piece, the result
//! must not depend on how it was cut.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, Uri, body::Incoming};
use pinfold_gateway::{
    Config,
    fuzz::{
        Opener, Opening,
        envoy::question,
        http::{Framing, Head, head as read_head},
        proxy_header, socks,
    },
};
use tokio::io::AsyncWriteExt;

/// All targets, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("socks", socks_messages),
    ("proxy_header", proxy_headers),
    ("opening", opening),
    ("head", head),
    ("chunks", chunks),
    ("config", config),
    ("envoy", envoy_questions),
];

/// Takes an input, and panics when something does not hold.
pub type Target = fn(&[u8]);

/// SOCKS5: the three messages of a client.
pub fn socks_messages(bytes: &[u8]) {
    message(bytes, socks::greeting);
    message(bytes, socks::password);
    message(bytes, socks::request);
}

/// Reads as the gateway does: never more than the message is known to need.
fn message<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&[u8]) -> Result<socks::Read<T>, socks::Malformed>,
) {
    let mut seen = 0;
    loop {
        match read(&bytes[..seen]) {
            Ok(socks::Read::More(more)) => {
                assert!((1..=512).contains(&more), "{more} bytes more");
                if seen + more > bytes.len() {
                    return;
                }
                seen += more;
            }
            Ok(socks::Read::Done(done)) => {
                assert!(seen <= 513, "{seen} bytes");
                let again = read(&bytes[..seen]);
                assert_eq!(again, Ok(socks::Read::Done(done)));
                if seen < bytes.len() {
                    assert_eq!(read(&bytes[..=seen]), Err(socks::Malformed::Trailing));
                }
                return;
            }
            Err(_) => return,
        }
    }
}

/// PROXY headers: what a whole one says does not depend on what follows it, and no part of it says anything.
pub fn proxy_headers(bytes: &[u8]) {
    let parsed = |end: usize| match proxy_header::parse(&bytes[..end]) {
        Ok(Some((behind, length))) => {
            assert!(length <= end, "{length} of {end} bytes");
            Ok(Some((behind, length)))
        }
        Ok(None) => Ok(None),
        Err(_) => Err(()),
    };
    // The first piece that says something decides, as it does when a header comes byte by byte.
    let whole = parsed(bytes.len());
    let first = (0..=bytes.len()).map(parsed).find(|said| *said != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
}

/// How a tunnel opens: the same, however it is cut.
pub fn opening(bytes: &[u8]) {
    let at_once = Opener::default().look(bytes);
    let mut opener = Opener::default();
    let by_bytes = (1..=bytes.len()).find_map(|end| opener.look(&bytes[..end]));
    // What is broken behind the hello is seen at once, and is not looked at any more byte by byte.
    let agree =
        by_bytes == at_once || matches!((&by_bytes, &at_once), (Some(Opening::Tls(_)), Some(_)));
    assert!(agree, "{by_bytes:?} byte by byte, {at_once:?} at once");
    if let Some(Opening::Tls(Some(name))) = &at_once {
        assert!(!name.is_empty() && name.len() <= 255, "{name:?}");
        assert!(
            name.bytes()
                .all(|byte| !byte.is_ascii_uppercase() && byte.is_ascii_graphic()),
            "{name:?}"
        );
    }
}

/// A chunked body: it ends at the same byte, however it is cut.
pub fn chunks(bytes: &[u8]) {
    let whole = framed(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(framed(bytes, size), whole, "in pieces of {size}");
    }
}

/// Where the body ends; none when it does not, `Err` when it is broken.
fn framed(bytes: &[u8], size: usize) -> Result<Option<usize>, ()> {
    let (mut framing, mut passed, mut there) = (Framing::default(), 0, 0);
    loop {
        let step = framing.step(&bytes[passed..there]).ok_or(())?;
        assert!(passed + step <= there, "more passed than there is");
        passed += step;
        if framing.is_done() {
            return Ok(Some(passed));
        }
        // A line may be complete without having moved.
        let mut stuck = framing;
        let goes_on = step > 0
            || stuck
                .step(&bytes[passed..there])
                .is_none_or(|step| step > 0);
        if !goes_on {
            if there == bytes.len() {
                return Ok(None);
            }
            there = (there + size).min(bytes.len());
        }
    }
}

/// The head of a request: it ends where it ends however it is cut, and a server reads the same request and the same body.
pub fn head(bytes: &[u8]) {
    let whole = read_head(bytes, 0, MOST, FIELDS);
    if let Ok(Some(head)) = &whole {
        assert!(head.length <= bytes.len());
        // What was looked at before is not looked at again.
        let scanned = head.length.saturating_sub(1);
        assert_eq!(read_head(bytes, scanned, MOST, FIELDS), whole);
        let part = &bytes[..head.length];
        assert_eq!(read_head(part, 0, MOST, FIELDS), whole);
        if !head.last
            && let Some(end) = message_end(bytes, *head)
        {
            served(&bytes[..end], *head);
        }
    }
}

/// Where the message ends, body included; none when it is not there as a whole.
fn message_end(bytes: &[u8], head: Head) -> Option<usize> {
    let body = &bytes[head.length..];
    let length = match head.body {
        Some(length) => usize::try_from(length).ok()?,
        None => framed(body, body.len().max(1)).ok()??,
    };
    (length <= body.len()).then(|| head.length + length)
}

/// Lets a server read the message and another one behind it.
fn served(message: &[u8], head: Head) {
    let target = message
        .split(|byte| *byte == b' ')
        .nth(1)
        .unwrap_or_default();
    let seen = seen_by_a_server(&[message, NEXT].concat());
    let Some((first, length)) = seen.first() else {
        // It refuses what we let through: nobody is led astray.
        return;
    };
    let shown = String::from_utf8_lossy(message);
    assert_eq!(
        Uri::try_from(target).ok().as_ref(),
        Some(first),
        "{shown:?}"
    );
    if let Some(body) = head.body {
        assert_eq!(Some(body), length.map(|length| length as u64), "{shown:?}");
    }
    assert!(length.is_some(), "the body is broken there: {shown:?}");
    match &seen[1..] {
        [] => {}
        [(next, _)] => assert_eq!(next, "http://next/", "{shown:?}"),
        more => panic!("{} requests in {shown:?}", more.len() + 1),
    }
}

type Seen = Vec<(Uri, Option<usize>)>;

/// Targets of the requests that a server sees, and how long their bodies are.
fn seen_by_a_server(bytes: &[u8]) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    runtime.expect("a runtime").block_on(async {
        let (mut client, server) = tokio::io::duplex(bytes.len() + (64 << 10));
        client.write_all(bytes).await.expect("there is room");
        client.shutdown().await.expect("it is open");
        let service = hyper::service::service_fn(move |request| answer(Arc::clone(&told), request));
        let _ = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .half_close(true)
            .serve_connection(hyper_util::rt::TokioIo::new(server), service)
            .await;
    });
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone()
}

async fn answer(
    seen: Arc<Mutex<Seen>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<&'static [u8]>>, Infallible> {
    let uri = request.uri().clone();
    let body = request.into_body().collect().await;
    let length = body.ok().map(|body| body.to_bytes().len());
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((uri, length));
    Ok(Response::new(Empty::new()))
}

/// A configuration: what is read is sound, and what is not says why.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text, Path::new("/nonexistent")) {
        Ok(config) => assert!(config.sound().is_ok()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Questions of an Envoy: what is judged is what the server will read.
pub fn envoy_questions(bytes: &[u8]) {
    let read = question(bytes);
    assert_eq!(question(bytes), read);
    let Some(Ok(read)) = read else {
        return;
    };
    let (authority, path) = &read.handed;
    let odd = |c: char| c.is_control() || c.is_whitespace() || "@,/\\?#%".contains(c);
    assert!(authority.is_ascii() && !authority.contains(odd), "{read:?}");
    assert!(
        !read.target.contains(['@', '#']) || path.contains('@'),
        "{read:?}"
    );
    let (scheme, rest) = read.target.split_once("://").expect("a URL");
    assert!(matches!(scheme, "http" | "https"), "{read:?}");
    let (_, judged) = rest.split_once('/').expect("a path");
    match read.kind {
        // An encoded character may have become three. None has gone.
        "forward" if path != "*" => {
            let slashes = |text: &str| text.matches('/').count();
            assert_eq!(slashes(judged) + 1, slashes(path), "{read:?}");
            assert!(judged.len() + 1 >= path.len(), "{read:?}");
        }
        _ => assert_eq!(judged, "", "{read:?}"),
    }
    assert!(read.labels.is_sorted(), "{read:?}");
    let ours = |name: &str| matches!(name, "listener" | "kind") || name.starts_with("pinfold-");
    assert!(!read.labels.iter().any(|(name, _)| ours(name)), "{read:?}");
}

/// What follows a message.
const NEXT: &[u8] = b"GET http://next/ HTTP/1.1\r\nHost: next\r\n\r\n";

/// Bounds of a head, as the gateway has them by default.
const MOST: usize = 64 << 10;
const FIELDS: usize = 100;
