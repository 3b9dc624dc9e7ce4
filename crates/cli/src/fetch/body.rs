//! The body that is sent: whole, so that a redirect can send it again, and not waited for in vain.

use std::io;

use pinfold::Guard;
use pinfold_addr::Target;
use pinfold_http::Error;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Args, input::Data, late, method, trail::Trail};

/// The body. What has to be read is read only for a target that may be asked, and not for longer
/// than `until`. The outer error is the caller's own fault.
pub(super) async fn given(
    args: &Args,
    target: &Target,
    guard: &Guard,
    trail: &Trail,
    until: Instant,
) -> anyhow::Result<Result<Option<Vec<u8>>, Error>> {
    let data = match &args.data {
        None => return Ok(Ok(None)),
        Some(Data::Text(text)) => return Ok(Ok(Some(text.clone().into()))),
        Some(data) => data.clone(),
    };
    if let Err(error) = rehearse(args, target, guard, trail).await {
        return Ok(Err(error.into()));
    }
    match timeout_at(until, read(data)?).await {
        Ok(bytes) => bytes?.map(|bytes| Ok(Some(bytes))),
        Err(_) => Ok(Err(late("the body to send was not there in time"))),
    }
}

/// Judges what can be judged without a lookup, which is for the request itself to do, once.
async fn rehearse(
    args: &Args,
    target: &Target,
    guard: &Guard,
    trail: &Trail,
) -> Result<(), pinfold::Error> {
    trail.rehearse(true);
    let judged = judge(args, target, guard).await;
    trail.rehearse(false);
    if let Err(pinfold::Error::Denied {
        decision: Some(decision),
        ..
    }) = &judged
    {
        trail.take(decision);
    }
    judged
}

async fn judge(args: &Args, target: &Target, guard: &Guard) -> Result<(), pinfold::Error> {
    let request = args.judging.request.request(target.clone(), &method(args));
    let session = guard.session();
    let admitted = session.admit(request)?;
    if target.host().ip().is_some() {
        session.resolve(admitted).await?;
    }
    Ok(())
}

/// Reads on a thread of its own: nothing can interrupt a read, and the end of the process need not
/// wait for it.
fn read(data: Data) -> io::Result<oneshot::Receiver<anyhow::Result<Vec<u8>>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        // Nobody waits any more when the time is over.
        let _ = sender.send(data.read());
    })?;
    Ok(receiver)
}
