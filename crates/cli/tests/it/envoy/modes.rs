//! Each way to use Envoy: what is allowed arrives at the judged address, and nothing else does.

use super::support::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_arrives_at_the_judged_address() {
    let stage = Stage::start("forward").await;
    let url = stage.lab.url("public", "/");
    let answer = stage.get(&url).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let refused = stage.get(&stage.lab.url("internal", "/")).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.field("pinfold-reason"), Some("address-not-public"));
    assert_eq!(stage.lab.leaks().await.unwrap(), 0);
}
