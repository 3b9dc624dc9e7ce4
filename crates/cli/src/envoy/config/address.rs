//! Addresses as Envoy wants them: no names, so that it never looks one up.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use pinfold_addr::{Class, Classifier};

use super::template::quoted;

/// Where something listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// As a value of YAML.
    pub(super) fn yaml(&self) -> String {
        match self {
            Self::Tcp(address) => format!(
                "{{socket_address: {{address: {}, port_value: {}}}}}",
                quoted(&address.ip().to_string()),
                address.port()
            ),
            Self::Unix(path) => {
                format!(
                    "{{pipe: {{path: {}}}}}",
                    quoted(&path.display().to_string())
                )
            }
        }
    }

    /// Whether what is said to it stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => {
                Classifier::default().classify(address.ip()).class == Class::Loopback
            }
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err("after `unix:` comes the path of a socket"),
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Unix(path.into())),
            Some(_) => Err(
                "write the whole path of the socket, from `/` on: Envoy starts in another folder",
            ),
            None => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 => Ok(Self::Tcp(address)),
                Ok(_) => Err("nobody listens on port 0: name the port"),
                Err(_) => Err(FORM),
            },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

const FORM: &str = "write `127.0.0.1:4752`, `[::1]:4752` or `unix:/run/pinfold/envoy.sock`: an address and a port, no name, \
                    because this Envoy looks no name up";
