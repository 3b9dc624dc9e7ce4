use std::time::Duration;

use tokio::time::{advance, timeout};

use super::{testing::Bench, *};

const SOON: Duration = Duration::from_millis(1);

#[tokio::test]
async fn each_end_is_told_once_with_what_moved() {
    let bench = Bench::new().await;
    let live = bench.enter("a.example.com").await;
    tokio::time::pause();
    let id = live.asked().id;
    live.up(3);
    live.up(4);
    advance(Duration::from_secs(2)).await;
    live.down(5);
    advance(Duration::from_secs(3)).await;
    let open = &bench.registry.list(9)[0];
    assert_eq!((open.up, open.down, open.closing), (7, 5, None));
    live.end(Closing::Server);

    let ended = bench.told.ended();
    assert_eq!(ended.len(), 1);
    let ended = &ended[0];
    assert_eq!((ended.asked.id, ended.closing), (id, Closing::Server));
    assert_eq!((ended.up, ended.down), (7, 5));
    assert_eq!(ended.lasted.as_secs(), 5);
    assert_eq!(ended.silent.as_secs(), 3);
    assert_eq!(bench.registry.len(), 0);
}

#[tokio::test]
async fn what_is_dropped_says_what_it_was_told() {
    let bench = Bench::new().await;
    let (quiet, told) = (
        bench.enter("a.example.com").await,
        bench.enter("b.example.com").await,
    );
    assert!(
        bench
            .registry
            .close(&told.asked().id.to_string(), Closing::Operator)
    );
    assert!(!bench.registry.close("none", Closing::Operator));
    drop((quiet, told));
    let closings: Vec<_> = bench
        .told
        .ended()
        .iter()
        .map(|ended| ended.closing)
        .collect();
    assert_eq!(closings, [Closing::Finished, Closing::Operator]);
}

#[tokio::test]
async fn whoever_moves_the_bytes_hears_what_it_is_told() {
    let bench = Bench::new().await;
    let (before, after) = (
        bench.enter("a.example.com").await,
        bench.enter("b.example.com").await,
    );
    let waiting = before.told_to_close();
    let mut waiting = std::pin::pin!(waiting);
    assert!(timeout(SOON, &mut waiting).await.is_err());
    assert_eq!(bench.registry.close_all(Closing::Drained), 2);
    assert_eq!(waiting.await, Closing::Drained);
    // Told before anybody listened; what comes later changes nothing.
    bench.registry.close_all(Closing::Operator);
    assert_eq!(after.told_to_close().await, Closing::Drained);
}

#[tokio::test]
async fn a_life_ends_and_can_be_made_shorter() {
    let bench = Bench::new().await;
    let early = Instant::now();
    let live = bench.enter("a.example.com").await;
    let late = Instant::now();
    tokio::time::pause();
    assert!(
        timeout(Duration::from_secs(9_999), live.told_to_close())
            .await
            .is_err()
    );
    live.outlive_at_most(Duration::from_secs(20_000));
    let listening = async {
        assert_eq!(live.told_to_close().await, Closing::Lifetime);
        Instant::now()
    };
    let shorten = async {
        tokio::time::sleep(SOON).await;
        live.outlive_at_most(Duration::from_secs(10_010));
        live.outlive_at_most(Duration::from_secs(30_000));
    };
    // Counted from entering, which took the time of this machine.
    let ended = tokio::join!(listening, shorten).0;
    assert!(ended - early >= Duration::from_secs(10_010));
    assert!(ended - late <= Duration::from_secs(10_010) + 2 * SOON);
}

#[tokio::test]
async fn the_terms_of_the_decision_bound_the_life() {
    let limits = serde_json::json!({"total_timeout_ms": 5_000, "https_only": true});
    let bench = Bench::with_settings(serde_json::json!({"limits": limits})).await;
    let live = bench.enter("a.example.com").await;
    assert!(live.needs_tls());
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(live.told_to_close().await, Closing::Lifetime);
    assert!(began.elapsed() <= Duration::from_millis(5_001));
}

#[tokio::test]
async fn operators_see_the_newest_and_how_many_of_which_kind() {
    let bench = Bench::new().await;
    let (connection, _) = bench.connection("a.example.com").await;
    let enter = |kind| bench.enter_with(testing::asked("a.example.com", kind), &connection);
    let all = [
        enter(Exchange::Connect),
        enter(Exchange::Socks),
        enter(Exchange::Socks),
        enter(Exchange::Forward),
    ];
    let counts = Counts {
        connect: 1,
        forward: 1,
        upgrade: 0,
        socks: 2,
    };
    assert_eq!(bench.registry.counts(), counts);
    let listed: Vec<_> = bench
        .registry
        .list(2)
        .iter()
        .map(|open| open.asked.id)
        .collect();
    assert_eq!(listed, [all[3].asked().id, all[2].asked().id]);
    drop(all);
    assert_eq!(bench.registry.counts(), Counts::default());
}
