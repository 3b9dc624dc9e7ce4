//! What ends a tunnel in which nobody ends it.

use super::*;

/// How long the tunnel lasts from now on, in seconds, rounded down; and why it ends.
async fn lasts(ends: Ends) -> (u64, Closing) {
    let began = Instant::now();
    let Ends {
        client: _client,
        server: _server,
        tunnel,
    } = ends;
    let closing = tunnel.await.unwrap();
    (began.elapsed().as_secs(), closing)
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test]
async fn silence_ends_a_tunnel() {
    let scene = Scene::new().await;
    assert_eq!(lasts(scene.open(OFF)).await, (300, Closing::Idle));
    assert_eq!(scene.bench.told.ended()[0].silent.as_secs(), 300);
}

#[tokio::test]
async fn each_byte_in_either_direction_starts_the_silence_again() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    pass(200).await;
    ends.client.write_all(b"x").await.unwrap();
    pass(200).await;
    ends.server.write_all(b"x").await.unwrap();
    settle().await;
    assert_eq!(lasts(ends).await, (299, Closing::Idle));
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_silence() {
    let scene = Scene::new().await;
    let mut ends = scene.open_as(asked("a.example.com", Exchange::Connect), OFF, 16);
    let flood = vec![0; 1 << 20];
    let flooding = ends.client.write_all(&flood);
    assert!(
        tokio::time::timeout(Duration::from_secs(299), flooding)
            .await
            .is_err()
    );
    let (time, closing) = lasts(ends).await;
    assert!(time <= 1 && closing == Closing::Idle);
}

#[tokio::test]
async fn a_half_may_go_on_alone_for_a_while() {
    let scene = Scene::new().await;
    for client_first in [true, false] {
        let mut ends = scene.open(OFF);
        // The silence before it does not count.
        pass(200).await;
        match client_first {
            true => ends.client.shutdown().await.unwrap(),
            false => ends.server.shutdown().await.unwrap(),
        }
        pass(20).await;
        match client_first {
            true => ends.server.write_all(b"x").await.unwrap(),
            false => ends.client.write_all(b"x").await.unwrap(),
        }
        settle().await;
        assert_eq!(
            lasts(ends).await,
            (29, Closing::Idle),
            "client first: {client_first}"
        );
    }
}

#[tokio::test]
async fn a_life_is_bounded_however_much_moves() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    let talking = async {
        loop {
            ends.client.write_all(b"x").await.unwrap();
            hears(&mut ends.server, b"x").await;
            pass(100).await;
        }
    };
    let closing = tokio::select! {
        closing = &mut ends.tunnel => closing.unwrap(),
        () = talking => unreachable!(),
    };
    assert_eq!(closing, Closing::Lifetime);
    assert_eq!(scene.bench.told.ended()[0].lasted.as_secs(), 86_400);
}

#[tokio::test]
async fn the_terms_of_the_policy_bound_it_more_tightly() {
    let limits = serde_json::json!({"total_timeout_ms": 5_000});
    let scene = Scene::with_settings(serde_json::json!({"limits": limits})).await;
    assert_eq!(lasts(scene.open(OFF)).await, (5, Closing::Lifetime));
}

#[tokio::test]
async fn what_is_told_to_close_closes_at_once() {
    let scene = Scene::new().await;
    let mut ends = scene.open(OFF);
    pass(10).await;
    assert_eq!(scene.bench.registry.close_all(Closing::Operator), 1);
    assert_eq!(rest(&mut ends.client).await, b"");
    assert_eq!(rest(&mut ends.server).await, b"");
    assert_eq!(lasts(ends).await, (0, Closing::Operator));
    assert_eq!(scene.bench.registry.len(), 0);
}
