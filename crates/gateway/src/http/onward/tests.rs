//! Tunnels whose client does not take its answer.

use std::time::Duration;

use tokio::{
    io::{AsyncWriteExt, duplex},
    net::TcpListener,
    time::timeout,
};

use super::*;
use crate::{
    assemble::{Assembled, assemble},
    client::{Client, ClientAddress},
    http::serve,
    listen::Accepted,
};

const SOON: Duration = Duration::from_secs(20);

/// What a gateway shares that nobody connects to.
async fn shared() -> Arc<Shared> {
    let config = "
        admin = {enabled = false}
        floor = {grants = ['127.0.0.2/32']}
        records = {log = {to = 'off'}}
        [[listener]]
        bind = '127.0.0.1:0'
    ";
    let config: crate::Config = toml::from_str(config).unwrap();
    let Assembled { shared, .. } = assemble(config.sound().unwrap(), None).await.unwrap();
    shared
}

fn accepted(shared: &Shared, stream: impl Stream) -> Accepted {
    Accepted {
        stream: Box::new(stream),
        client: Arc::new(Client {
            listener: Arc::new(shared.config.load().listener[0].clone()),
            address: ClientAddress::Tcp(([127, 0, 0, 1], 1).into()),
            certificate: None,
        }),
        permit: shared.admission.connection(None).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_take_its_answer_holds_nothing_open() {
    let shared = shared().await;
    let server = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let to = server.local_addr().unwrap();
    // So little goes through that the answer does not.
    let (mut client, stream) = duplex(16);
    let serving = tokio::spawn(serve(Arc::clone(&shared), accepted(&shared, stream)));
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let (_server, _) = timeout(SOON, server.accept()).await.unwrap().unwrap();
    while shared.live.len() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!serving.is_finished());
    assert_eq!(shared.live.close_all(Closing::Revoked), 1);
    timeout(SOON, serving).await.unwrap().unwrap();
    timeout(SOON, shared.live.emptied()).await.unwrap();
}
