mod deadlines;
mod opening;
mod pumping;

use std::time::Duration;

use pinfold::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    config::{NonTls, Sni},
    event::Asked,
    live::testing::{Bench, asked},
};

const LIMITS: Limits = Limits {
    idle: Duration::from_secs(300),
    half_closed: Duration::from_secs(30),
    lifetime: Duration::from_secs(86_400),
    hello: Duration::from_secs(10),
};

/// The rules of tests that are not about the opening.
const OFF: Rules = Rules {
    sni: Sni::Off,
    non_tls: NonTls::Allow,
};

/// Where tunnels are made, with time that stands still unless all wait.
struct Scene {
    bench: Bench,
    connection: Connection,
}

/// A tunnel, and both ends of it.
struct Ends {
    client: DuplexStream,
    server: DuplexStream,
    tunnel: AbortOnDropHandle<Closing>,
}

impl Scene {
    async fn new() -> Self {
        Self::with_settings(serde_json::json!({})).await
    }

    async fn with_settings(settings: serde_json::Value) -> Self {
        let bench = Bench::with_settings(settings).await;
        let (connection, _) = bench.connection("a.example.com").await;
        tokio::time::pause();
        Self { bench, connection }
    }

    fn open(&self, rules: Rules) -> Ends {
        self.open_as(asked("a.example.com", Exchange::Connect), rules, 64 << 10)
    }

    /// Pipes of `size` bytes stand for sockets.
    fn open_as(&self, asked: Asked, rules: Rules, size: usize) -> Ends {
        let (client, near) = duplex(size);
        let (far, server) = duplex(size);
        let tunnel = self.spawn(asked, near, far, rules);
        Ends {
            client,
            server,
            tunnel,
        }
    }

    fn spawn(
        &self,
        asked: Asked,
        near: impl Stream,
        far: impl Stream,
        rules: Rules,
    ) -> AbortOnDropHandle<Closing> {
        let live = self.bench.enter_with(asked, &self.connection);
        let bus = Bus::new(vec![self.bench.told.clone()]);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let closing = run(&bus, near, far, &live, rules, LIMITS).await;
            live.end(closing);
            closing
        }))
    }

    /// What was told about openings: code, what was seen, whether it is enforced.
    fn notices(&self) -> Vec<(&'static str, Option<String>, bool)> {
        let notice = |event| match event {
            Event::Tunnel(notice) => Some((notice.code, notice.seen.clone(), notice.enforced)),
            _ => None,
        };
        self.bench
            .told
            .all()
            .into_iter()
            .filter_map(notice)
            .collect()
    }
}

impl Ends {
    async fn closing(self) -> Closing {
        self.tunnel.await.unwrap()
    }
}

/// Exactly these bytes come.
async fn hears(stream: &mut DuplexStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, expected);
}

/// All that comes until the end.
async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

/// Lets everything happen that waits for no time.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
