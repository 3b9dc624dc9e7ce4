//! From a file to a configuration that contradicts itself nowhere.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use toml::de::DeTable;

use super::{
    Config,
    check::check,
    files,
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
        let of_file = |error: ConfigError| error.of(file);
        let text = text(file).map_err(|error| {
            let message = format!("the file cannot be read: {error}");
            let hint = "name a file of TOML, of at most 1 MiB";
            of_file(ConfigError::new(vec![Problem::new(
                Key::default(),
                message,
                hint,
            )]))
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(of_file)
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
        let unread = |error| ConfigError::new(vec![Problem::of_toml(&error, text)]);
        let document = DeTable::parse(text).map_err(unread)?;
        let mut config: Self = toml::from_str(text).map_err(unread)?;
        files::within(&mut config, folder);
        let mut problems = config.problems();
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
        let problems = self.problems();
        match problems.is_empty() {
            true => Ok(self),
            false => Err(ConfigError::new(problems)),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = check(self);
        problems.extend(files::missing(self));
        problems
    }
}

fn text(file: &Path) -> io::Result<String> {
    // Asked before: to open a pipe is to wait for it.
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let opened = File::open(file)?;
    opened.take(MAX_FILE + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(io::Error::other("it is longer than 1 MiB")),
        false => Ok(text),
    }
}

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
