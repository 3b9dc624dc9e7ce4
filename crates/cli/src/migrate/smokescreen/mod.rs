//! From Smokescreen: its access list, and its configuration where there is one.

mod general;
mod hosts;
mod networks;
mod places;
mod rules;
mod settings;
mod source;
mod write;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::de::DeserializeOwned;

use self::{
    networks::Networks,
    places::Places,
    rules::Rules,
    settings::Settings,
    source::{Acl, Config},
};
use super::difference::{Difference, Differences, Kind};
use crate::{
    exit::Exit,
    fault::Fault,
    files,
    output::{Output, note},
    policy::new::{File, folder},
    text::{count, shell_word},
};

/// Write a configuration of the gateway and settings of the shipped policy from files of Smokescreen
///
/// Every difference in meaning is listed on standard output: what is looser first, then what has no equivalent.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The access list, YAML, `version: v1`
    acl: PathBuf,

    /// The configuration, YAML. Default: none, everything has its default
    config: Option<PathBuf>,

    /// Folder to write to, which is made; an empty one will do
    #[arg(long, value_name = "DIR", default_value = "pinfold-gateway")]
    dir: PathBuf,

    /// List the differences as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold migrate smokescreen acl.yaml
  pinfold migrate smokescreen acl.yaml config.yaml --dir gateway --json > differences.json
  pinfold serve --check gateway/pinfold.toml";

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let acl: Acl = read(&args.acl)?;
    let config: Config = match &args.config {
        Some(file) => read(file)?,
        None => Config::default(),
    };
    let places = Places::of(args.config.as_deref())?;
    let (files, differences) = translate(&acl, &config, &places)?;
    folder::write(&args.dir, &files)?;
    show(&differences, args.json, out)?;
    out.flush()?;
    conclude(args, &config, &files, &differences);
    Ok(Exit::Ok)
}

/// What was written, and what is to be done with it; the most urgent last.
fn conclude(args: &Args, config: &Config, files: &[File], differences: &[Difference]) {
    let next = args.dir.join("pinfold.toml");
    note(format_args!(
        "wrote {} to `{}`; check them with `pinfold serve --check {}`",
        count(files.len(), "file", "files"),
        args.dir.display(),
        shell_word(&next)
    ));
    let looser = differences
        .iter()
        .filter(|d| d.kind == Kind::Looser)
        .count();
    let them = if looser == 1 { "it" } else { "them" };
    match looser {
        0 => note(format_args!(
            "{}, none looser",
            count(differences.len(), "difference", "differences")
        )),
        looser => note(format_args!(
            "{}, {looser} looser: read {them} first",
            count(differences.len(), "difference", "differences")
        )),
    }
    if config.asks_nobody() {
        note("not ready: choose who asks in [listener.identity]");
    }
}

/// The files, and what differs.
fn translate(
    acl: &Acl,
    config: &Config,
    places: &Places,
) -> anyhow::Result<(Vec<File>, Vec<Difference>)> {
    let mut differences = Differences::default();
    general::add(&mut differences);
    let networks = networks::translate(
        networks::Written {
            allow_ranges: &config.allow_ranges,
            allow_addresses: &config.allow_addresses,
            deny_ranges: &config.deny_ranges,
            deny_addresses: &config.deny_addresses,
            private: config.unsafe_allow_private_ranges,
        },
        &mut differences,
    );
    let rules = rules::translate(acl, &mut differences)?;
    let text = write::configuration(config, &rules, &networks, places, &mut differences);
    let files = vec![
        file("pinfold.toml", text),
        file("settings.toml", settings(&rules, &networks)),
    ];
    Ok((files, differences.sorted()))
}

fn settings(rules: &Rules, networks: &Networks) -> String {
    Settings {
        networks,
        names: &rules.names,
        base: rules.base.as_ref(),
        subjects: &rules.subjects,
    }
    .to_string()
}

fn show(differences: &[Difference], json: bool, out: &mut Output) -> anyhow::Result<()> {
    if json {
        return out.json_pretty(&differences);
    }
    for difference in differences {
        difference.show(out)?;
    }
    Ok(())
}

fn file(path: &str, content: String) -> File {
    File {
        path: path.into(),
        content,
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let shown = || format!("cannot read `{}`", file.display());
    let mut text = String::new();
    let opened = files::regular(file)?;
    opened
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .with_context(shown)?;
    if text.len() as u64 > MAX_FILE {
        let message = format!("`{}` is larger than 1 MiB", file.display());
        return Err(Fault::new(message, "name a file of Smokescreen").into());
    }
    serde_saphyr::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("`{}` is none of Smokescreen's files", file.display()))
}

#[cfg(test)]
mod tests;
