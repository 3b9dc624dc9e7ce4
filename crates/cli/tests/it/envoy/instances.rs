//! Two gateways behind one Envoy: one ends, dies or hangs, and no request is lost.

use std::time::{Duration, Instant};

use super::{
    load::{self, CLIENTS, ENOUGH, tally},
    pair::Pair,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_told_to_end_loses_no_request() {
    let mut pair = Pair::start().await;
    let load = pair.load("ends").await;
    let second = pair.second.take().unwrap();
    second.served.signal("-TERM");
    load.more(ENOUGH).await;
    let (code, said) = second.served.end();
    assert_eq!(code, Some(0), "{said}");
    load.more(ENOUGH).await;
    pair.again().await;
    let back = pair.asked_again().await;
    let all = load.end().await;
    println!(
        "told to end: {:?}; asked again {back:?} after it was back",
        tally(&all)
    );
    pair.nothing_lost(&all).await;
    load::all_decided(&pair.lab, &[&pair.first, pair.second()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_no_request() {
    let mut pair = Pair::start().await;
    let load = pair.load("dies").await;
    let second = pair.second.take().unwrap();
    second.served.signal("-KILL");
    assert_eq!(second.served.end().0, None);
    load.more(2 * ENOUGH).await;
    pair.again().await;
    let back = pair.asked_again().await;
    let all = load.end().await;
    println!(
        "killed: {:?}; asked again {back:?} after it was back",
        tally(&all)
    );
    pair.nothing_lost(&all).await;
}

/// What was asked of it is asked of the other once nobody answers the ping, which is before the question is too old. The
/// time of a ping is as generated. Where the machine is so busy that the other one is taken for dead as well, what each
/// client had asked at that moment is refused, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_hangs_costs_a_moment_and_is_left_out() {
    let pair = Pair::with(|config| config).await;
    let load = pair.load("hangs").await;
    let at = Instant::now();
    pair.second().hang().await;
    load.more(ENOUGH).await;
    let slow = at.elapsed();
    load.more(ENOUGH).await;
    pair.second().served.signal("-CONT");
    let back = pair.asked_again().await;
    let all = load.end().await;
    let held: Vec<_> = all.iter().filter(|sent| sent.took > MOMENT).collect();
    let lost = all.iter().filter(|sent| sent.status == Some(503)).count();
    println!(
        "hangs: {} waited, at most {:?}, {lost} lost; {ENOUGH} answers after {slow:?}; asked again {back:?} after it went on",
        held.len(),
        held.iter().map(|sent| sent.took).max(),
    );
    assert!(!held.is_empty(), "it was asked when it hung");
    let unanswered = "cluster.pinfold.http2.keepalive_timeout";
    assert!(
        pair.envoy.stat(unanswered).await > 0,
        "nobody missed the answer to a ping"
    );
    assert!(lost <= CLIENTS, "{:?}", tally(&all));
    assert!(
        lost < held.len(),
        "nobody else was asked: {:?}",
        tally(&all)
    );
    load::closed(&pair.lab, &pair.envoy, &all).await;
    load::all_decided(&pair.lab, &[&pair.first, pair.second()]).await;
}

/// Longer than a question takes when nothing is wrong, on a busy machine too.
const MOMENT: Duration = Duration::from_millis(400);
