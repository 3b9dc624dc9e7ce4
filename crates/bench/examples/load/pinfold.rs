//! Pinfold as a contender: the shipped policy with settings that allow what the peers' rules allow.

use std::{io, net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    contender::{Ground, Running},
    process::{Process, free},
    service::Service,
    way::{Door, Way},
};

/// What clients of the gateway speak.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// They are clients of a proxy.
    Proxy,
    /// They are Envoys, which ask.
    Envoy,
}

/// A gateway that may be started.
pub(crate) struct Config {
    pub(crate) file: PathBuf,
    pub(crate) door: SocketAddr,
    admin: SocketAddr,
}

/// Starts the gateway.
pub(crate) async fn start(ground: &Ground, protocol: Protocol, log: bool) -> io::Result<Running> {
    let Config { file, door, admin } = configure(ground, protocol, log)?;
    let words = ["serve", &file.to_string_lossy()];
    let mut process = Process::start("pinfold", &ground.pinfold, &words, &ground.folder)?;
    process.listens(door).await?;
    Ok(Running {
        process,
        behind: None,
        way: Way {
            origin: ground.origin,
            name: None,
            door: Door::Proxy(door),
            keeps: true,
        },
        admin: Some(admin),
    })
}

/// Writes its configuration.
pub(crate) fn configure(ground: &Ground, protocol: Protocol, log: bool) -> io::Result<Config> {
    let (door, admin) = (free()?, free()?);
    settings(ground, 0)?;
    let log = match log {
        true => format!("file:{}/pinfold.log", ground.folder.path().display()),
        false => "off".to_owned(),
    };
    let grants = ground
        .origin
        .all()
        .map(|service| format!("\"{}/32:{}\"", service.ip(), service.port()))
        .join(", ");
    let protocols = match protocol {
        Protocol::Proxy => "",
        Protocol::Envoy => "protocols = [\"envoy\"]\n",
    };
    let host = ground.origin.of(Service::Http).ip();
    let text = format!(
        "[[listener]]\nbind = \"{door}\"\n{protocols}\
         [admin]\nbind = \"{admin}\"\n\
         [policy]\nsettings = \"{SETTINGS}\"\ninterval = \"250ms\"\n\
         [floor]\ngrants = [{grants}]\n\
         [dns.fixed]\n\"{NAME}\" = [\"{host}\"]\n\
         [limits]\nconnections_per_source = 10_000\n\
         [records.log]\nto = \"{log}\"\n"
    );
    let file = ground.folder.write(CONFIG, &text)?;
    Ok(Config { file, door, admin })
}

/// Settings that were never there before, with the same meaning for what is asked: each number is a policy
/// that is loaded anew. A literal passes by the operator's grant.
pub(crate) fn settings(ground: &Ground, number: usize) -> io::Result<()> {
    let ports = ground.origin.ports(", ");
    let text = format!(
        "ports = [{ports}]\n[hosts]\nallow = [\"{NAME}\", \"generation-{number}.example\"]\n"
    );
    ground.folder.write(SETTINGS, &text).map(drop)
}

/// What the gateway says of itself.
pub(crate) async fn status(admin: SocketAddr) -> io::Result<Value> {
    json_of(admin, "/status").await
}

/// What an interface for operators answers to `GET`.
pub(crate) async fn json_of(admin: SocketAddr, path: &str) -> io::Result<Value> {
    let stream = TokioIo::new(TcpStream::connect(admin).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", admin.to_string());
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await;
    let body = answer.map_err(io::Error::other)?.into_body();
    let body = body.collect().await.map_err(io::Error::other)?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

/// A number of it.
pub(crate) fn count(status: &Value, pointer: &str) -> io::Result<u64> {
    let count = status.pointer(pointer).and_then(Value::as_u64);
    count.ok_or_else(|| io::Error::other(format!("the status has no `{pointer}`")))
}

/// The origin, for clients that call it by a name.
pub(crate) const NAME: &str = "origin.example";
/// The configuration, in the folder of the run.
pub(crate) const CONFIG: &str = "pinfold.toml";
const SETTINGS: &str = "settings.toml";
