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
    let doors = Doors::free()?;
    let text = generated(ground, "forward", &gateway.file, address, &doors)?;
    let running = envoy(ground, "yes.yaml", &text, doors.clients).await?;
    Ok(Running {
        behind: Some(service),
        ..running
    })
}

/// The configuration as Envoy itself shows it, with another filter.
async fn told(ground: &Ground) -> io::Result<Running> {
    let (service, address) = service(ground)?;
    let gateway = pinfold::configure(ground, Protocol::Envoy, false)?;
    let doors = Doors::free()?;
    let text = generated(ground, "forward", &gateway.file, address, &doors)?;
    let asking = envoy(ground, "yes.yaml", &text, doors.clients).await?;
    let shown = json_of(doors.admin, "/config_dump?resource=bootstrap").await;
    let shown = match shown {
        Ok(shown) => shown,
        Err(_) => json_of(doors.admin, "/config_dump").await?,
    };
    drop(asking);
    let mut config = bootstrap(shown)?;
    if constant(&mut config, &ground.origin.of(Service::Http).to_string()) == 0 {
        return Err(io::Error::other(
            "the configuration has no question to replace",
        ));
    }
    let running = envoy(ground, "constant.json", &config.to_string(), doors.clients).await?;
    Ok(Running {
        behind: Some(service),
        ..running
    })
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
    let Door::Proxy(address) = gateway.way.door else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let doors = Doors::free()?;
    let file = ground.folder.path().join("pinfold.toml");
    let text = generated(ground, mode, &file, address, &doors)?;
    let running = envoy(ground, &format!("{mode}.yaml"), &text, doors.clients).await?;
    Ok(Running {
        behind: Some(gateway.process),
        admin: gateway.admin,
        ..running
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

/// Where an Envoy listens.
struct Doors {
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Doors {
    fn free() -> io::Result<Self> {
        Ok(Self {
            clients: free()?,
            admin: free()?,
        })
    }
}

/// What `pinfold envoy config` writes.
fn generated(
    ground: &Ground,
    mode: &str,
    gateway: &Path,
    service: SocketAddr,
    doors: &Doors,
) -> io::Result<String> {
    let output = Command::new(&ground.pinfold)
        .args(["envoy", "config", mode, "--gateway"])
        .arg(gateway)
        .args(["--service", &service.to_string()])
        .args(["--listen", &doors.clients.to_string()])
        .args(["--admin", &doors.admin.to_string()])
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("no configuration:\n{said}")));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
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
