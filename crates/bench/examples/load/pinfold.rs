//! Pinfold as a contender: the shipped policy with settings that allow what the peers' rules allow.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    contender::{Ground, Running},
    process::{Process, free},
    way::{Door, Way},
};

/// Starts the gateway.
pub(crate) async fn start(ground: &Ground, log: bool) -> io::Result<Running> {
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
    let config = format!(
        "[[listener]]\nbind = \"{door}\"\n\
         [admin]\nbind = \"{admin}\"\n\
         [policy]\nsettings = \"{SETTINGS}\"\ninterval = \"250ms\"\n\
         [floor]\ngrants = [{grants}]\n\
         [limits]\nconnections_per_source = 10_000\n\
         [records.log]\nto = \"{log}\"\n"
    );
    let file = ground.folder.write("pinfold.toml", &config)?;
    let words = ["serve", &file.to_string_lossy()];
    let mut process = Process::start("pinfold", &ground.pinfold, &words, &ground.folder)?;
    process.listens(door).await?;
    Ok(Running {
        process,
        way: Way {
            origin: ground.origin,
            door: Door::Proxy(door),
            keeps: true,
        },
        admin: Some(admin),
    })
}

/// Settings that were never there before, with the same meaning for what is asked: each number is a policy
/// that is loaded anew. A literal passes by the operator's grant.
pub(crate) fn settings(ground: &Ground, number: usize) -> io::Result<()> {
    let ports = ground.origin.ports(", ");
    let text = format!(
        "ports = [{ports}]\n[hosts]\nallow = [\"origin.example\", \"generation-{number}.example\"]\n"
    );
    ground.folder.write(SETTINGS, &text).map(drop)
}

/// What the gateway says of itself.
pub(crate) async fn status(admin: SocketAddr) -> io::Result<Value> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(serde_json::from_str(body.unwrap_or_default())?)
}

/// A number of it.
pub(crate) fn count(status: &Value, pointer: &str) -> io::Result<u64> {
    let count = status.pointer(pointer).and_then(Value::as_u64);
    count.ok_or_else(|| io::Error::other(format!("the status has no `{pointer}`")))
}

const SETTINGS: &str = "settings.toml";
