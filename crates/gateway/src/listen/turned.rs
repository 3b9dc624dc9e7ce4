//! Who is sent away before a request: told to operators, and answered in the client's protocol where that is cheap.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::timeout,
};

use super::{
    Stream,
    opening::{self, Opening},
};
use crate::{
    client::{Client, RequestId},
    event::{Event, Turned},
    refusal::Refusal,
    shared::Shared,
};

/// Why a connection is not served.
pub(super) enum Turn {
    /// It is gone, or said nothing: there is nothing to tell.
    Gone,
    /// It is refused.
    Away(Box<Away>),
}

/// A refusal, and who is still there to hear it.
pub(super) struct Away {
    pub(super) refusal: Refusal,
    /// For operators.
    pub(super) detail: String,
    pub(super) listener: Listening,
}

/// Who hears it.
pub(super) enum Listening {
    /// Nobody, or not in a way that we speak.
    Nobody,
    /// A client that has not said what it speaks.
    Unknown(Box<dyn Stream>),
    /// A client that speaks this.
    Speaks(Opening, Box<dyn Stream>),
}

impl Turn {
    pub(super) fn away(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::heard(refusal, detail, Listening::Nobody)
    }

    pub(super) fn heard(refusal: Refusal, detail: impl Into<String>, listener: Listening) -> Self {
        Self::Away(Box::new(Away {
            refusal,
            detail: detail.into(),
            listener,
        }))
    }

    /// Tells it, and says a last word.
    pub(super) async fn end(self, shared: &Shared, client: Client) {
        let Self::Away(away) = self else { return };
        let Away {
            refusal,
            detail,
            listener,
        } = *away;
        let id = RequestId::next();
        shared.bus.tell(&Event::Refused(std::sync::Arc::new(Turned {
            at: SystemTime::now(),
            id,
            client: client.into(),
            subject: None,
            correlation: None,
            refusal: refusal.clone(),
            detail,
        })));
        // Under attack a closed connection says enough.
        if let Ok(_place) = LAST_WORDS.try_acquire() {
            let _ = timeout(LAST_WORD, last_word(listener, &refusal, id)).await;
        }
    }
}

async fn last_word(listener: Listening, refusal: &Refusal, id: RequestId) -> std::io::Result<()> {
    let (opening, mut stream) = match listener {
        Listening::Nobody => return Ok(()),
        Listening::Speaks(opening, stream) => (opening, stream),
        Listening::Unknown(stream) => {
            let (opening, stream) = opening::look(stream).await?;
            (opening, Box::new(stream) as Box<dyn Stream>)
        }
    };
    match opening {
        Opening::Http => stream.write_all(http(refusal, id).as_bytes()).await?,
        Opening::Socks5 => stream.write_all(&NO_METHOD).await?,
        _ => return Ok(()),
    }
    stream.shutdown().await?;
    // What is unread when a socket is closed makes the kernel take back what was just sent.
    let mut rest = [0; 1024];
    for _ in 0..READS {
        if stream.read(&mut rest).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// An answer without a server: nothing of a request was read.
fn http(refusal: &Refusal, id: RequestId) -> String {
    let (status, code) = (refusal.kind.status(), &refusal.code);
    let mut body = format!("{code}\n");
    if let Some(hint) = refusal.hint {
        let _ = writeln!(body, "hint: {hint}");
    }
    let mut head = format!("HTTP/1.1 {status}\r\n");
    let retry = refusal
        .comes_back()
        .map(|time| time.as_secs().max(1).to_string());
    let fields = [
        ("Pinfold-Reason", Some(code.to_string())),
        ("Pinfold-Stage", Some(refusal.stage.to_owned())),
        ("Pinfold-Request-Id", Some(id.to_string())),
        (
            "Proxy-Status",
            Some(format!(
                "pinfold; error={}; details=\"{code}\"",
                refusal.proxy_error()
            )),
        ),
        ("Retry-After", retry),
        ("Content-Type", Some("text/plain; charset=utf-8".to_owned())),
        ("Content-Length", Some(body.len().to_string())),
        ("Connection", Some("close".to_owned())),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    format!("{head}\r\n{body}")
}

/// The answer to a SOCKS5 greeting that ends it (RFC 1928, 3).
const NO_METHOD: [u8; 2] = [0x05, 0xff];
/// Clients that are answered at a time.
static LAST_WORDS: Semaphore = Semaphore::const_new(64);
/// Time to say it.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Pieces of a request that are read and dropped, so that the answer arrives.
const READS: usize = 64;
