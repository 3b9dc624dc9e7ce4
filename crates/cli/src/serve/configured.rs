//! The configuration that is served: the file, and what the command line says instead.

use std::path::Path;

use pinfold_gateway::{Config, config::ConfigError};

use super::{AdminBind, Instead};
use crate::{fault::Fault, text};

/// Reads the file, takes the options, and looks for contradictions again. What `--check` looks at is not about to be
/// started: folders that a service manager makes before may be missing.
pub(super) fn read(file: Option<&Path>, instead: &Instead, check: bool) -> anyhow::Result<Config> {
    let config = match file {
        Some(file) if check => Config::read_before(file).map_err(|error| told(&error, file))?,
        Some(file) => Config::read(file).map_err(|error| told(&error, file))?,
        None => Config::default(),
    };
    let changed = apply(config, instead)?;
    let sound = match check {
        true => changed.sound_before(),
        false => changed.sound(),
    };
    let options = Path::new("the command line");
    sound.map_err(|error| told(&error, file.unwrap_or(options)))
}

fn apply(mut config: Config, instead: &Instead) -> Result<Config, Fault> {
    if let Some(bind) = &instead.listen {
        let [only] = &mut config.listener[..] else {
            let message = "`--listen` is for the only listener, and the configuration has several";
            return Err(Fault::new(message, "change `bind` in the configuration"));
        };
        only.bind = bind.clone();
    }
    match &instead.admin {
        Some(AdminBind::Off) => config.admin.enabled = false,
        Some(AdminBind::At(bind)) => {
            config.admin.enabled = true;
            config.admin.bind = bind.clone();
        }
        None => {}
    }
    let policy = &mut config.policy;
    let chain = !policy.layer.is_empty();
    if chain && (instead.policy.is_some() || instead.settings.is_some()) {
        let message =
            "`--policy` and `--settings` are of one policy, and the configuration has a chain";
        return Err(Fault::new(
            message,
            "change the layers in the configuration",
        ));
    }
    if let Some(file) = &instead.policy {
        policy.file = Some(file.clone());
    }
    if let Some(file) = &instead.settings {
        policy.settings = Some(file.clone());
    }
    Ok(config)
}

/// One problem is an error; several are listed below it.
fn told(error: &ConfigError, file: &Path) -> anyhow::Error {
    const MANUAL: &str = "`pinfold serve --print-defaults` shows every key with its meaning";
    if let [_] = error.problems() {
        let hint = error.hint().unwrap_or(MANUAL);
        return Fault::new(error.to_string(), hint).into();
    }
    let problems = error.problems().iter().map(|problem| match problem.hint() {
        Some(hint) => format!("{problem} ({hint})"),
        None => problem.to_string(),
    });
    let problems: Vec<_> = problems.collect();
    let count = text::count(problems.len(), "problem", "problems");
    let message = format!("there are {count} in `{}`", file.display());
    anyhow::Error::msg(problems.join("\n")).context(Fault::new(message, MANUAL))
}
