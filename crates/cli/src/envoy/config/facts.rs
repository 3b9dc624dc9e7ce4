//! What is taken from the configuration of the gateway, so that both sides agree.

use std::{path::Path, time::Duration};

use pinfold_gateway::{
    Config,
    config::{Bind, Listener, Protocol},
};

use super::address::Address;
use crate::fault::Fault;

/// Reads the configuration of a gateway; without one, its defaults.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Config> {
    let Some(file) = file else {
        return Ok(Config::default());
    };
    let config = Config::read_before(file).map_err(|error| {
        let hint = error.hint().unwrap_or("`pinfold serve --check` says more");
        Fault::new(error.to_string(), hint)
    })?;
    Ok(config)
}

/// The listeners that speak a protocol.
pub(super) fn listeners(config: &Config, protocol: Protocol) -> impl Iterator<Item = &Listener> {
    let speaks = move |listener: &&Listener| listener.protocols.contains(&protocol);
    config.listener.iter().filter(speaks)
}

/// Where a listener can be reached from this machine.
pub(super) fn reachable(listener: &Listener) -> Result<Address, Fault> {
    let problem = match &listener.bind {
        Bind::Tcp(address) if address.port() == 0 => "on a port that the system chooses",
        Bind::Tcp(address) if address.ip().is_unspecified() => "on every address of its machine",
        Bind::Tcp(address) => return Ok(Address::Tcp(*address)),
        Bind::Unix(path) => return Ok(Address::Unix(path.clone())),
        _ => "on a socket of the service manager",
    };
    let message = format!("listener `{}` listens {problem}", listener.name);
    Err(Fault::new(
        message,
        "say where Envoy finds it: `--service ADDR`",
    ))
}

/// A time as Envoy reads it.
pub(super) fn seconds(time: Duration) -> String {
    let text = format!("{:.3}", time.as_secs_f64());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}
