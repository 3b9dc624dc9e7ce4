//! `CONNECT`: the client hears `200` when the server is connected, and then speaks to it.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::{
    reply::Reply,
    service::{No, Proxy},
};
use crate::{
    egress::{self, Ask},
    live::Closing,
    tunnel::relay,
};

pub(crate) async fn connect(
    proxy: &Proxy,
    ask: Ask,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, No> {
    let shared = Arc::clone(proxy.shared());
    let subject = ask.subject.clone();
    let opened = egress::open(&shared, ask)
        .await
        .map_err(|refusal| No::of_egress(refusal, subject))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let busy = proxy.activity().enter();
    proxy.scope().spawn(async move {
        // What the client sent early comes first out of `upgraded`.
        match upgrade.await {
            Ok(upgraded) => {
                relay(&shared, TokioIo::new(upgraded), opened).await;
            }
            Err(_) => opened.live.end(Closing::Client),
        }
        drop(busy);
    });
    Ok(Response::new(Reply::empty()))
}
