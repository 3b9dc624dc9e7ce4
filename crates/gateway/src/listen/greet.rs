//! What comes before the first request: bounds, PROXY header, TLS, what is spoken. Each step has a deadline.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    Accepted, Entrance, Raw, Stream,
    opening::{self, Opening},
    proof::Proof,
    proxy_header::{self, Behind, NoHeader},
    tls,
    turned::{Listening, Turn},
};
use crate::{
    client::{Client, ClientAddress},
    config::Protocol,
    envoy, http,
    limit::Permit,
    refusal::{Kind, Refusal},
    shared::Shared,
    socks,
};

/// Finds out who a connection is and what it speaks, and has it served.
pub(super) async fn greet(shared: Arc<Shared>, entrance: Arc<Entrance>, raw: Raw) {
    let mut greeting = Greeting {
        time: shared.config.load().limits.head_time.get(),
        client: Client {
            listener: entrance.config.load_full(),
            address: raw.address,
            certificate: None,
        },
        shared: &shared,
        entrance: &entrance,
    };
    let greeted = tokio::select! {
        greeted = greeting.all(raw.stream) => greeted,
        () = late(&shared) => Err(Turn::Gone),
    };
    match greeted {
        // Boxed, here and below: what comes later would take its place in each connection that waits.
        Err(turn) => Box::pin(turn.end(&shared, greeting.client)).await,
        Ok((Protocol::Http, stream, permit)) => {
            let accepted = greeting.accepted(stream, permit);
            http::serve(shared, accepted).await;
        }
        Ok((Protocol::Socks5, stream, permit)) => {
            let accepted = greeting.accepted(stream, permit);
            Box::pin(socks::serve(shared, accepted)).await;
        }
        Ok((Protocol::Envoy, stream, permit)) => {
            let accepted = greeting.accepted(stream, permit);
            Box::pin(envoy::serve(shared, accepted)).await;
        }
    }
}

/// While the gateway drains, who has not said what it wants is not waited for.
async fn late(shared: &Shared) {
    shared.draining.cancelled().await;
    sleep(LATE).await;
}

/// A connection that is being greeted.
struct Greeting<'a> {
    shared: &'a Shared,
    entrance: &'a Entrance,
    /// What is known of it so far.
    client: Client,
    /// For each step.
    time: Duration,
}

type Greeted = (Protocol, Box<dyn Stream>, Permit);

