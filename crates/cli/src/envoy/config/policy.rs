//! What the shipped policy lets pass beside public addresses, by its settings.

use std::path::Path;

use ipnet::IpNet;
use pinfold_gateway::{Config, config::ReportAddresses};
use serde::Deserialize;

use super::layer::{Basis, Exception, Who};
use crate::{fault::Fault, options, output, text::Shown};

/// Everything of the gateway's configuration that the second layer has to agree with.
pub(super) fn basis(config: &Config, allow: &[IpNet]) -> anyhow::Result<Basis> {
    let mut basis = Basis {
        nat64: config.floor.nat64.clone(),
        ..Basis::default()
    };
    basis
        .exceptions
        .extend(config.floor.grants.iter().map(|grant| Exception {
            network: grant.network(),
            ports: grant.port().map(|port| port..=port),
            why: "floor.grants".into(),
            by: Who::Operator,
        }));
    for settings in shipped(config) {
        let settings = settings.map(read).transpose()?.unwrap_or_default();
        settings.add_to(&mut basis)?;
    }
    for network in allow {
        basis.exceptions.push(allowed(&basis, *network)?);
    }
    tell(config);
    Ok(basis)
}

/// The settings of each layer that is the shipped policy. What one of them refuses is refused, but which addresses that
/// are is not worked out here: the second layer lets pass what any of them does.
fn shipped(config: &Config) -> Vec<Option<&Path>> {
    let policy = &config.policy;
    let layers = policy.layer.iter();
    let layers = layers.filter(|layer| layer.file.is_none());
    let layers = layers.map(|layer| layer.settings.as_deref());
    match policy.layer.is_empty() && policy.file.is_none() {
        true => vec![policy.settings.as_deref()],
        false => layers.collect(),
    }
}

/// Says where both layers may differ.
fn tell(config: &Config) {
    if shipped(config).is_empty() {
        output::note(
            "note: the policy of this gateway is not the shipped one: networks that it allows beside public ones are not \
             known here. The second layer refuses them unless they are named by `--allow`",
        );
    }
    let report = &config.report;
    let reports = report.all || !report.subjects.is_empty();
    if reports && report.addresses == ReportAddresses::Report {
        output::note(
            "note: this gateway only reports refused addresses for some subjects (`report`). The second layer refuses them \
             all the same, unless they are named by `--allow`",
        );
    }
}

fn allowed(basis: &Basis, network: IpNet) -> Result<Exception, Fault> {
    let network = network.trunc();
    if basis.is_never(network) {
        let message =
            format!("`--allow {network}` has no effect: no gateway approves these addresses");
        return Err(Fault::new(
            message,
            "metadata endpoints and IPv6 addresses that carry IPv4 stay refused: leave it out",
        ));
    }
    if basis.is_floor(network) {
        let message = format!("`--allow {network}` has no effect: no policy opens these addresses");
        return Err(Fault::new(
            message,
            "an operator grants them in `floor.grants` of the gateway: name its configuration, `--gateway FILE`",
        ));
    }
    if network.prefix_len() == 0 {
        let message = format!("`--allow {network}` would let every address pass");
        return Err(Fault::new(
            message,
            "name the networks that the policy allows",
        ));
    }
    Ok(Exception {
        network,
        ports: None,
        why: "--allow".into(),
        by: Who::Policy,
    })
}

/// As far as they are about addresses. The gateway reads them strictly; here everything else is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    networks: Networks,
    special_global: Option<String>,
    wrapped: Option<String>,
    subjects: Vec<Self>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Networks {
    allow: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Network(String),
    Table {
        cidr: String,
        ports: Option<Vec<Port>>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Port {
    One(u16),
    Range(String),
}

fn read(file: &Path) -> anyhow::Result<Settings> {
    let settings = options::read_project_settings(file)?;
    let settings =
        serde_json::from_value(settings).map_err(|error| unreadable(file, &error.to_string()))?;
    Ok(settings)
}

fn unreadable(file: &Path, problem: &str) -> Fault {
    Fault::new(
        format!(
            "the settings in `{}` cannot be used: {problem}",
            Shown(file)
        ),
        "`pinfold serve --check` says what is wrong with them",
    )
}

impl Settings {
    /// The rules of subjects count for everybody: Envoy does not know who is who.
    fn add_to(&self, basis: &mut Basis) -> Result<(), Fault> {
        basis.special_global |= self.special_global.as_deref() == Some("allow");
        basis.wrapped |= self.wrapped.as_deref() == Some("judge");
        for entry in &self.networks.allow {
            entry.add_to(&mut basis.exceptions)?;
        }
        self.subjects
            .iter()
            .try_for_each(|subject| subject.add_to(basis))
    }
}

impl Entry {
    fn add_to(&self, exceptions: &mut Vec<Exception>) -> Result<(), Fault> {
        let (cidr, ports) = match self {
            Self::Network(cidr) => (cidr, None),
            Self::Table { cidr, ports } => (cidr, ports.as_ref()),
        };
        let exception = |ports| {
            Some(Exception {
                network: network(cidr)?,
                ports,
                why: "networks.allow of the policy".into(),
                by: Who::Policy,
            })
        };
        let bad = || {
            Fault::new(
                format!(
                    "`networks.allow` of the policy's settings: `{cidr}`, or a port of it, cannot be read"
                ),
                "`pinfold serve --check` says what is wrong with them",
            )
        };
        let Some(ports) = ports else {
            exceptions.push(exception(None).ok_or_else(bad)?);
            return Ok(());
        };
        for port in ports {
            let range = port.range().ok_or_else(bad)?;
            exceptions.push(exception(Some(range)).ok_or_else(bad)?);
        }
        Ok(())
    }
}

impl Port {
    fn range(&self) -> Option<std::ops::RangeInclusive<u16>> {
        match self {
            Self::One(port) => Some(*port..=*port),
            Self::Range(text) => {
                let (start, end) = text.split_once('-')?;
                Some(start.trim().parse().ok()?..=end.trim().parse().ok()?)
            }
        }
    }
}

/// A network, or an address alone: what `--allow` takes.
pub(super) fn written(text: &str) -> Result<IpNet, &'static str> {
    network(text).ok_or(
        "write a network such as `10.20.0.0/16` or `fd00:20::/32`, or an address; no name, and no port",
    )
}

/// A network, or an address alone.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).ok()
}
