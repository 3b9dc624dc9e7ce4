//! Where a body goes: standard output, or a file that appears when it is complete.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::{
    fs::{self, File},
    io::{AsyncWriteExt, Stdout},
};

use crate::fault::Fault;

/// Takes a body.
pub(super) enum Sink {
    Stdout {
        stdout: Stdout,
        is_terminal: bool,
    },
    File {
        file: File,
        place: Place,
        written: u64,
    },
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum More {
    Wanted,
    /// The reader of a pipe has gone: no error, but no use to go on.
    Unwanted,
}

/// The file under way and its final name.
pub(super) enum Place {
    /// Renamed from the one to the other when it is complete.
    Part { part: PathBuf, file: PathBuf },
    /// Not a regular file (a device, a pipe): written to directly.
    Direct(PathBuf),
}

impl Sink {
    /// Opens the file, or takes standard output.
    pub(super) async fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        match file {
            None => Ok(Self::Stdout {
                stdout: tokio::io::stdout(),
                is_terminal: io::stdout().is_terminal(),
            }),
            Some(file) => {
                let place = Place::of(file).await;
                let opened = File::create(place.path()).await;
                let shown = place.path().display();
                let file = opened.with_context(|| format!("cannot write `{shown}`"))?;
                Ok(Self::File {
                    file,
                    place,
                    written: 0,
                })
            }
        }
    }

    /// Writes a piece.
    pub(super) async fn write(&mut self, piece: &[u8]) -> anyhow::Result<More> {
        match self {
            Self::Stdout {
                is_terminal: true, ..
            } if !is_plain(piece) => Err(Fault::new(
                "the body is not plain text, so it is not written to the terminal",
                "write it to a file with `-o FILE`",
            )
            .into()),
            Self::Stdout { stdout, .. } => more(stdout.write_all(piece).await),
            Self::File {
                file,
                place,
                written,
            } => {
                let shown = place.path().display();
                file.write_all(piece)
                    .await
                    .with_context(|| format!("cannot write `{shown}`"))?;
                *written += piece.len() as u64;
                Ok(More::Wanted)
            }
        }
    }

    /// The body is complete.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout { mut stdout, .. } => more(stdout.flush().await).map(drop),
            Self::File {
                mut file, place, ..
            } => {
                let shown = place.path().display();
                file.flush()
                    .await
                    .with_context(|| format!("cannot write `{shown}`"))?;
                place.complete().await
            }
        }
    }

    /// The body ends here, incomplete. Answers what is kept, and where.
    pub(super) async fn abandon(self) -> Option<(u64, PathBuf)> {
        match self {
            Self::Stdout { mut stdout, .. } => {
                // What arrived is shown; that it is not all of it, the caller says.
                let _ = stdout.flush().await;
                None
            }
            Self::File {
                mut file,
                place,
                written,
            } => {
                let _ = file.flush().await;
                match place {
                    Place::Part { part, .. } if written == 0 => {
                        let _ = fs::remove_file(part).await;
                        None
                    }
                    Place::Part { part, .. } => Some((written, part)),
                    Place::Direct(_) => None,
                }
            }
        }
    }
}

impl Place {
    /// A device must not be replaced by a file.
    async fn of(file: &Path) -> Self {
        match fs::metadata(file).await {
            Ok(metadata) if !metadata.is_file() => Self::Direct(file.into()),
            _ => Self::Part {
                part: part_of(file),
                file: file.into(),
            },
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Part { part, .. } => part,
            Self::Direct(file) => file,
        }
    }

    async fn complete(self) -> anyhow::Result<()> {
        let Self::Part { part, file } = self else {
            return Ok(());
        };
        let (from, to) = (part.display(), file.display());
        fs::rename(&part, &file)
            .await
            .with_context(|| format!("cannot rename `{from}` to `{to}`"))
    }
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".part");
    name.into()
}

fn more(written: io::Result<()>) -> anyhow::Result<More> {
    match written {
        Ok(()) => Ok(More::Wanted),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(More::Unwanted),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Whether a terminal can show it and do nothing else: a server must not drive the terminal.
fn is_plain(piece: &[u8]) -> bool {
    piece
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r') || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_only() {
        for (row, piece, plain) in [
            ("text", &b"<p>\tx\r\n</p>"[..], true),
            ("utf-8", "\u{e4}\u{65e5}".as_bytes(), true),
            ("nul", b"a\0b", false),
            ("escape", b"a\x1b[2J", false),
            ("delete", b"\x7f", false),
        ] {
            assert_eq!(is_plain(piece), plain, "{row}");
        }
    }

    #[tokio::test]
    async fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        std::fs::write(&file, "old").unwrap();
        let mut sink = Sink::open(Some(&file)).await.unwrap();
        sink.write(b"new").await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(!part_of(&file).exists());
    }

    #[tokio::test]
    async fn an_incomplete_file_is_kept_beside_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        std::fs::write(&file, "old").unwrap();
        let mut sink = Sink::open(Some(&file)).await.unwrap();
        sink.write(b"ne").await.unwrap();
        assert_eq!(sink.abandon().await, Some((2, part_of(&file))));
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        assert_eq!(std::fs::read(part_of(&file)).unwrap(), b"ne");
    }

    #[tokio::test]
    async fn nothing_is_left_of_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        let sink = Sink::open(Some(&file)).await.unwrap();
        assert_eq!(sink.abandon().await, None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_device_is_written_to_not_replaced() {
        let place = Place::of(Path::new("/dev/null")).await;
        assert!(matches!(place, Place::Direct(_)));
    }
}
