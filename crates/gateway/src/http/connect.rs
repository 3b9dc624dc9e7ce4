//! `CONNECT`: the client hears `200` when the server is connected, and then speaks to it.

use http::{Request, Response};
use hyper::body::Incoming;

use super::{
    onward::Onward,
    reply::Reply,
    service::{No, Proxy},
};
use crate::egress::{self, Ask, Opened};

pub(crate) async fn connect(
    proxy: &Proxy,
    ask: Ask,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, No> {
    let subject = ask.subject.clone();
    let opened = egress::open(proxy.shared(), ask).await;
    let Opened {
        connection,
        live,
        permit,
    } = opened.map_err(|refusal| No::of_egress(refusal, subject))?;
    let tunnel = Onward {
        client: hyper::upgrade::on(&mut request),
        server: Box::new(connection.into_stream()),
        live,
        permit,
        busy: proxy.activity().enter(),
    };
    proxy.go_on(request.version(), tunnel);
    Ok(Response::new(Reply::empty()))
}
