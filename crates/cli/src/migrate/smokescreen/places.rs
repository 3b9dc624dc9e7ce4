//! Where the files are that a configuration names.

use std::{
    io,
    path::{self, Path, PathBuf},
};

/// The folders that relative paths may be meant from, the likeliest first.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<PathBuf>);

impl Places {
    /// Smokescreen looked where it was started, which no file says: beside its configuration, or here.
    pub(super) fn of(config: Option<&Path>) -> io::Result<Self> {
        let here = path::absolute(".")?;
        let beside = config
            .and_then(Path::parent)
            .map(|folder| here.join(folder));
        Ok(Self(beside.into_iter().chain([here]).collect()))
    }

    #[cfg(test)]
    pub(super) fn only(folder: &Path) -> Self {
        Self(vec![folder.to_owned()])
    }

    /// The path from the root, and whether there is a file. Where there is none, the likeliest place.
    pub(super) fn find(&self, file: &str) -> (PathBuf, bool) {
        let mut places = self.0.iter().map(|folder| folder.join(file));
        match places.find(|place| place.is_file()) {
            Some(found) => (found, true),
            None => {
                let first = self.0.first().cloned().unwrap_or_default();
                (first.join(file), false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_where_it_is_found_first() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(one.join("both.pem"), "").unwrap();
        fs::write(other.join("both.pem"), "").unwrap();
        fs::write(other.join("late.pem"), "").unwrap();
        let places = Places(vec![one.clone(), other.clone()]);
        for (file, found) in [
            ("both.pem", (one.join("both.pem"), true)),
            ("late.pem", (other.join("late.pem"), true)),
            ("gone.pem", (one.join("gone.pem"), false)),
        ] {
            assert_eq!(places.find(file), found, "{file}");
        }
    }
}
