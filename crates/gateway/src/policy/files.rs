//! A candidate from files; whether they have changed, and whether they are whole.
//!
//! Polling, not notification: it works the same on every file system, in containers with mounted configuration, and
//! through renames of a directory above. A change is taken up when two looks in a row saw the same files, so that
//! one that is being written is left alone until it is whole, and a policy and its settings that are replaced one
//! after the other are taken together.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use pinfold::{
    Limits,
    policy::{Layer, Source},
};
use serde_json::{Map, Value};

use super::{Candidate, CandidateLayer, Failure, SelfTest, Step, Untested, settings};
use crate::{
    config::{LayerConfig, PolicyConfig},
    file,
};

/// The files of all layers.
#[derive(Clone, Debug)]
pub(super) struct Files {
    layers: Vec<LayerConfig>,
    cache: Option<PathBuf>,
    inert_wasi: bool,
    vectors: Vec<PathBuf>,
    limits: Limits,
}

impl Files {
    pub(super) fn of(config: &PolicyConfig, limits: &Limits) -> Result<Self, Failure> {
        let alone = config.file.is_some() || config.settings.is_some();
        if alone && !config.layer.is_empty() {
            return Err(Failure::read(
                "`layer` stands beside `file` or `settings`",
                "make the policy one of the layers",
            ));
        }
        let mut layers = config.layer.clone();
        if layers.is_empty() {
            layers.push(LayerConfig {
                name: Layer::POLICY.into(),
                file: config.file.clone(),
                settings: config.settings.clone(),
            });
        }
        Ok(Self {
            layers,
            cache: config.cache.clone(),
            inert_wasi: config.inert_wasi,
            vectors: config.vectors.clone(),
            limits: limits.clone(),
        })
    }

    /// Judges a candidate by the vectors of the configuration, which are read now.
    pub(super) fn test(
        &self,
        test: Option<&SelfTest>,
        candidate: &Candidate,
    ) -> Result<(), Failure> {
        match test {
            Some(test) => {
                let tested = test(&candidate.tested_by(&self.vectors));
                tested.map_err(|untested| match untested {
                    Untested::Load(error) => candidate.refused(error),
                    other => other.into(),
                })
            }
            None if self.vectors.is_empty() => Ok(()),
            None => Err(Failure::new(Step::SelfTest, NOBODY, Some(GIVE))),
        }
    }

    /// What the files hold now.
    pub(super) fn read(&self) -> Reading {
        let before = self.stamps();
        let candidate = self.read_each();
        match self.stamps() == before {
            true => Reading::Whole(before, candidate),
            false => Reading::Changing,
        }
    }

    /// As [`read`](Self::read), again when they change meanwhile, but not for ever.
    pub(super) fn read_patiently(&self) -> (Stamps, Result<Candidate, Failure>) {
        for _ in 0..TRIES {
            match self.read() {
                Reading::Whole(stamps, candidate) => return (stamps, candidate),
                Reading::Changing => std::thread::sleep(PAUSE),
            }
        }
        let failure = Failure::read(CHANGING, "ask again once they are written");
        (Stamps::default(), Err(failure))
    }

    fn read_each(&self) -> Result<Candidate, Failure> {
        let named = self.layers.len() > 1;
        let read = |layer: &LayerConfig| {
            let (file, settings) = (layer.file.as_deref(), layer.settings.as_deref());
            let read = read_layer(&layer.name, file, settings, &self.limits);
            read.map_err(|failure| match named {
                true => failure.in_layer(&layer.name),
                false => failure,
            })
        };
        let layers = self.layers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Candidate::new(layers, self.cache.clone(), self.inert_wasi))
    }

    pub(super) fn stamps(&self) -> Stamps {
        let files = |layer: &LayerConfig| [layer.file.clone(), layer.settings.clone()];
        let stamps = self.layers.iter().flat_map(files).map(stamp);
        Stamps(stamps.collect())
    }
}

/// What came of reading all files.
#[derive(Debug)]
pub(super) enum Reading {
    /// They stood still, and were this.
    Whole(Stamps, Result<Candidate, Failure>),
    /// They changed meanwhile: what was read may be half of one and half of another.
    Changing,
}

/// Reads one policy and its settings; without a file it is the shipped one, without settings they are `{}`.
pub(crate) fn read_layer(
    name: &str,
    file: Option<&Path>,
    settings: Option<&Path>,
    limits: &Limits,
) -> Result<CandidateLayer, Failure> {
    let source = match file {
        Some(path) => Source::Bytes(read_file(path, limits.component_bytes)?.into()),
        None => Source::Shipped,
    };
    let settings_file = settings.map(Path::to_owned);
    let settings = match settings {
        Some(path) => read_settings(path, limits.settings_bytes)?,
        None => Value::Object(Map::new()),
    };
    Ok(CandidateLayer {
        name: name.to_owned(),
        source,
        settings,
        settings_file,
    })
}

fn read_settings(path: &Path, limit: usize) -> Result<Value, Failure> {
    let bytes = read_file(path, limit)?;
    let shown = path.display();
    let text = String::from_utf8(bytes).map_err(|_| {
        let message = format!("cannot use the settings in `{shown}`: not UTF-8");
        Failure::read(message, "write TOML or JSON")
    })?;
    settings::parse(&text, path).map_err(|error| {
        let message = format!("cannot use the settings in `{shown}`: {error}");
        Failure::read(message, error.hint())
    })
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    file::read(path, limit as u64).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        Failure::read(
            message,
            "name a regular file, and check the path and its permissions",
        )
    })
}