impl Greeting<'_> {
    async fn all(&mut self, stream: Box<dyn Stream>) -> Result<Greeted, Turn> {
        let (stream, permit) = self.admitted(stream).await?;
        let (opening, stream) = self.look(stream).await?;
        let (opening, stream) = self.secured(opening, stream).await?;
        let protocol = self.spoken(opening);
        match protocol {
            Ok(protocol) => Ok((protocol, stream, permit)),
            Err(refusal) => {
                let heard = Listening::Speaks(opening, stream);
                Err(Turn::heard(refusal, "", heard))
            }
        }
    }

    /// Within the bounds; where a load balancer stands before the client, within those of the client.
    async fn admitted(
        &mut self,
        stream: Box<dyn Stream>,
    ) -> Result<(Box<dyn Stream>, Permit), Turn> {
        if !self.may_speak_for_others() {
            return self.counted(source(&self.client.address), stream);
        }
        // Of a load balancer many connections are expected: its clients count, each by itself.
        let (stream, mut permit) = self.counted(None, stream)?;
        let (behind, stream) = self.header(stream).await?;
        if let Behind::Client(address) = behind {
            self.client.address = ClientAddress::Tcp(address);
        }
        let source = source(&self.client.address);
        match source.map_or(Ok(()), |source| permit.belongs_to(source)) {
            Ok(()) => Ok((stream, permit)),
            Err(refusal) => Err(self.turned(refusal, stream)),
        }
    }

    fn may_speak_for_others(&self) -> bool {
        let from = self
            .client
            .listener
            .proxy_protocol
            .as_ref()
            .map(|proxy| &proxy.from);
        match (from, source(&self.client.address)) {
            (Some(from), Some(source)) => from.iter().any(|network| network.contains(&source)),
            _ => false,
        }
    }

    fn counted(
        &self,
        source: Option<IpAddr>,
        stream: Box<dyn Stream>,
    ) -> Result<(Box<dyn Stream>, Permit), Turn> {
        match self.shared.admission.connection(source) {
            Ok(permit) => Ok((stream, permit)),
            Err(refusal) => Err(self.turned(refusal, stream)),
        }
    }

    fn turned(&self, refusal: Refusal, stream: Box<dyn Stream>) -> Turn {
        match self.entrance.tls {
            // A handshake for a refusal would cost more than what it refuses.
            Some(_) => Turn::away(refusal, ""),
            None => Turn::heard(refusal, "", Listening::Unknown(stream)),
        }
    }

    async fn header(&self, stream: Box<dyn Stream>) -> Result<(Behind, Box<dyn Stream>), Turn> {
        match timeout(self.time, proxy_header::take(stream)).await {
            Ok(Ok((behind, stream))) => Ok((behind, Box::new(stream))),
            Ok(Err(NoHeader::Io(_))) => Err(Turn::Gone),
            Ok(Err(error @ NoHeader::Missing)) => {
                Err(Turn::away(header_missing(), error.to_string()))
            }
            Ok(Err(error @ NoHeader::Invalid(_))) => {
                Err(Turn::away(header_invalid(), error.to_string()))
            }
            Err(_) => Err(self.slow("no whole PROXY header")),
        }
    }

    async fn look(&self, stream: Box<dyn Stream>) -> Result<(Opening, Box<dyn Stream>), Turn> {
        match timeout(self.time, opening::look(stream)).await {
            Ok(Ok((Opening::Nothing, _)) | Err(_)) => Err(Turn::Gone),
            Ok(Ok((opening, stream))) => Ok((opening, Box::new(stream))),
            Err(_) => Err(self.slow("not a byte that says what is spoken")),
        }
    }

    /// Under TLS where the listener has it, and only there.
    async fn secured(
        &mut self,
        opening: Opening,
        stream: Box<dyn Stream>,
    ) -> Result<(Opening, Box<dyn Stream>), Turn> {
        match (&self.entrance.tls, opening) {
            (_, Opening::ProxyHeader) => Err(Turn::away(header_unexpected(), "")),
            (None, Opening::Tls) => Err(Turn::away(tls_unexpected(), "")),
            (None, _) => Ok((opening, stream)),
            (Some(tls), Opening::Tls) => {
                let (proof, stream) = Box::pin(self.shaken(tls, stream)).await?;
                self.client.certificate = proof;
                self.look(stream).await
            }
            (Some(_), _) => {
                let heard = Listening::Speaks(opening, stream);
                Err(Turn::heard(tls_missing(), "", heard))
            }
        }
    }

    /// What the client has proved, and what it sends; boxed, since a session of TLS is large.
    async fn shaken(
        &self,
        tls: &Arc<tls::Tls>,
        stream: Box<dyn Stream>,
    ) -> Result<(Option<Arc<Proof>>, Box<dyn Stream>), Turn> {
        match timeout(self.time, tls.accept(stream)).await {
            Ok(Ok(stream)) => Ok((Proof::of(&stream, tls), Box::new(stream))),
            Ok(Err(error)) => Err(Turn::away(tls_failed(), error.to_string())),
            Err(_) => Err(self.slow("no whole TLS handshake")),
        }
    }

    fn spoken(&self, opening: Opening) -> Result<Protocol, Refusal> {
        let protocol = match opening {
            Opening::Http | Opening::Nothing if self.is_for_envoy() => Protocol::Envoy,
            Opening::Http | Opening::Nothing => Protocol::Http,
            Opening::Socks5 => Protocol::Socks5,
            Opening::Socks4 => return Err(socks4()),
            Opening::Tls => return Err(tls_unexpected()),
            Opening::ProxyHeader => return Err(header_unexpected()),
        };
        match self.client.listener.protocols.contains(&protocol) {
            true => Ok(protocol),
            false => Err(not_served()),
        }
    }

    fn is_for_envoy(&self) -> bool {
        let protocols = &self.client.listener.protocols;
        protocols.contains(&Protocol::Envoy)
    }

    fn slow(&self, what: &str) -> Turn {
        let refusal = refusal(Kind::Slow, "client-too-slow").hint("send sooner");
        Turn::away(refusal, format!("{what} within {:?}", self.time))
    }

    fn accepted(self, stream: Box<dyn Stream>, permit: Permit) -> Accepted {
        Accepted {
            stream,
            client: Arc::new(self.client),
            permit,
        }
    }
}

/// Where limits count a client; those of a Unix socket have no address.
fn source(address: &ClientAddress) -> Option<IpAddr> {
    match address {
        ClientAddress::Tcp(address) => Some(address.ip()),
        ClientAddress::Unix { .. } => None,
    }
}

fn refusal(kind: Kind, code: &'static str) -> Refusal {
    Refusal::new(kind, "connection", code)
}

fn header_missing() -> Refusal {
    refusal(Kind::Malformed, "proxy-header-missing")
        .hint("this source is listed in `proxy_protocol.from`: let it send the header, or take it off the list")
}

fn header_invalid() -> Refusal {
    refusal(Kind::Malformed, "proxy-header-invalid")
        .hint("send a PROXY header of version 1 or 2 about a stream")
}

fn header_unexpected() -> Refusal {
    refusal(Kind::Denied, "proxy-header-unexpected")
        .hint("only sources in `proxy_protocol.from` may say who is behind them, once")
}

fn tls_unexpected() -> Refusal {
    refusal(Kind::Malformed, "tls-unexpected")
        .hint("this listener speaks without TLS: use `http://` in the address of the proxy")
}

fn tls_missing() -> Refusal {
    refusal(Kind::Malformed, "tls-missing")
        .hint("this listener speaks TLS: use `https://` in the address of the proxy")
}

fn tls_failed() -> Refusal {
    refusal(Kind::Malformed, "tls-handshake-failed")
        .hint("the log of the gateway says what was wrong with versions or certificates")
}

fn socks4() -> Refusal {
    refusal(Kind::Malformed, "socks4-not-served")
        .hint("use SOCKS5 with names looked up by the proxy (`socks5h://`)")
}

fn not_served() -> Refusal {
    refusal(Kind::Malformed, "protocol-not-served")
        .hint("the listener does not serve this protocol: see `protocols` in its configuration")
}

/// For who was accepted just before a drain to say what it wants.
const LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who connect and say nothing are the cheapest to send, and should be the cheapest to keep.
    #[test]
    fn a_connection_that_waits_is_small() {
        fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(greet);
        assert!(size <= 1536, "{size}");
    }
}
