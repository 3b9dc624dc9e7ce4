//! A gateway, from the start to the signal that ends it.

use std::time::Duration;

use pinfold_gateway::{Config, Descriptors, Drained, Gateway, StartError};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Args, banner, news, self_test::self_test};
use crate::{exit::Exit, fault::Fault, output, text};

/// Serves until a signal, or an operator, says to drain.
pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<Exit> {
    let runtime = runtime()?;
    let exit = runtime.block_on(serve(args, config));
    // What still runs on threads of its own, a policy that compiles, is waited for no longer.
    runtime.shutdown_timeout(LAST);
    exit
}

/// One thread for each processor.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("pinfold")
        .build()
}

async fn serve(args: &Args, config: Config) -> anyhow::Result<Exit> {
    // Taken before anything is bound: a signal that comes during the start is not lost.
    let mut signals = Signals::new()?;
    let files = Descriptors::raise(&config.limits);
    let starting = Gateway::start(config.clone(), Some(self_test()));
    let gateway = tokio::select! {
        gateway = starting => gateway.map_err(not_started)?,
        () = signals.ending() => return Ok(Exit::Ok),
    };
    banner::welcome(args, &config, &gateway);
    banner::warn_of_files(&files);
    news::tell(&gateway);
    until_drained(args, gateway, &mut signals).await
}

async fn until_drained(
    args: &Args,
    gateway: Gateway,
    signals: &mut Signals,
) -> anyhow::Result<Exit> {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => return Ok(drain(gateway, signals.ending()).await),
                Told::Reload => reload(args, &gateway),
            },
            () = gateway.asked_to_drain() => {
                return Ok(drain(gateway, signals.ending_twice()).await);
            }
        }
    }
}

async fn drain(gateway: Gateway, hurry: impl Future<Output = ()>) -> Exit {
    output::note("draining: no connection is accepted; a second signal ends at once");
    let drained = gateway.drain_unless(hurry).await;
    if drained.hurried {
        output::note("ended at once");
        return Exit::Refused;
    }
    report(drained);
    Exit::Ok
}

/// A configuration that cannot be used changes nothing, and is told here and in the log.
fn reload(args: &Args, gateway: &Gateway) {
    match args.read() {
        Ok(config) => {
            output::note("reading everything again");
            gateway.reload(config);
        }
        Err(error) => {
            output::report(&error);
            output::note("everything stays as it was");
            gateway.keep(format!("{error:#}"));
        }
    }
}

fn report(drained: Drained) {
    let took = drained.took.as_millis();
    match drained.cut {
        0 => output::note(format_args!("drained in {took} ms")),
        cut => {
            let cut = text::count(cut, "connection", "connections");
            output::note(format_args!(
                "drained in {took} ms; {cut} did not end in time"
            ));
        }
    }
}

fn not_started(error: StartError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => Fault::new(error.to_string(), hint).into(),
        None => error.into(),
    }
}

/// What a signal says.
enum Told {
    End,
    Reload,
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits for a second one that says to end. Whoever runs services asks for a drain first, and then sends a signal to
    /// the same end: that one is no haste.
    async fn ending_twice(&mut self) {
        self.ending().await;
        output::note("draining already; one more signal ends at once");
        self.ending().await;
    }

    /// Waits for one that says to end.
    async fn ending(&mut self) {
        while matches!(self.next().await, Told::Reload) {}
    }
}

/// How long threads are waited for at the end.
const LAST: Duration = Duration::from_millis(100);
