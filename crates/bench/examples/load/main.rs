//! The load comparison: a bounded generator on loopback, and what it is pointed at. `cargo xtask load`
//! builds and runs it, and writes `docs/load.md` from what it prints.
//!
//! Three roles of one binary, each a process of its own: the origin, the bare relay that is the limit, and
//! the run, which starts those two and the proxies, one at a time, and measures them in turn. Everything
//! ends with the run.
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
mod idle;
mod origin;
mod pinfold;
mod plan;
mod process;
mod quiet;
mod relay;
mod run;
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
        ["run", pinfold] => runtime.block_on(run::run(Path::new(pinfold), &Plan::full())),
        // For whoever changes this program: every step, and no figure worth reading.
        ["run", pinfold, "--tiny"] => runtime.block_on(run::run(Path::new(pinfold), &Plan::tiny())),
        ["origin"] => {
            println!("{}", runtime.block_on(origin::serve())?);
            until_left()
        }
        ["relay", origin @ ..] => {
            let origin = Services::parse(origin)?;
            println!("{}", runtime.block_on(relay::serve(origin))?);
            until_left()
        }
        _ => Err(io::Error::other(
            "usage: load run PINFOLD [--tiny] | load origin | load relay ADDRESS...",
        )),
    }
}

/// Returns when whoever started this process is gone: then standard input ends.
fn until_left() -> io::Result<()> {
    let waiting = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    waiting.join().map_or(Ok(()), |read| read.map(drop))
}
