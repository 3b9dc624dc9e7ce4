//! An exchange whose answer nobody, or somebody, reads.

use http_body_util::{BodyExt, Full, StreamBody};

use super::*;
use crate::{
    event::Exchange as Kinds,
    limit::Admission,
    live::testing::{Bench, asked},
};

const BOUNDS: Bounds = Bounds {
    silence: Duration::from_secs(60),
    lifetime: Duration::from_secs(3600),
};

/// A registry, a place for one exchange, and that exchange, with a connection.
struct Case {
    bench: Bench,
    admission: Admission,
    exchange: Arc<Exchange>,
}

impl Case {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let limits = config::Limits {
            tunnels: 1,
            ..config::Limits::default()
        };
        let admission = Admission::new(&limits);
        let permit = admission.request(None).unwrap();
        let asked = Arc::new(asked("a.example.com", Kinds::Forward));
        let exchange = Exchange::new(Arc::clone(&bench.registry), asked, permit, BOUNDS);
        Self {
            bench,
            admission,
            exchange,
        }
    }

    async fn open(&self) {
        let (connection, _) = self.bench.connection("a.example.com").await;
        self.exchange
            .open(connection.decision(), &connection.held());
    }

    fn endings(&self) -> Vec<Closing> {
        let ended = self.bench.told.ended();
        ended.iter().map(|ended| ended.closing).collect()
    }

    fn place_is_free(&self) -> bool {
        self.admission.request(None).is_ok()
    }
}

/// A body that brings this, and then nothing for ever.
fn stalling(first: &'static [u8]) -> UnsyncBoxBody<Bytes, BoxError> {
    use futures_util::StreamExt;
    let first = futures_util::stream::once(async move { Ok(Frame::data(Bytes::from(first))) });
    StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync()
}

fn whole(text: &'static str) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::from(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}

async fn next(download: &mut Download) -> Option<Result<Bytes, String>> {
    let frame = std::future::poll_fn(|cx| download.poll_frame(cx)).await?;
    Some(
        frame
            .map(|frame| frame.into_data().unwrap())
            .map_err(|error| error.to_string()),
    )
}

#[tokio::test]
async fn an_answer_that_is_read_to_its_end_is_finished() {
    let case = Case::new().await;
    case.open().await;
    case.exchange.up(3);
    let (exchange, scope) = (Arc::clone(&case.exchange), Scope::default());
    let mut download = exchange.download(&scope, whole("hello"));
    assert!(!case.place_is_free());
    assert_eq!(next(&mut download).await, Some(Ok(Bytes::from("hello"))));
    assert_eq!(next(&mut download).await, None);
    drop(download);
    assert!(case.place_is_free());
    scope.finished().await;
    assert_eq!(case.bench.registry.len(), 0);
    let ended = case.bench.told.ended();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].up, ended[0].down), (3, 5));
    assert_eq!(ended[0].closing, Closing::Finished);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let case = Case::new().await;
    case.open().await;
    let scope = Scope::default();
    let mut download = Arc::clone(&case.exchange).download(&scope, stalling(b"a"));
    tokio::time::pause();
    let began = Instant::now();
    scope.finished().await;
    assert!(began.elapsed() >= BOUNDS.silence);
    assert_eq!(case.endings(), [Closing::Idle]);
    assert!(
        case.place_is_free(),
        "though the client still holds its end"
    );
    assert!(matches!(next(&mut download).await, Some(Err(_))));
    assert_eq!(next(&mut download).await, None);
}

#[tokio::test]
async fn what_is_revoked_is_cut_whether_it_is_read_or_not() {
    let case = Case::new().await;
    case.open().await;
    let scope = Scope::default();
    let mut download = Arc::clone(&case.exchange).download(&scope, stalling(b"a"));
    assert_eq!(case.bench.registry.close_all(Closing::Revoked), 1);
    scope.finished().await;
    assert_eq!(case.endings(), [Closing::Revoked]);
    assert!(matches!(next(&mut download).await, Some(Err(_))));

    let case = Case::new().await;
    case.open().await;
    let scope = Scope::default();
    let mut download = Arc::clone(&case.exchange).download(&scope, stalling(b"a"));
    next(&mut download).await;
    let reading = tokio::spawn(async move { next(&mut download).await });
    tokio::task::yield_now().await;
    case.bench.registry.close_all(Closing::Revoked);
    assert!(matches!(reading.await.unwrap(), Some(Err(_))), "woken");
}

#[tokio::test]
async fn who_drops_the_answer_ends_the_exchange() {
    let case = Case::new().await;
    case.open().await;
    let scope = Scope::default();
    drop(Arc::clone(&case.exchange).download(&scope, stalling(b"a")));
    scope.finished().await;
    assert_eq!(case.endings(), [Closing::Client]);
    assert!(case.place_is_free());
}

#[tokio::test]
async fn the_silence_counts_from_the_connection_and_from_each_byte() {
    let case = Case::new().await;
    let exchange = Arc::clone(&case.exchange);
    let waiting = tokio::spawn(async move { exchange.until(std::future::pending::<()>()).await });
    case.open().await;
    tokio::time::pause();
    tokio::time::sleep(BOUNDS.silence / 2).await;
    case.exchange.up(1);
    tokio::time::sleep(BOUNDS.silence / 2 + GRACE * 2).await;
    assert!(!waiting.is_finished(), "a byte went up meanwhile");
    let closing = waiting.await.unwrap().unwrap_err();
    assert_eq!(closing, Closing::Idle);
    assert_eq!(case.endings(), [Closing::Idle]);
    assert_eq!(refusal(closing).kind.status(), 504);
}

#[tokio::test]
async fn a_second_connection_takes_the_place_of_the_first() {
    let case = Case::new().await;
    case.open().await;
    case.open().await;
    assert_eq!(case.endings(), [], "the end of a request is told once");
    assert_eq!(case.bench.registry.len(), 1);
    let (live, permit) = case.exchange.hand_over().unwrap();
    case.exchange.close(Closing::Client);
    assert_eq!(case.bench.registry.len(), 1, "a tunnel goes on with it");
    drop((live, permit));
    assert!(case.place_is_free());
    assert_eq!(case.endings(), [Closing::Finished]);
}

#[tokio::test]
async fn who_lets_go_of_it_because_the_gateway_ends_is_not_blamed() {
    for told in [Closing::Drained, Closing::Client] {
        let case = Case::new().await;
        case.open().await;
        let download = Arc::clone(&case.exchange).download(&Scope::default(), stalling(b"a"));
        if told == Closing::Drained {
            assert_eq!(case.bench.registry.end(), 1);
        }
        drop(download);
        assert_eq!(case.endings(), [told]);
    }
    let case = Case::new().await;
    case.bench.registry.end();
    case.open().await;
    let Case {
        bench, exchange, ..
    } = case;
    drop(exchange);
    assert_eq!(bench.told.ended()[0].closing, Closing::Drained, "came late");
}

#[tokio::test]
async fn who_gives_up_waiting_ends_the_exchange() {
    let Case {
        bench,
        admission,
        exchange,
    } = Case::new().await;
    let (connection, _) = bench.connection("a.example.com").await;
    exchange.open(connection.decision(), &connection.held());
    let waiting = exchange.until(std::future::pending::<()>());
    let given_up = tokio::time::timeout(Duration::from_millis(10), waiting).await;
    assert!(given_up.is_err());
    drop(exchange);
    assert_eq!(bench.told.ended()[0].closing, Closing::Client);
    assert!(admission.request(None).is_ok());
}
