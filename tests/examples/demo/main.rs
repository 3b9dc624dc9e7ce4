//! The attack and the defence. Run it with `cargo xtask demo`.
//!
//! Everything happens on loopback: a DNS server that changes its mind, a web server that plays the
//! public internet, and a canary that plays the internal network. Each act asserts what it says; the
//! exit code is 0 only if all of it happened.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a demonstration talks"
)]

mod cli;
#[path = "../../fixtures/guests/mod.rs"]
#[expect(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "made for tests, which use all of it"
)]
mod guests;
mod plain;
mod say;
mod service;
mod theatre;

use std::process::ExitCode;

use anyhow::Result;

use crate::theatre::Theatre;

#[tokio::main]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play() -> Result<()> {
    let theatre = Theatre::open().await?;
    plain::act_one(&theatre).await?;
    cli::act_two(&theatre).await?;
    cli::act_three(&theatre).await?;
    service::act_four(&theatre).await?;
    say::act("All of it happened");
    say::line("the canary was reached once: in act 1, by the client without Pinfold");
    Ok(())
}
