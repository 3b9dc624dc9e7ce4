//! Where lines go: standard streams, and files, which are opened anew when they were moved away or removed.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::config::LogTo;

/// An open output.
pub(super) enum Output {
    Off,
    Stdout,
    Stderr,
    File {
        file: File,
        path: PathBuf,
    },
    /// In tests.
    #[cfg(test)]
    Other(Box<dyn Write + Send>),
}

impl Output {
    pub(super) fn open(to: &LogTo) -> io::Result<Self> {
        Ok(match to {
            LogTo::Off => Self::Off,
            LogTo::Stdout => Self::Stdout,
            LogTo::Stderr => Self::Stderr,
            LogTo::File(path) => Self::File {
                file: open(path)?,
                path: path.clone(),
            },
        })
    }

    /// Opens a file anew when its name leads elsewhere now: who rotates logs by moving them need not say so.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        if let Self::File { file, path } = self
            && !is_same(file, path)
        {
            *file = open(path)?;
        }
        Ok(())
    }

    /// Writes some of it, and says how much.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Off => Ok(bytes.len()),
            Self::Stdout => unbuffered(io::stdout().lock(), bytes),
            Self::Stderr => io::stderr().lock().write(bytes),
            Self::File { file, .. } => file.write(bytes),
            #[cfg(test)]
            Self::Other(writer) => writer.write(bytes),
        }
    }
}

/// Appends: whoever truncates the file while it is open (`copytruncate`) gets no hole. Only its owner may read it
/// unless it was there before.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

fn is_same(file: &File, path: &Path) -> bool {
    let identity = |found: Metadata| (found.dev(), found.ino());
    let there = std::fs::metadata(path).map(identity).ok();
    // What cannot be looked at is not opened anew for it: the file that is open still takes lines.
    let Ok(open) = file.metadata().map(identity) else {
        return true;
    };
    there == Some(open)
}

fn unbuffered(mut stream: impl Write, bytes: &[u8]) -> io::Result<usize> {
    stream.write_all(bytes)?;
    stream.flush()?;
    Ok(bytes.len())
}
