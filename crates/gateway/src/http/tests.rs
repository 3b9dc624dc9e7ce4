//! How connections end, in paused time and byte by byte.

use http::Response;
use http_body_util::Empty;
use hyper::service::service_fn;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};

use super::*;

/// An idle connection is kept for longer than a farewell takes.
const LIMITS: Limits = Limits {
    bounds: Bounds {
        bytes: 16 << 10,
        fields: 100,
    },
    head_time: Duration::from_secs(10),
    keep_alive: Duration::from_secs(20),
    idle: Duration::from_secs(300),
    streams: 10,
};

#[tokio::test(start_paused = true)]
async fn a_client_hears_of_the_end_and_has_time_for_it() {
    // Longer than a farewell is what both were quiet for.
    for (row, quiet) in [("idle", None), ("drained", Some(FAREWELL * 2))] {
        let draining = CancellationToken::new();
        let mut client = asked(draining.clone()).await;
        if let Some(quiet) = quiet {
            tokio::spawn(async move {
                sleep(quiet).await;
                draining.cancel();
            });
        }
        until_farewell(&mut client, row).await;
        let told = Instant::now();
        while frame(&mut client).await.is_some() {}
        assert_eq!(told.elapsed(), FAREWELL, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_crosses_the_farewell_is_answered() {
    let mut client = asked(CancellationToken::new()).await;
    until_farewell(&mut client, "idle").await;
    sleep(FAREWELL / 2).await;
    client.write_all(&request(3)).await.unwrap();
    let mut answered = false;
    while let Some(frame) = frame(&mut client).await {
        answered |= (frame.kind, frame.stream) == (HEADERS, 3);
    }
    assert!(answered);
}

/// A client that has asked once, and the end of its connection before us.
async fn asked(draining: CancellationToken) -> DuplexStream {
    let (mut client, server) = duplex(64 << 10);
    tokio::spawn(serve(Box::new(server), draining));
    client.write_all(PREFACE).await.unwrap();
    client
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    client.write_all(&request(1)).await.unwrap();
    client
}

async fn serve(stream: Box<dyn Stream>, draining: CancellationToken) {
    let (activity, scope) = (Activity::new(), Scope::default());
    let _all_tasks = scope.bind();
    let of = Arc::clone(&activity);
    let service = service_fn(move |_| {
        let _busy = of.enter();
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let parts = (Arc::clone(&activity), scope.clone());
    let connection = http2(service, parts, stream, BytesMut::new(), LIMITS);
    drive(&draining, &activity, connection, LIMITS).await;
}

/// `:method: POST`, `:scheme: http`, `:path: /`, from the static table.
fn request(stream: u8) -> [u8; 12] {
    [0, 0, 3, HEADERS, 5, 0, 0, 0, stream, 0x83, 0x86, 0x84]
}

async fn until_farewell(client: &mut DuplexStream, row: &str) {
    loop {
        let frame = frame(client).await;
        let frame = frame.unwrap_or_else(|| panic!("{row}: it ends without a farewell"));
        if frame.kind == GOAWAY {
            return;
        }
    }
}

struct Frame {
    kind: u8,
    stream: u8,
}

async fn frame(client: &mut DuplexStream) -> Option<Frame> {
    let mut head = [0; 9];
    client.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        stream: head[8],
    })
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