/// What was seen of files, one look after the other.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    /// What was last acted upon.
    done: Stamps,
    /// What the last look saw.
    seen: Stamps,
}

impl Looks {
    pub(super) fn new(done: Stamps) -> Self {
        Self {
            seen: done.clone(),
            done,
        }
    }

    /// Whether files have changed that did not change since the last look.
    pub(super) fn see(&mut self, now: Stamps) -> bool {
        let settled = now == self.seen;
        self.seen = now;
        settled && self.seen != self.done
    }

    /// What was seen so has been acted upon, well or not.
    pub(super) fn done(&mut self, stamps: Stamps) {
        self.seen = stamps.clone();
        self.done = stamps;
    }
}

/// What files looked like; two that look alike are the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Stamps(Arc<[Option<Stamp>]>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    is_file: bool,
    /// Inode, and the time of the last change to it, which no writer can set back.
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

/// None where there is no file.
fn stamp(path: Option<PathBuf>) -> Option<Stamp> {
    std::fs::metadata(path?).ok().map(|found| Stamp::of(&found))
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: found.modified().ok(),
            len: found.len(),
            is_file: found.is_file(),
            #[cfg(unix)]
            inode: (found.ino(), found.ctime(), found.ctime_nsec()),
        }
    }
}

const NOBODY: &str = "there are vectors, and nobody who judges by them";
const GIVE: &str = "give the gateway a self-test, or take `policy.vectors` away";
const CHANGING: &str = "the files changed while they were read";

/// How often, and after which pause, files are read again that change while they are read.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Files {
        let config = PolicyConfig {
            file: Some(dir.join("p")),
            settings: Some(dir.join("s.toml")),
            ..PolicyConfig::default()
        };
        let mut limits = Limits::default();
        limits.component_bytes = 100;
        limits.settings_bytes = 100;
        Files::of(&config, &limits).unwrap()
    }

    #[test]
    fn a_change_is_taken_up_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("p", "one");
        write("s.toml", "");
        let files = files(dir.path());
        let mut looks = Looks::new(files.stamps());
        assert!(
            (0..3).all(|_| !looks.see(files.stamps())),
            "unchanged files cost nothing"
        );
        write("p", "second");
        assert!(!looks.see(files.stamps()), "not at first sight");
        write("s.toml", "ports = []");
        assert!(
            !looks.see(files.stamps()),
            "not while one after the other is written"
        );
        assert!(looks.see(files.stamps()));
        looks.done(files.stamps());
        assert!(!looks.see(files.stamps()), "once");
        std::fs::remove_file(dir.path().join("p")).unwrap();
        assert!(!looks.see(files.stamps()));
        assert!(looks.see(files.stamps()), "a file that is gone is a change");
    }

    #[test]
    fn a_file_of_the_same_size_and_time_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (policy, other) = (dir.path().join("p"), dir.path().join("other"));
        std::fs::write(&policy, "one").unwrap();
        let files = files(dir.path());
        let before = files.stamps();
        let time = std::fs::metadata(&policy).unwrap().modified().unwrap();
        std::fs::write(&other, "two").unwrap();
        std::fs::File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_modified(time)
            .unwrap();
        std::fs::rename(&other, &policy).unwrap();
        assert_ne!(files.stamps(), before);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        type Make = fn(&Path, &Path);
        let table: [(&str, Make, &str); 11] = [
            (
                "gone",
                |p, _| std::fs::remove_file(p).unwrap(),
                "cannot read `",
            ),
            (
                "a folder",
                |p, _| {
                    std::fs::remove_file(p).unwrap();
                    std::fs::create_dir(p).unwrap();
                },
                "is not a regular file",
            ),
            (
                "a pipe",
                |p, _| {
                    std::fs::remove_file(p).unwrap();
                    let made = std::process::Command::new("mkfifo")
                        .arg(p)
                        .status()
                        .unwrap();
                    assert!(made.success());
                },
                "is not a regular file",
            ),
            (
                "huge",
                |p, _| std::fs::write(p, [0; 101]).unwrap(),
                "is longer than 100 bytes",
            ),
            (
                "settings gone",
                |_, s| std::fs::remove_file(s).unwrap(),
                "cannot read `",
            ),
            (
                "settings cut off",
                |_, s| std::fs::write(s, "ports = [443,").unwrap(),
                "no valid TOML, line 1",
            ),
            (
                "settings truncated",
                |_, s| std::fs::write(s, "").unwrap(),
                "s.toml`: it is empty",
            ),
            (
                "settings of white space",
                |_, s| std::fs::write(s, " \n\t\n").unwrap(),
                "it is empty",
            ),
            (
                "settings never written",
                |_, s| std::fs::write(s, [0; 50]).unwrap(),
                "it is empty",
            ),
            (
                "settings twice",
                |_, s| std::fs::write(s, "a = 1\na = 2").unwrap(),
                "line 2: duplicate key",
            ),
            (
                "no text",
                |_, s| std::fs::write(s, [0xff]).unwrap(),
                "not UTF-8",
            ),
        ];
        for (row, make, said) in table {
            let dir = tempfile::tempdir().unwrap();
            let (policy, settings) = (dir.path().join("p"), dir.path().join("s.toml"));
            std::fs::write(&policy, "one").unwrap();
            std::fs::write(&settings, "# none").unwrap();
            assert!(files(dir.path()).read_patiently().1.is_ok(), "{row}");
            make(&policy, &settings);
            let failure = files(dir.path()).read_patiently().1.unwrap_err();
            assert_eq!(failure.step, Step::Read, "{row}");
            assert!(failure.message.contains(said), "{row}: {failure}");
        }
    }
}
