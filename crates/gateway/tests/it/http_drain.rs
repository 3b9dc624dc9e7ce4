//! What becomes of requests when the gateway drains.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, sync::oneshot};

use crate::support::{Client, Echo, PUBLIC, Proxy, field, status};

const NAME: &str = "public.lab.example.com";

#[tokio::test]
async fn a_kept_connection_ends_when_the_gateway_drains() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let request = format!(
        "GET http://{}/ HTTP/1.1\r\n\r\n",
        server.at("public.lab.example.com")
    );
    client.send(request.as_bytes()).await;
    client.answer().await;
    let (gateway, _folder) = proxy.into_gateway();
    let drained = tokio::spawn(gateway.drain());
    client.ended().await;
    drop(client);
    let drained = drained.await.unwrap();
    assert!(drained.took < Duration::from_secs(5), "{drained:?}");
}

#[tokio::test]
async fn an_answer_under_way_comes_to_its_end() {
    let (begun, go) = (std::sync::Mutex::new(None), std::sync::Mutex::new(None));
    let (tell, hear) = oneshot::channel::<()>();
    let (release, wait) = oneshot::channel::<()>();
    *begun.lock().unwrap() = Some(tell);
    *go.lock().unwrap() = Some(wait);
    let server = Echo::serve(PUBLIC, move |stream| {
        let (begun, go) = (begun.lock().unwrap().take(), go.lock().unwrap().take());
        async move {
            let mut client = Client::over(stream);
            client.head().await;
            client
                .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                .await;
            begun.unwrap().send(()).unwrap();
            go.unwrap().await.unwrap();
            let _ = client.stream.write_all(b"world").await;
        }
    })
    .await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    client
        .send(format!("GET http://{}/ HTTP/1.1\r\n\r\n", server.at(NAME)).as_bytes())
        .await;
    assert_eq!(status(&client.head().await), 200);
    hear.await.unwrap();
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    tokio::time::sleep(Duration::from_millis(50)).await;
    release.send(()).unwrap();
    assert_eq!(client.exactly(10).await, b"helloworld");
    client.ended().await;
    drop(client);
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_request_on_its_way_is_answered() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let request = format!(
        "GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n",
        server.at(NAME)
    );
    let (first, second) = request.split_at(20);
    let mut client = proxy.client().await;
    client.send(first.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (gateway, _folder) = proxy.into_gateway();
    let draining = tokio::spawn(gateway.drain());
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send(second.as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 200);
    assert_eq!(field(&head, "connection"), Some("close"));
    client.ended().await;
    drop(client);
    assert_eq!(draining.await.unwrap().cut, 0);
}
