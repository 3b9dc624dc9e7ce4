//! The gate between a client that writes bytes and a library that reads them.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const LIMITS: Limits = Limits {
    bounds: Bounds {
        bytes: 1024,
        fields: 10,
    },
    head_time: Duration::from_secs(10),
    stalled: Duration::from_secs(60),
};

struct Bench {
    client: DuplexStream,
    gate: Gate<DuplexStream>,
    activity: Arc<Activity>,
}

impl Bench {
    fn new() -> Self {
        let (client, server) = duplex(64 << 10);
        let activity = Activity::new();
        let gate = Gate::http1(server, BytesMut::new(), Arc::clone(&activity), &LIMITS);
        Self {
            client,
            gate,
            activity,
        }
    }

    /// Everything that the library gets until the client ends; none when it waits for ever.
    async fn passed(&mut self) -> Option<Vec<u8>> {
        let mut passed = Vec::new();
        let all = self.gate.read_to_end(&mut passed);
        tokio::time::timeout(Duration::from_secs(3600), all)
            .await
            .ok()
            .map(|_| passed)
    }

    /// What the service is told for each request in turn.
    fn refused(&self) -> Vec<Option<String>> {
        let heads = (0..3).map(|_| self.activity.next());
        heads
            .map(|refusal| refusal.map(|refusal| refusal.code.into_owned()))
            .collect()
    }
}

const GET: &[u8] = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";

const CONNECT: &[u8] = b"CONNECT a:1 HTTP/1.1\r\n\r\n";
const UPGRADE: &[u8] = b"GET http://a/ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";

