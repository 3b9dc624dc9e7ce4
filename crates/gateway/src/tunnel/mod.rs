//! Bytes both ways between a client and a judged server: deadlines, half-close, the server name.
//!
//! | file | what it does |
//! |---|---|
//! | `hello` | what a client opens with: TLS, for which name; pure |
//! | `rules` | what is done about it: a table; pure |
//! | `gate` | holds the first bytes of a client back until that is known |
//! | `pump` | moves bytes in one direction |
//! | `farewell` | last words, so that they arrive |
//!
//! `tokio::io::copy_bidirectional` is not used: it keeps two buffers for as long as a tunnel lives, ends everything
//! at the first failed write, although the other direction may hold an answer, and has no way to look at time, at
//! counters or at the first bytes. Here an idle tunnel has no buffer at all.

mod farewell;
mod gate;
pub(crate) mod hello;
mod pump;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, Sleep, sleep_until};

pub(crate) use farewell::farewell;
use gate::{Gate, Passed};
use hello::Opening;
use pump::{Broken, Half};
use rules::{Demand, Finding, Place, Rules};

use crate::{
    event::{Bus, Event, Exchange, TunnelNotice},
    limit::Permit,
    listen::Stream,
    live::{Closing, Live},
    shared::Shared,
};

/// As [`relay`], in a task of its own that takes the `place` of its client's connection: what it took to come here is
/// larger than a tunnel at rest, and is let go.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    place: Permit,
    client: impl Stream,
    server: impl Stream,
    live: Live,
    permit: Permit,
) {
    let (connections, cut) = (shared.connections.clone(), shared.cut.clone());
    connections.spawn(async move {
        let relay = relay(&shared, client, server, live, permit);
        cut.run_until_cancelled(relay).await;
        drop(place);
    });
}

/// Moves bytes until both sides are done, a deadline passes, or it is told to close. Tells the end.
pub(crate) async fn relay(
    shared: &Arc<Shared>,
    client: impl Stream,
    server: impl Stream,
    live: Live,
    permit: Permit,
) -> Closing {
    let (rules, limits) = {
        let config = shared.config.load();
        (Rules::of(&config), Limits::of(&config))
    };
    let closing = run(&shared.bus, client, server, &live, rules, limits).await;
    live.end(closing);
    drop(permit);
    closing
}

/// The deadlines of a tunnel.
#[derive(Clone, Copy, Debug)]
struct Limits {
    idle: Duration,
    half_closed: Duration,
    lifetime: Duration,
    /// For the first message of a TLS client, once it has begun.
    hello: Duration,
}

impl Limits {
    fn of(config: &crate::Config) -> Self {
        Self {
            idle: config.tunnels.idle.get(),
            half_closed: config.tunnels.half_closed.get(),
            lifetime: config.tunnels.lifetime.get(),
            hello: config.limits.head_time.get(),
        }
    }
}

async fn run(
    bus: &Bus,
    client: impl Stream,
    server: impl Stream,
    live: &Live,
    rules: Rules,
    limits: Limits,
) -> Closing {
    live.outlive_at_most(limits.lifetime);
    let mut tunnel = Tunnel::new(bus, client, server, live, rules, limits);
    let end = {
        let mut timer = pin!(sleep_until(tunnel.deadline()));
        let moved = poll_fn(|cx| tunnel.poll(cx, timer.as_mut()));
        tokio::select! {
            end = moved => end,
            closing = live.told_to_close() => End::Closed(closing),
        }
    };
    match end {
        End::Closed(closing) => closing,
        End::Refused(words) => {
            let Tunnel {
                mut client, server, ..
            } = tunnel;
            // The server waits for nothing.
            drop(server);
            farewell(&mut client, words).await;
            Closing::Mismatch
        }
    }
}

struct Tunnel<'a, C, S> {
    bus: &'a Bus,
    client: C,
    server: S,
    live: &'a Live,
    rules: Rules,
    limits: Limits,
    /// Shut until it is known how the client opens. Boxed: it is large, and gone when bytes flow.
    gate: Option<Box<Gate>>,
    up: Half,
    down: Half,
    /// Who could not be written to. What it still sends is passed on.
    broken: Option<Closing>,
    /// The last byte, or the end of a half.
    moved: Instant,
}

enum End {
    Closed(Closing),
    /// The opening is refused, with these last words.
    Refused(&'static [u8]),
}

impl<'a, C: Stream, S: Stream> Tunnel<'a, C, S> {
    fn new(
        bus: &'a Bus,
        client: C,
        server: S,
        live: &'a Live,
        rules: Rules,
        limits: Limits,
    ) -> Self {
        let mut tunnel = Self {
            bus,
            client,
            server,
            live,
            rules,
            limits,
            gate: None,
            up: Half::default(),
            down: Half::default(),
            broken: None,
            moved: Instant::now(),
        };
        if tunnel.looks() {
            tunnel.gate = Some(Box::new(Gate::new(limits.hello)));
        } else {
            // Nobody looks, so nobody can say later that it is TLS.
            tunnel.live.is_plain();
        }
        tunnel
    }

