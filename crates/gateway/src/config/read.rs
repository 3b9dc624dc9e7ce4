//! From a file to a configuration that contradicts itself nowhere.

use std::path::Path;

use toml::de::DeTable;

use super::{
    Config,
    check::check,
    faults, files,
    problem::{ConfigError, Key, Problem},
};

impl Config {
    /// Reads a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with everything that is wrong: what cannot be read as TOML or is no key, what contradicts
    /// itself, and files that are not there.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::read_at(Moment::Start, file)
    }

    /// As [`read`](Self::read), before the machine is made ready for a start: folders in which the gateway will make
    /// something need not be there yet. [`unmade`](Self::unmade) lists them.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read_before(file: &Path) -> Result<Self, ConfigError> {
        Self::read_at(Moment::Before, file)
    }

    fn read_at(moment: Moment, file: &Path) -> Result<Self, ConfigError> {
        let of_file = |error: ConfigError| error.of(file);
        let text = crate::file::text(file, MAX_FILE).map_err(|error| {
            let message = format!("the file cannot be read: {error}");
            let hint = "name a file of TOML, of at most 1 MiB";
            of_file(ConfigError::new(vec![Problem::new(
                Key::default(),
                message,
                hint,
            )]))
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        Self::parse_at(moment, &text, folder).map_err(of_file)
    }

    /// Reads text, in which paths are relative to this folder.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use pinfold_gateway::Config;
    ///
    /// let error = Config::parse("[limits]\nconections = 5", Path::new("")).unwrap_err();
    /// assert_eq!(error.to_string(), "line 2, column 1: there is no key `conections` here");
    /// assert_eq!(error.hint(), Some("did you mean `connections`?"));
    /// ```
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        Self::parse_at(Moment::Start, text, folder)
    }

    fn parse_at(moment: Moment, text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let unread = |error| ConfigError::new(vec![Problem::of_text(&error, text)]);
        let document = DeTable::parse(text).map_err(unread)?;
        let mut config = faults::read(&document, text).map_err(ConfigError::new)?;
        files::within(&mut config, folder);
        let mut problems = config.problems(moment);
        problems
            .iter_mut()
            .for_each(|problem| problem.find(document.get_ref(), text));
        problems.sort_by_key(Problem::order);
        match problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError::new(problems)),
        }
    }

    /// Looks for contradictions, after something was changed by hand: a command line, a program.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with everything that contradicts itself.
    pub fn sound(self) -> Result<Self, ConfigError> {
        self.sound_at(Moment::Start)
    }

    /// As [`sound`](Self::sound), before the machine is made ready for a start.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn sound_before(self) -> Result<Self, ConfigError> {
        self.sound_at(Moment::Before)
    }

    /// Folders that have to be there at the start, and are not: of Unix sockets, of the cache, of the log. A service
    /// manager makes them before (`RuntimeDirectory=`, `CacheDirectory=`, `LogsDirectory=`).
    pub fn unmade(&self) -> Vec<Problem> {
        files::unmade(self)
    }

    fn sound_at(self, moment: Moment) -> Result<Self, ConfigError> {
        let problems = self.problems(moment);
        match problems.is_empty() {
            true => Ok(self),
            false => Err(ConfigError::new(problems)),
        }
    }

    fn problems(&self, moment: Moment) -> Vec<Problem> {
        let mut problems = check(self);
        problems.extend(files::missing(self));
        if moment == Moment::Start {
            problems.extend(files::unmade(self));
        }
        problems
    }
}

/// When a configuration is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moment {
    /// Everything is there that a start needs.
    Start,
    /// A service manager has not made its folders yet.
    Before,
}

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
