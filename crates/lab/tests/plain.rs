//! The positive control: each attack that should rebind the naive client does, the others do not.
//!
//! Without this, "no connection to the canary" could mean that the lab attacks no one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::IpAddr, time::Duration};

use pinfold_lab::{
    Lab, SECRET,
    dns::{Attack, attacks},
    plain::{Client, PlainError},
};

/// Longer than the time after which the timed attacks change their answer.
const PAUSE: Duration = Duration::from_millis(40);
/// Shorter than the retry of a real client, so that the silent attacks do not hold the test up.
const WAIT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn each_attack_fools_the_naive_client_or_not() {
    let lab = Lab::start().await.unwrap();
    let naive = Client::new(lab.dns().addr(), lab.forbidden())
        .pause(PAUSE)
        .wait(WAIT);
    let mut wrong = Vec::new();
    for attack in attacks(&lab.scene()) {
        let (reached, note) = play(&lab, &naive, &attack).await;
        // Drawn at random: each way is right, another test shows that both happen.
        if attack.name != "random" && reached != attack.fools_plain {
            wrong.push(format!("{}: reached {reached}, {note}", attack.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_answers_fool_it_some_of_the_time() {
    let lab = Lab::start().await.unwrap();
    let naive = Client::new(lab.dns().addr(), lab.forbidden());
    for attempt in 0..40 {
        let _ = naive.get(&lab.url(&format!("{attempt}.random"), "/")).await;
    }
    let leaks = lab.leaks().await.unwrap();
    assert!((1..40).contains(&leaks), "{leaks} of 40");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_fetch_is_rebound_where_the_first_is_not() {
    let lab = Lab::start().await.unwrap();
    let naive = Client::new(lab.dns().addr(), lab.forbidden());
    let url = lab.url("1.twice-then-forever", "/");
    assert!(naive.get(&url).await.is_ok());
    assert_eq!(lab.leaks().await.unwrap(), 0);
    // Now the check sees the internal address.
    let refused = naive.get(&url).await;
    assert!(
        matches!(refused, Err(PlainError::Forbidden(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_it_inside() {
    let lab = Lab::start().await.unwrap();
    let naive = Client::new(lab.dns().addr(), lab.forbidden());
    let to = format!("http%3A%2F%2F127.0.0.3%3A{}%2F", lab.port());
    for path in [format!("/redirect?to={to}"), format!("/hops/3?to={to}")] {
        let page = naive.get(&lab.url("public", &path)).await.unwrap();
        assert_eq!(
            (page.status, page.body.as_slice()),
            (200, SECRET.as_bytes()),
            "{path}"
        );
    }
    let endless = naive.get(&lab.url("public", "/loop")).await.unwrap();
    assert_eq!(endless.location.as_deref(), Some("/loop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_alone_works() {
    let lab = Lab::start().await.unwrap();
    let naive = Client::new(lab.dns().addr(), lab.forbidden());
    for host in ["internal.lab.example.com", "127.0.0.3", "localhost"] {
        let url = format!("http://{host}:{}/", lab.port());
        let refused = naive.get(&url).await;
        assert!(
            matches!(refused, Err(PlainError::Forbidden(_))),
            "{host}: {refused:?}"
        );
    }
    assert_eq!(lab.leaks().await.unwrap(), 0);
}

/// Plays one attack; says whether a canary was reached, and how it ended.
async fn play(lab: &Lab, naive: &Client, attack: &Attack) -> (bool, String) {
    lab.canaries()
        .into_iter()
        .for_each(pinfold_lab::http::Server::clear);
    let page = naive
        .get(&lab.url(&format!("1.{}", attack.name), "/"))
        .await;
    let reached = lab.leaks().await.unwrap() > 0;
    let from = page.as_ref().map(|page| (page.checked, page.peer.ip()));
    if reached && let Ok((checked, _)) = from {
        let forbidden: [IpAddr; 2] = lab.forbidden();
        assert!(
            !forbidden.contains(&checked),
            "{}: checked {checked}",
            attack.name
        );
    }
    (reached, format!("{from:?}"))
}