    /// Moves what can be moved, and looks at the time.
    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<End> {
        if let Some(end) = self.poll_gate(cx).or_else(|| self.poll_halves(cx)) {
            return Poll::Ready(end);
        }
        self.poll_time(cx, timer)
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let gate = self.gate.as_mut()?;
        match gate.poll(cx, &mut self.client) {
            Poll::Pending => None,
            Poll::Ready(Err(_)) => Some(End::Closed(Closing::Client)),
            Poll::Ready(Ok(Passed { opening, held })) => {
                self.gate = None;
                self.up.first(held);
                self.moved = Instant::now();
                opening.and_then(|opening| self.judge(opening))
            }
        }
    }

    fn poll_halves(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let (live, mut moved) = (self.live, false);
        let (client, server) = (&mut self.client, &mut self.server);
        let was_half_closed = self.up.is_done() || self.down.is_done();
        let up = match self.gate {
            Some(_) => Poll::Pending,
            None => self.up.poll(cx, client, server, |bytes| {
                moved = true;
                live.up(bytes);
            }),
        };
        let down = self.down.poll(cx, server, client, |bytes| {
            moved = true;
            live.down(bytes);
        });
        let half_closed = self.up.is_done() || self.down.is_done();
        if moved || half_closed != was_half_closed {
            self.moved = Instant::now();
        }
        let failed = self.failed(up, Closing::Client, Closing::Server);
        let failed = failed.or_else(|| self.failed(down, Closing::Server, Closing::Client));
        let done = self.up.is_done() && self.down.is_done();
        let finished = || self.broken.unwrap_or(Closing::Finished);
        failed.or_else(|| done.then(finished)).map(End::Closed)
    }

    /// A side that cannot be read is gone. One that cannot be written to may have sent an answer before.
    fn failed(
        &mut self,
        half: Poll<Result<(), Broken>>,
        reader: Closing,
        writer: Closing,
    ) -> Option<Closing> {
        match half {
            Poll::Ready(Err(Broken::Reader)) => Some(self.broken.unwrap_or(reader)),
            Poll::Ready(Err(Broken::Writer)) => {
                self.broken.get_or_insert(writer);
                None
            }
            _ => None,
        }
    }

    /// The timer runs behind: it is set again only when it rings, or when the time that is left has become shorter.
    fn poll_time(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        let deadline = self.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(End::Closed(Closing::Idle));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn deadline(&self) -> Instant {
        let limit = match self.up.is_done() || self.down.is_done() {
            true => self.limits.half_closed.min(self.limits.idle),
            false => self.limits.idle,
        };
        self.moved.checked_add(limit).unwrap_or_else(far_away)
    }

    /// Whether anything depends on how the client opens. What was upgraded has opened before.
    fn looks(&self) -> bool {
        let asked = self.live.asked();
        let opens = matches!(asked.kind, Exchange::Connect | Exchange::Socks);
        opens && self.rules.look(Place::of(&asked.authority), self.demand())
    }

    fn demand(&self) -> Demand {
        match (self.live.needs_tls(), self.live.reports()) {
            (false, _) => Demand::No,
            (true, true) => Demand::Reported,
            (true, false) => Demand::Yes,
        }
    }

    fn judge(&self, opening: Opening) -> Option<End> {
        let asked = self.live.asked();
        let plain = !matches!(opening, Opening::Tls(_));
        if plain {
            // Before the demand is read: a review that demands TLS now either is seen here, or sees this.
            self.live.is_plain();
        }
        let not_tls = opening == Opening::NotTls;
        let place = Place::of(&asked.authority);
        let finding = self.rules.find(opening, place, self.demand())?;
        let enforced = finding.enforced;
        self.tell(finding);
        enforced.then(|| match not_tls || self.live.sent_down() > 0 {
            true => End::Refused(b""),
            false => End::Refused(UNRECOGNIZED_NAME),
        })
    }

    fn tell(&self, finding: Finding) {
        self.bus.tell(&Event::Tunnel(Arc::new(TunnelNotice {
            at: SystemTime::now(),
            asked: Arc::clone(self.live.asked()),
            code: finding.code,
            seen: finding.seen,
            enforced: finding.enforced,
        })));
    }
}

/// A fatal alert of TLS, `unrecognized_name` (RFC 6066, section 3): a client then says what is wrong, instead of that
/// the connection broke.
const UNRECOGNIZED_NAME: &[u8] = &[0x15, 3, 3, 0, 2, 2, 112];

/// Further than any deadline that can be written, and near enough for a timer.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}
