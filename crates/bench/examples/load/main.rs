//! The load comparisons: a bounded generator on loopback, and what it is pointed at. `cargo xtask load`
//! builds and runs it, and writes `docs/load.md` and `docs/envoy-cost.md` from what it prints.
//!
//! Roles of one binary, each a process of its own: the origin, the bare relay that is the limit of a proxy, the
//! service that says yes, which is the limit of one that Envoy asks, and a run, which starts those and the
//! contenders, one at a time, and measures them in turn. Everything ends with the run.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of the comparison; they dial servers of this run, on loopback"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "prints its result, and how far it is"
)]

mod closed;
mod contender;
mod envoy;
mod idle;
mod origin;
mod pinfold;
mod plan;
mod process;
mod proxies;
mod quiet;
mod relay;
mod rounds;
mod service;
mod swaps;
mod throughput;
mod tinyproxy_squid;
mod way;

use std::{env, io, path::Path, process::ExitCode, thread};

use plan::Plan;
use service::Services;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match role(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn role(words: &[&str]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match words {
        ["proxies", pinfold, plan @ ..] => {
            let plan = plan_of(plan, Plan::full())?;
            runtime.block_on(proxies::run(Path::new(pinfold), &plan))
        }
        ["envoy", pinfold, envoy, plan @ ..] => {
            let plan = plan_of(plan, Plan::envoy())?;
            runtime.block_on(envoy::run(Path::new(pinfold), Path::new(envoy), &plan))
        }
        ["origin"] => {
            println!("{}", runtime.block_on(origin::serve())?);
            until_left()
        }
        ["relay", origin @ ..] => {
            let origin = Services::parse(origin)?;
            println!("{}", runtime.block_on(relay::serve(origin))?);
            until_left()
        }
        ["yes", pin] => {
            println!("{}", runtime.block_on(envoy::yes::serve(pin))?);
            until_left()
        }
        _ => Err(usage()),
    }
}

/// For whoever changes this program there is every step, and no figure worth reading.
fn plan_of(words: &[&str], full: Plan) -> io::Result<Plan> {
    match words {
        [] => Ok(full),
        ["--tiny"] => Ok(Plan::tiny()),
        _ => Err(usage()),
    }
}

fn usage() -> io::Error {
    io::Error::other(
        "usage: load proxies PINFOLD [--tiny] | load envoy PINFOLD ENVOY [--tiny] | load origin | load relay ADDRESS... \
         | load yes ADDRESS",
    )
}

/// Returns when whoever started this process is gone: then standard input ends.
fn until_left() -> io::Result<()> {
    let waiting = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    waiting.join().map_or(Ok(()), |read| read.map(drop))
}
