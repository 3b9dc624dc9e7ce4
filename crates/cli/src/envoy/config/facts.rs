//! What is taken from the configuration of the gateway, so that both sides agree.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use pinfold_gateway::{
    Config,
    config::{Bind, Listener, Protocol, Span},
};

use super::{Args, Mode, address::Address};
use crate::{fault::Fault, output, text::Shown};

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

/// Where gateways are, and how they are spoken to.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) addresses: Vec<Address>,
    /// Whether their listener wants a PROXY header.
    pub(super) proxy_header: bool,
}

impl Services {
    /// What the command line says, else the first listener in the file that speaks what is needed.
    pub(super) fn of(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let protocol = args.mode.protocol();
        let speaks = |listener: &&Listener| listener.protocols.contains(&protocol);
        let listener = config.listener.iter().find(speaks);
        let addresses = match (listener, args.service.is_empty()) {
            (_, false) => args.service.clone(),
            (Some(listener), true) => vec![reachable(listener)?],
            (None, true) => return Err(no_listener(args).into()),
        };
        match (listener, &args.gateway) {
            (Some(listener), _) => speaks_tls(listener, args)?,
            (None, Some(file)) => is_it_that_file(file, args),
            (None, None) => {}
        }
        has_a_name(&addresses, args)?;
        proves_itself(&addresses, args)?;
        Ok(Self {
            addresses,
            proxy_header: listener.is_some_and(|listener| listener.proxy_protocol.is_some()),
        })
    }

    /// The endpoints of their cluster.
    pub(super) fn endpoints(&self) -> String {
        let addresses = self.addresses.iter().map(Address::yaml);
        addresses
            .map(|address| format!("- endpoint: {{address: {address}}}\n"))
            .collect()
    }
}

/// The certificate of a gateway is for a name or an address, and a path is neither.
fn has_a_name(addresses: &[Address], args: &Args) -> Result<(), Fault> {
    let unix = addresses
        .iter()
        .find(|address| matches!(address, Address::Unix(_)));
    let tls = &args.towards;
    match unix {
        Some(unix) if tls.service_ca.is_some() && tls.service_name.is_none() => Err(Fault::new(
            format!("which certificate `{unix}` has to show is not known"),
            "name what it is for: `--service-name NAME`; or leave out `--service-ca`: nobody listens in on a Unix socket",
        )),
        _ => Ok(()),
    }
}

impl Mode {
    /// What the listener of the gateway speaks.
    fn protocol(self) -> Protocol {
        match self {
            Self::Connector => Protocol::Http,
            Self::Forward | Self::Tls | Self::Sni => Protocol::Envoy,
        }
    }

    /// Whom that listener is for, and how its protocol is written.
    fn listeners(self) -> (&'static str, &'static str) {
        match self {
            Self::Connector => ("a proxy", "http"),
            Self::Forward | Self::Tls | Self::Sni => ("Envoys", "envoy"),
        }
    }
}

/// What decides is believed: on the way to another machine, somebody else could answer in its place, or ask.
fn proves_itself(addresses: &[Address], args: &Args) -> Result<(), Fault> {
    let Some(remote) = addresses.iter().find(|address| !address.is_local()) else {
        return Ok(());
    };
    let tls = &args.towards;
    let (problem, hint) = match (args.mode, &tls.service_ca, &tls.service_certificate) {
        (_, Some(_), Some(_)) | (Mode::Connector, Some(_), None) => return Ok(()),
        (Mode::Connector, None, _) => (
            "whoever is on the way would read what clients send",
            "say who signs its certificate: `--service-ca FILE`",
        ),
        (_, None, _) => ("whoever is on the way would decide in its place", MUTUAL),
        (_, Some(_), None) => (
            "a gateway answers from there nobody without a certificate",
            MUTUAL,
        ),
    };
    let message = format!("`{remote}` is on another machine, and {problem}");
    Err(Fault::new(message, hint))
}

const MUTUAL: &str = "certificates on both sides: `--service-ca FILE --service-certificate FILE --service-key FILE`; or a gateway \
                      on this machine";

/// A file of something else has no grants, and the second layer would refuse what the gateway approves.
fn is_it_that_file(file: &Path, args: &Args) {
    let (what, protocol) = args.mode.listeners();
    output::note(format_args!(
        "note: `{}` has no listener for {what} (`protocols = [\"{protocol}\"]`): is it the configuration of the gateway that \
         `--service` names?",
        Shown(file)
    ));
}

