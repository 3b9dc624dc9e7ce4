//! Where a body goes: standard output, or a file that appears when it is complete.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::{
    fs::File,
    io::{AsyncWriteExt, Stdout},
};

use super::plain::Plain;
use crate::{fault::Fault, files::Place, text::Printable};

/// Takes a body.
pub(super) enum Sink {
    Stdout {
        stdout: Stdout,
        /// Judges the text, when it goes to a terminal.
        terminal: Option<Plain>,
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

impl Sink {
    /// Opens the file, or takes standard output.
    pub(super) async fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self::Stdout {
                stdout: tokio::io::stdout(),
                terminal: io::stdout().is_terminal().then(Plain::default),
            });
        };
        let opened = place(file).await;
        let (file, place) = opened.with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(Self::File {
            file,
            place,
            written: 0,
        })
    }

    /// Writes the head of a response. A terminal shows its control characters and does not obey them.
    pub(super) async fn write_head(&mut self, head: &[u8]) -> anyhow::Result<More> {
        match self {
            Self::Stdout {
                terminal: Some(_), ..
            } => self.write(printable(head).as_bytes()).await,
            _ => self.write(head).await,
        }
    }

    /// Writes a piece.
    pub(super) async fn write(&mut self, piece: &[u8]) -> anyhow::Result<More> {
        match self {
            Self::Stdout { stdout, terminal } => {
                let Some(plain) = terminal else {
                    return more(stdout.write_all(piece).await);
                };
                let text = plain.take(piece).map_err(|_| not_plain())?;
                more(stdout.write_all(text.as_bytes()).await)
            }
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
            Self::Stdout {
                mut stdout,
                terminal,
            } => {
                more(stdout.flush().await)?;
                match terminal {
                    Some(plain) if plain.is_cut() => Err(not_plain()),
                    _ => Ok(()),
                }
            }
            Self::File {
                mut file, place, ..
            } => {
                let shown = place.path().display();
                file.flush()
                    .await
                    .with_context(|| format!("cannot write `{shown}`"))?;
                complete(place)
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
                    Place::Part { part, .. } if written > 0 => Some((written, part.keep().ok()?)),
                    _ => None,
                }
            }
        }
    }
}

fn complete(place: Place) -> anyhow::Result<()> {
    let to = match &place {
        Place::Part { file, .. } | Place::Direct(file) => file.clone(),
    };
    let completed = place.complete();
    completed.with_context(|| format!("cannot move the complete body to `{}`", to.display()))
}

/// Opening a pipe may take long: not on a thread that others wait for.
async fn place(file: &Path) -> io::Result<(File, Place)> {
    let file = file.to_owned();
    let opened = tokio::task::spawn_blocking(move || Place::open(&file)).await;
    let (file, place) = opened.map_err(io::Error::other)??;
    Ok((File::from_std(file), place))
}

fn more(written: io::Result<()>) -> anyhow::Result<More> {
    match written {
        Ok(()) => Ok(More::Wanted),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(More::Unwanted),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

fn not_plain() -> anyhow::Error {
    Fault::new(
        "the body is not plain text, so it is not written to the terminal from here on",
        "write it to a file with `-o FILE`",
    )
    .into()
}

fn printable(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let lines = head.split_terminator("\r\n");
    lines
        .map(|line| format!("{}\r\n", Printable(line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The only file beside `page.html`.
    fn part(dir: &Path) -> PathBuf {
        let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        let mut others = files.filter(|file| file.extension().is_some_and(|end| end == "part"));
        let part = others.next().unwrap();
        assert_eq!(others.next(), None);
        part
    }

    #[tokio::test]
    async fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        fs::write(&file, "old").unwrap();
        let mut sink = Sink::open(Some(&file)).await.unwrap();
        sink.write(b"new").await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        let part = part(dir.path());
        sink.finish().await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(!part.exists());
    }

    #[tokio::test]
    async fn an_incomplete_file_is_kept_beside_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        fs::write(&file, "old").unwrap();
        let mut sink = Sink::open(Some(&file)).await.unwrap();
        sink.write(b"ne").await.unwrap();
        let part = part(dir.path());
        assert_eq!(sink.abandon().await, Some((2, part.clone())));
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read(part).unwrap(), b"ne");
    }

    #[tokio::test]
    async fn nothing_is_left_of_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.html");
        let sink = Sink::open(Some(&file)).await.unwrap();
        assert_eq!(sink.abandon().await, None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_device_is_written_to_not_replaced() {
        let (_, place) = place(Path::new("/dev/null")).await.unwrap();
        assert!(matches!(place, Place::Direct(_)));
    }

    /// The name was `FILE.part`: whoever may write there could make a link of it beforehand.
    #[cfg(unix)]
    #[tokio::test]
    async fn what_lies_at_a_guessed_name_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("page"), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("page.part")).unwrap();
        let mut sink = Sink::open(Some(&file)).await.unwrap();
        sink.write(b"new").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_stays_and_its_file_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("private"), dir.path().join("link"));
        std::os::unix::fs::symlink("private", &link).unwrap();
        for (row, before, after) in [("dangling", None, None), ("old", Some(0o4600), Some(0o600))] {
            if let Some(mode) = before {
                fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            }
            let mut sink = Sink::open(Some(&link)).await.unwrap();
            sink.write(row.as_bytes()).await.unwrap();
            sink.finish().await.unwrap();
            assert!(link.is_symlink(), "{row}");
            assert_eq!(fs::read_to_string(&file).unwrap(), row);
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, after.unwrap_or(mode), "{row}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_in_a_circle_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::os::unix::fs::symlink(&a, &b).unwrap();
        std::os::unix::fs::symlink(&b, &a).unwrap();
        assert!(Sink::open(Some(&a)).await.is_err());
    }

    #[test]
    fn a_head_cannot_drive_the_terminal() {
        assert_eq!(
            printable(b"HTTP/1.1 200 OK\r\nx: \xc2\x9b2J\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nx: \\u{9b}2J\r\n\r\n"
        );
        assert_eq!(printable(b"x: \x9b2J\n\r\n"), "x: \u{fffd}2J\\u{a}\r\n");
    }
}
