//! How `host:port` and URLs are read, row by row.

use serde_json::Value;

use super::page::rows;
use crate::support::{Proxy, field, file, status};

/// Lets nothing out: a target that is read is refused by the policy, before it is looked up.
const NOTHING: &str = "[hosts]\nallow = ['nothing.example.com']";

#[tokio::test]
async fn targets_are_read_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", NOTHING);
    let proxy = Proxy::with(&format!("policy.settings = '{}'", settings.display())).await;
    let mut wrong = Vec::new();
    for row in rows("targets") {
        let here = read(&proxy, &row).await;
        if row["here"] != here.as_str() {
            wrong.push(format!("{row} is {here}"));
            continue;
        }
        let refused = |text: &str| !text.contains(':');
        let there = row["there"].as_str().unwrap();
        let same = there == here || (there == "error" && refused(&here));
        assert_eq!(same, row["difference"].is_null(), "unexplained: {row}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The authority that is judged, or the reason why nothing is.
async fn read(proxy: &Proxy, row: &Value) -> String {
    let target = row["target"].as_str().unwrap();
    let line = match row["form"].as_str().unwrap() {
        "connect" => format!("CONNECT {target}"),
        _ => format!("GET {target}"),
    };
    let mut client = proxy.client().await;
    client
        .send(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await;
    let (head, _) = client.answer().await;
    let reason = field(&head, "pinfold-reason").unwrap();
    if status(&head) == 400 {
        return reason.into();
    }
    assert_eq!(status(&head), 403, "{row}: {head}");
    let id = field(&head, "pinfold-request-id").unwrap();
    let told = proxy.logged(|line| line["request_id"] == id).await;
    assert_eq!(told["decision"]["lookups"].as_u64().unwrap_or(0), 0);
    told["authority"].as_str().unwrap().into()
}