/// What the library gets of a client that writes `bytes` in pieces of `size`, and ends.
async fn through(bytes: &[u8], size: usize) -> (Option<Vec<u8>>, Vec<Option<String>>) {
    let mut bench = Bench::new();
    for piece in bytes.chunks(size) {
        bench.client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    bench.client.shutdown().await.unwrap();
    (bench.passed().await, bench.refused())
}

#[tokio::test(start_paused = true)]
async fn what_is_well_formed_passes_unchanged() {
    let length = b"POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".as_slice();
    let chunked =
        b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    let rows = [
        ("one", GET.to_vec()),
        ("pipelined", GET.repeat(3)),
        ("a body, and the next", [length, GET].concat()),
        ("chunks, and the next", [chunked, GET].concat()),
        ("a tunnel", CONNECT.to_vec()),
        ("an upgrade", UPGRADE.to_vec()),
    ];
    for (name, bytes) in rows {
        for size in [1, 7, bytes.len()] {
            let (passed, refused) = through(&bytes, size).await;
            assert_eq!(
                passed.as_deref(),
                Some(&*bytes),
                "{name} in pieces of {size}"
            );
            assert_eq!(refused, [None, None, None], "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_tunnel_is_kept_for_it() {
    let early = b"\x16\x03\n\0 anything".as_slice();
    let body = b"POST http://a/ HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi".as_slice();
    for head in [CONNECT, UPGRADE, body] {
        for size in [1, 7, 500] {
            let mut bench = Bench::new();
            for piece in [head, early].concat().chunks(size) {
                bench.client.write_all(piece).await.unwrap();
            }
            bench.client.shutdown().await.unwrap();
            let mut passed = vec![0; head.len()];
            bench.gate.read_exact(&mut passed).await.unwrap();
            assert_eq!(passed, head);
            assert_eq!(bench.passed().await, None, "whose end is no end of it");
            let (mut client, held) = bench.gate.into_parts();
            assert_eq!(held, early);
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_before_there_is_a_tunnel_is_missed_whatever_it_sent() {
    /// A client that sends, and then breaks off.
    struct Breaks(Vec<u8>);
    impl AsyncRead for Breaks {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let length = self.0.len().min(out.remaining());
            let sent: Vec<u8> = self.0.drain(..length).collect();
            out.put_slice(&sent);
            Poll::Ready(match length {
                0 => Err(io::ErrorKind::ConnectionReset.into()),
                _ => Ok(()),
            })
        }
    }
    let sent = [CONNECT, b"early"].concat();
    let stream = tokio::io::join(Breaks(sent), tokio::io::sink());
    let mut gate = Gate::http1(stream, BytesMut::new(), Activity::new(), &LIMITS);
    let mut passed = Vec::new();
    let error = gate.read_to_end(&mut passed).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(passed, CONNECT);
}

#[tokio::test(start_paused = true)]
async fn not_everything_is_read_ahead() {
    let mut bench = Bench::new();
    bench.client.write_all(CONNECT).await.unwrap();
    bench.client.write_all(&[0; 40_000]).await.unwrap();
    let mut head = [0; CONNECT.len()];
    bench.gate.read_exact(&mut head).await.unwrap();
    assert_eq!(bench.passed().await, None);
    let (mut client, held) = bench.gate.into_parts();
    assert!(held.len() >= AHEAD && held.len() < AHEAD + PIECE);
    let mut rest = vec![0; 40_000 - held.len()];
    client.read_exact(&mut rest).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_before_a_request_is_passed_over_once() {
    for size in [1, 100] {
        let (passed, _) = through(&[b"\r\n", GET].concat(), size).await;
        assert_eq!(passed.as_deref(), Some(GET));
        let mut bench = Bench::new();
        bench
            .client
            .write_all(&[b"\r\n\r\n", GET].concat())
            .await
            .unwrap();
        let mut stand_in = vec![0; STAND_IN.len()];
        bench.gate.read_exact(&mut stand_in).await.unwrap();
        assert_eq!(stand_in, STAND_IN);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_under_way_after_an_empty_line_alone() {
    const KEPT: Duration = Duration::from_secs(60);
    for pieces in [vec!["\r\n"], vec!["\r", "\n"]] {
        let mut bench = Bench::new();
        for piece in &pieces {
            bench.client.write_all(piece.as_bytes()).await.unwrap();
            let more = bench.gate.read_u8();
            assert!(tokio::time::timeout(KEPT / 60, more).await.is_err());
        }
        let idle = bench.activity.idle(KEPT, KEPT);
        let idle = tokio::time::timeout(KEPT * 2, idle).await;
        assert!(idle.is_ok(), "{pieces:?}");
        // The time for a head counts from its own first byte.
        bench.client.write_all(b"G").await.unwrap();
        let slow = tokio::time::timeout(LIMITS.head_time * 2, bench.gate.read_u8());
        let began = Instant::now();
        assert_eq!(slow.await.unwrap().unwrap(), STAND_IN[0]);
        assert_eq!(began.elapsed(), LIMITS.head_time);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_head_is_replaced_and_nothing_follows_it() {
    let bad = b"GET http://a/ HTTP/1.1\r\nA : b\r\n\r\nGET http://smuggled/ HTTP/1.1\r\n\r\n";
    for size in [1, 500] {
        let mut bench = Bench::new();
        let bytes = [GET, bad].concat();
        for piece in bytes.chunks(size) {
            bench.client.write_all(piece).await.unwrap();
        }
        let mut passed = vec![0; GET.len() + STAND_IN.len()];
        bench.gate.read_exact(&mut passed).await.unwrap();
        assert_eq!(passed, [GET, STAND_IN].concat());
        let refused = [None, Some("header-name-invalid".to_owned()), None];
        assert_eq!(bench.refused(), refused);
        assert_eq!(
            bench.passed().await,
            None,
            "not even the end of the connection"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_chunks_break_the_connection() {
    let mut bench = Bench::new();
    let head = b"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    bench
        .client
        .write_all(&[head, b"5\nhello"].concat())
        .await
        .unwrap();
    let mut passed = Vec::new();
    let error = bench.gate.read_to_end(&mut passed).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(passed, head);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_from_its_first_byte() {
    let mut bench = Bench::new();
    let began = Instant::now();
    let client = tokio::spawn(async move {
        sleep(Duration::from_secs(30)).await;
        for byte in GET {
            bench.client.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    });
    let mut stand_in = vec![0; STAND_IN.len()];
    bench.gate.read_exact(&mut stand_in).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30) + LIMITS.head_time);
    assert_eq!(bench.activity.next().unwrap().code, "head-timeout");
    client.abort();
}

#[tokio::test(start_paused = true)]
async fn an_endless_head_is_refused_at_its_limit() {
    let mut bench = Bench::new();
    let head = [GET.strip_suffix(b"\r\n").unwrap(), &[b'x'; 2000]].concat();
    bench.client.write_all(&head).await.unwrap();
    let mut stand_in = vec![0; STAND_IN.len()];
    bench.gate.read_exact(&mut stand_in).await.unwrap();
    assert_eq!(bench.activity.next().unwrap().code, "head-too-large");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_waited_for() {
    let (_client, server) = duplex(16);
    let mut gate = Gate::http1(server, BytesMut::new(), Activity::new(), &LIMITS);
    let began = Instant::now();
    let error = gate.write_all(&[0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed(), LIMITS.stalled);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_the_client_still_sends() {
    let mut bench = Bench::new();
    let began = Instant::now();
    bench.gate.shutdown().await.unwrap();
    assert_eq!(began.elapsed(), LINGER_TIME, "the client keeps silent");

    let mut bench = Bench::new();
    bench.client.write_all(&[b'x'; 10_000]).await.unwrap();
    bench.client.shutdown().await.unwrap();
    let began = Instant::now();
    bench.gate.shutdown().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "the client has ended");

    let mut bench = Bench::new();
    bench.client.write_all(CONNECT).await.unwrap();
    let mut head = [0; CONNECT.len()];
    bench.gate.read_exact(&mut head).await.unwrap();
    let began = Instant::now();
    bench.gate.shutdown().await.unwrap();
    assert_eq!(began.elapsed(), LINGER_TIME, "there was no tunnel");
}

/// What the library made of some bytes after the gate.
#[derive(Default)]
struct Reading {
    /// Requests that were the client's.
    whole: usize,
    /// Requests that the gate refused.
    refused: usize,
    /// Bodies that broke off.
    broken: usize,
}

/// Lets a server of the library answer what the gate lets through.
async fn read_by_the_library(bytes: &[u8]) -> (Arc<Activity>, Reading) {
    let mut bench = Bench::new();
    bench.client.write_all(bytes).await.unwrap();
    bench.client.shutdown().await.unwrap();
    let activity = Arc::clone(&bench.activity);
    let reading = Arc::new(std::sync::Mutex::new(Reading::default()));
    let service = hyper::service::service_fn(|request| {
        let (activity, reading) = (Arc::clone(&activity), Arc::clone(&reading));
        async move { Ok::<_, std::convert::Infallible>(answered(&activity, &reading, request).await) }
    });
    let io = hyper_util::rt::TokioIo::new(bench.gate);
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        // All of it is there at once, and the end of it too.
        .half_close(true)
        .serve_connection(io, service);
    let _ended = tokio::time::timeout(Duration::from_secs(600), connection).await;
    let reading = std::mem::take(&mut *reading.lock().unwrap());
    (activity, reading)
}

async fn answered(
    activity: &Activity,
    reading: &std::sync::Mutex<Reading>,
    request: http::Request<hyper::body::Incoming>,
) -> http::Response<http_body_util::Empty<bytes::Bytes>> {
    let refused = activity.next().is_some();
    let last = request.method() == http::Method::CONNECT
        || request.headers().contains_key(http::header::UPGRADE);
    let body = http_body_util::BodyExt::collect(request.into_body()).await;
    let mut reading = reading.lock().unwrap();
    match body {
        _ if refused => reading.refused += 1,
        Err(_) => reading.broken += 1,
        Ok(_) => reading.whole += 1,
    }
    let mut response = http::Response::new(http_body_util::Empty::new());
    if last {
        let close = http::HeaderValue::from_static("close");
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        response
            .headers_mut()
            .insert(http::header::CONNECTION, close);
    }
    response
}

const STARTS: [&[u8]; 4] = [
    b"GET http://a/ HTTP/1.1\r\n",
    b"POST http://a/ HTTP/1.1\r\n",
    b"POST http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
];
const FIELDS: [&[u8]; 10] = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"content-length:\t05 \r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding:CHUNKED\t\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
];
const BODIES: [&[u8]; 8] = [
    b"hello",
    b"5\r\nhello\r\n",
    b"5;x\r\nhello\r\n",
    b"05\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"0;x\r\n\r\n",
    b"",
];
const ODD: [&[u8]; 8] = [b"\n", b"\r", b" ", b"\0", b"\r\n", b":", b"0", b";"];

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    /// A few requests, most of them nearly right.
    fn requests(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..=self.below(3) {
            bytes.extend(STARTS[self.below(STARTS.len())]);
            for _ in 0..self.below(3) {
                bytes.extend(FIELDS[self.below(FIELDS.len())]);
            }
            bytes.extend(b"\r\n");
            for _ in 0..self.below(4) {
                bytes.extend(BODIES[self.below(BODIES.len())]);
            }
        }
        if self.below(2) == 0 {
            let at = self.below(bytes.len());
            bytes.splice(at..at, ODD[self.below(ODD.len())].iter().copied());
        }
        bytes
    }
}

#[tokio::test(start_paused = true)]
async fn the_library_reads_what_the_gate_read() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut all = Reading::default();
    for _ in 0..6_000 {
        let bytes = random.requests();
        let (activity, reading) = read_by_the_library(&bytes).await;
        let shown = String::from_utf8_lossy(&bytes);
        let (heads, served) = activity.counts();
        // A request more is one that nobody let through, a request less is one that was read as a body.
        assert_eq!(served, heads, "{shown:?}");
        all.whole += reading.whole;
        all.refused += reading.refused;
        all.broken += reading.broken;
    }
    // It would be no test of much if all of it were of one kind.
    assert!(all.whole > 3_000, "{}", all.whole);
    assert!(all.refused > 1_000, "{}", all.refused);
    assert!(all.broken > 100, "{}", all.broken);
}
