//! Envoys, and what each of them asks.

use std::{io, net::SocketAddr, path::Path, process::Command, time::Instant};

use serde_json::{Map, Value, json};
use tokio::time;

use crate::{
    closed::{Client, Requests},
    contender::{Ground, Running},
    pinfold::{self, NAME, Protocol, json_of},
    process::{LONGEST_START, PAUSE, Process, free},
    service::Service,
    way::{Door, Way},
};

/// Whom an Envoy asks where a request goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// Nobody: the address is that of its cluster. What there is before anything is judged.
    Nobody,
    /// Its own configuration, which is the one for Pinfold, with a constant in place of the question.
    Itself,
    /// A service that says yes to everything, by the configuration for Pinfold.
    Yes,
    /// The gateway, by the configuration that it writes.
    Pinfold,
    /// Nobody: all goes through the gateway, which connects itself.
    Connector,
}

impl Asked {
    /// As the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Itself => "constant",
            Self::Yes => "yes",
            Self::Pinfold => "pinfold",
            Self::Connector => "connector",
        }
    }

    pub(crate) const fn judges(self) -> bool {
        matches!(self, Self::Pinfold | Self::Connector)
    }
}

/// Starts an Envoy, and what it asks before.
pub(crate) async fn start(ground: &Ground, asked: Asked, log: bool) -> io::Result<Running> {
    match asked {
        Asked::Nobody => alone(ground).await,
        Asked::Itself => told(ground).await,
        Asked::Yes => yes(ground).await,
        Asked::Pinfold => with_gateway(ground, Protocol::Envoy, "forward", log).await,
        Asked::Connector => with_gateway(ground, Protocol::Proxy, "connector", log).await,
    }
}

async fn alone(ground: &Ground) -> io::Result<Running> {
    let (door, to) = (free()?, ground.origin.of(Service::Http));
    let text = include_str!("alone.yaml")
        .replace("{door}", &door.port().to_string())
        .replace("{host}", &to.ip().to_string())
        .replace("{port}", &to.port().to_string());
    envoy(ground, "alone.yaml", &text, door).await
}

async fn yes(ground: &Ground) -> io::Result<Running> {
    let (service, address) = service(ground)?;
    let gateway = pinfold::configure(ground, Protocol::Envoy, false)?;
    let envoy = generated(ground, "forward", &gateway.file, address).await?;
    Ok(Running {
        behind: Some(service),
        ..envoy
    })
}

/// The configuration as Envoy itself shows it, with another filter.
async fn told(ground: &Ground) -> io::Result<Running> {
    let Running {
        process,
        behind,
        way,
        admin,
    } = yes(ground).await?;
    let admin = admin.ok_or(io::ErrorKind::NotFound)?;
    let mut config = bootstrap(json_of(admin, "/config_dump").await?)?;
    drop(process);
    if constant(&mut config, &ground.origin.of(Service::Http).to_string()) == 0 {
        let none = "the configuration has no question to replace";
        return Err(io::Error::other(none));
    }
    let text = config.to_string();
    let envoy = envoy(ground, "constant.json", &text, way.proxy()?).await?;
    Ok(Running { behind, ..envoy })
}

fn bootstrap(mut shown: Value) -> io::Result<Value> {
    let parts = shown["configs"].as_array_mut().into_iter().flatten();
    let mut parts = parts.filter_map(|part| part.get_mut("bootstrap"));
    let found = parts.next().map(Value::take);
    found.ok_or_else(|| io::Error::other("Envoy does not show its configuration"))
}

/// Puts the address where the question was; how often it was found.
fn constant(config: &mut Value, pin: &str) -> usize {
    match config {
        Value::Array(items) => items.iter_mut().map(|item| constant(item, pin)).sum(),
        Value::Object(fields) if asks(fields) => {
            fields.insert("name".into(), json!("envoy.filters.http.set_metadata"));
            fields.insert(
                "typed_config".into(),
                json!({
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
                    "metadata": [{ "metadata_namespace": ASKS, "value": { "pin": pin } }],
                }),
            );
            1
        }
        Value::Object(fields) => fields.values_mut().map(|field| constant(field, pin)).sum(),
        _ => 0,
    }
}

/// A filter, and not a mention of one.
fn asks(fields: &Map<String, Value>) -> bool {
    let name = fields.get("name").and_then(Value::as_str);
    name == Some(ASKS) && fields.contains_key("typed_config")
}

/// Decisions for Envoy, or connections.
async fn with_gateway(
    ground: &Ground,
    protocol: Protocol,
    mode: &str,
    log: bool,
) -> io::Result<Running> {
    let gateway = pinfold::start(ground, protocol, log).await?;
    let file = ground.folder.path().join(pinfold::CONFIG);
    let envoy = generated(ground, mode, &file, gateway.way.proxy()?).await?;
    Ok(Running {
        behind: Some(gateway.process),
        admin: gateway.admin,
        ..envoy
    })
}

/// The service that says yes, and where it is.
fn service(ground: &Ground) -> io::Result<(Process, SocketAddr)> {
    let pin = ground.origin.of(Service::Http).to_string();
    let (process, line) = Process::role(&["yes", &pin], &ground.folder)?;
    let address = line.trim().parse();
    let address = address.map_err(|_| process.failed("does not say where it is"))?;
    Ok((process, address))
}

/// An Envoy with what `pinfold envoy config` writes.
async fn generated(
    ground: &Ground,
    mode: &str,
    gateway: &Path,
    service: SocketAddr,
) -> io::Result<Running> {
    let (door, admin) = (free()?, free()?);
    let output = Command::new(&ground.pinfold)
        .args(["envoy", "config", mode, "--gateway"])
        .arg(gateway)
        .args(["--service", &service.to_string()])
        .args(["--listen", &door.to_string()])
        .args(["--admin", &admin.to_string()])
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("no configuration:\n{said}")));
    }
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let envoy = envoy(ground, &format!("{mode}.yaml"), &text, door).await?;
    Ok(Running {
        admin: Some(admin),
        ..envoy
    })
}

/// Starts it with this configuration, and sees that a request arrives: not before what it asks was found healthy.
async fn envoy(ground: &Ground, name: &str, text: &str, door: SocketAddr) -> io::Result<Running> {
    let file = ground.folder.write(name, text)?;
    let words = ["-c", &file.to_string_lossy()];
    let words = [&words[..], ONE_AND_SHORT].concat();
    let mut process = Process::start("envoy", &ground.envoy, &words, &ground.folder)?;
    process.listens(door).await?;
    let way = Way {
        origin: ground.origin,
        name: Some(NAME),
        door: Door::Proxy(door),
        keeps: true,
    };
    let begun = Instant::now();
    while let Err(error) = Requests::new(way).once().await {
        if begun.elapsed() > LONGEST_START {
            return Err(process.failed(&format!("answers nothing: {error}")));
        }
        time::sleep(PAUSE).await;
    }
    Ok(Running {
        process,
        behind: None,
        way,
        admin: None,
    })
}

/// One worker for all of them, and no memory that is shared with the next one.
const ONE_AND_SHORT: &[&str] = &[
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "-l",
    "warning",
];
const ASKS: &str = "envoy.filters.http.ext_authz";
