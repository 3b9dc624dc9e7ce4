//! Pinfold as a contender: the shipped policy with settings that allow what the peers' rules allow.

use std::io;

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

const SETTINGS: &str = "settings.toml";