fn no_listener(args: &Args) -> Fault {
    let (what, protocol) = args.mode.listeners();
    match &args.gateway {
        None => Fault::new(
            "it is not known which gateway is asked",
            "name its configuration, `--gateway FILE`, or where it listens, `--service ADDR`",
        ),
        Some(file) => Fault::new(
            format!("`{}` has no listener for {what}", Shown(file)),
            format!("add a `[[listener]]` with `protocols = [\"{protocol}\"]`"),
        ),
    }
}

/// A listener with TLS is not spoken to in clear text. With `--service` another may be meant.
fn speaks_tls(listener: &Listener, args: &Args) -> Result<(), Fault> {
    if listener.tls.is_none() || args.towards.service_ca.is_some() {
        return Ok(());
    }
    let message = format!("listener `{}` of the gateway speaks TLS", listener.name);
    let hint = "say who signs its certificate: `--service-ca FILE`; and when it asks for one of Envoy, \
                `--service-certificate FILE --service-key FILE`";
    match args.service.is_empty() {
        true => Err(Fault::new(message, hint)),
        false => {
            output::note(format_args!("note: {message}, and Envoy will not: {hint}"));
            Ok(())
        }
    }
}

/// Where a listener can be reached from this machine.
fn reachable(listener: &Listener) -> Result<Address, Fault> {
    let problem = match &listener.bind {
        Bind::Tcp(address) if address.port() == 0 => "on a port that the system chooses",
        Bind::Tcp(address) if is_wildcard(address.ip()) => "on every address of its machine",
        Bind::Tcp(address) => return Ok(Address::Tcp(*address)),
        Bind::Unix(path) => return Ok(Address::Unix(absolute(path)?)),
        _ => "on a socket of the service manager",
    };
    let message = format!("listener `{}` listens {problem}", listener.name);
    Err(Fault::new(
        message,
        "say where Envoy finds it: `--service ADDR`",
    ))
}

/// Envoy starts in another folder.
fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path).map_err(|error| {
        Fault::new(
            format!("`{}` cannot be made a whole path: {error}", Shown(path)),
            "write the path of the socket from `/` on",
        )
    })
}

fn is_wildcard(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// How many addresses of an answer are tried.
pub(super) fn attempts(args: &Args, config: &Config) -> Result<usize, Fault> {
    match (args.failover, args.mode, config.envoy.pins) {
        (false, ..) => Ok(1),
        (true, Mode::Connector, _) => Err(Fault::new(
            "`--failover` is not for `connector`",
            "leave it out: the gateway itself goes on to the next address",
        )),
        (true, Mode::Sni, _) => Err(Fault::new(
            "`--failover` is not for `sni`: of connections that it passes through, Envoy counts no attempts",
            "leave it out: the first address of an answer is connected to, and no other",
        )),
        (true, _, 0 | 1) => Err(Fault::new(
            "`--failover` needs further addresses, and this gateway hands over one: `envoy.pins` is 1",
            "set `envoy.pins` to 2 or more",
        )),
        (true, _, pins) => Ok(pins),
    }
}

/// A decision that takes its time must not be cut off: the client would be told that nobody is there.
pub(super) fn waits_long_enough(timeout: Span, config: &Config) -> Result<(), Fault> {
    let deadline = config.envoy.deadline;
    match timeout.get() > deadline.get() {
        true => Ok(()),
        false => Err(Fault::new(
            format!(
                "Envoy would wait {timeout}, and the gateway takes up to {deadline} (`envoy.deadline`)"
            ),
            "give `--timeout` more than that, or lower `envoy.deadline`",
        )),
    }
}

/// What is passed through is not decrypted.
pub(super) fn may_decrypt(args: &Args) -> Result<(), Fault> {
    match args.mode == Mode::Sni && args.towards.certificate.is_some() {
        true => Err(Fault::new(
            "`--certificate` is not for `sni`, which passes TLS through",
            "leave it out, or use `forward` or `tls`",
        )),
        false => Ok(()),
    }
}

/// Envoy can refuse addresses only where requests go through filters.
pub(super) fn no_second_layer(args: &Args) -> Result<(), Fault> {
    if args.allow.is_empty() {
        return Ok(());
    }
    let message = "`--allow` is about the second layer, which this mode has not";
    let hint = match args.mode {
        Mode::Connector => "leave it out: Envoy connects to the gateway alone",
        _ => {
            "leave it out: Envoy has no filter for addresses of connections that it passes through"
        }
    };
    Err(Fault::new(message, hint))
}

/// A time as Envoy reads it.
pub(super) fn seconds(time: Span) -> String {
    let (seconds, millis) = (time.get().as_secs(), time.get().subsec_millis());
    match millis {
        0 => format!("{seconds}s"),
        _ => format!("{seconds}.{millis:03}s"),
    }
}
