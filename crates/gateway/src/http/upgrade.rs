//! A WebSocket in absolute form: a new connection, and a tunnel once the server agrees (`101`).

use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use pinfold_http::{Switched, Upgrade};

use super::{
    exchange::Exchange,
    forward::{Journey, arrived, deliver, head},
    onward::Onward,
    reply::Reply,
    service::{No, Proxy},
};
use crate::{
    egress::Ask,
    live::Closing,
    refusal::{Kind, Refusal},
};

pub(crate) async fn upgrade(
    proxy: &Proxy,
    ask: Ask,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, No> {
    if !request.body().is_end_stream() {
        let refusal = Refusal::new(Kind::Malformed, "request", "upgrade-with-body");
        return Err(refusal.hint("an upgrade to WebSocket has no body").into());
    }
    let client = hyper::upgrade::on(&mut request);
    let Journey {
        forwarder,
        session,
        what,
        mut request,
        exchange,
    } = Journey::begin(proxy.shared(), ask, request)?;
    request.headers_mut().insert(UPGRADE, WEBSOCKET);
    let sent = forwarder.upgrade(&session, what, request, |decision, held| {
        exchange.open(decision, held);
    });
    match arrived(&exchange, sent).await? {
        Upgrade::Declined(forwarded) => deliver(proxy, exchange, *forwarded),
        Upgrade::Switched(switched) => tunnel(proxy, client, &exchange, *switched),
        _ => Err(No::closed(Closing::Server)),
    }
}

/// The exchange goes on as a tunnel.
fn tunnel(
    proxy: &Proxy,
    client: OnUpgrade,
    exchange: &Exchange,
    switched: Switched,
) -> Result<Response<Reply>, No> {
    let Some((live, permit)) = exchange.hand_over() else {
        return Err(No::closed(Closing::Server));
    };
    let tunnel = Onward {
        client,
        server: Box::new(switched.stream),
        live,
        permit,
        busy: proxy.activity().enter(),
    };
    proxy.go_on(Version::HTTP_11, tunnel);
    let head = head(
        StatusCode::SWITCHING_PROTOCOLS,
        switched.response.into_parts().0.headers,
    );
    let mut response = head.map(|()| Reply::empty());
    response.headers_mut().insert(UPGRADE, WEBSOCKET);
    response.headers_mut().insert(CONNECTION, UPGRADE_TOKEN);
    Ok(response)
}

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE_TOKEN: HeaderValue = HeaderValue::from_static("upgrade");
