//! Files that a person or a project names: opened without waiting for nobody, replaced whole.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempPath;

use crate::fault::Fault;

/// Opens a file to read it, and nothing but a regular file: a pipe that nobody writes to would be waited
/// for without end.
///
/// # Errors
///
/// A file that is not there ([`io::Error`]), and one that is no regular file.
pub(crate) fn regular(file: &Path) -> anyhow::Result<File> {
    let cannot_read = || format!("cannot read `{}`", file.display());
    // Asked before: to open a pipe is to wait for it.
    require_regular(file, &fs::metadata(file).with_context(cannot_read)?)?;
    let opened = File::open(file).with_context(cannot_read)?;
    require_regular(file, &opened.metadata().with_context(cannot_read)?)?;
    Ok(opened)
}

/// Refuses what is no regular file.
pub(crate) fn require_regular(file: &Path, found: &fs::Metadata) -> Result<(), Fault> {
    if found.is_file() {
        return Ok(());
    }
    let message = format!("`{}` is not a regular file", file.display());
    Err(Fault::new(
        message,
        "name a file: nothing else is read here",
    ))
}

/// Replaces a file that a person named, in one step: it is there completely or as it was. A link stays, and
/// what it leads to is replaced; a device or a pipe is written to.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let (mut opened, place) = Place::open(file)?;
        opened.write_all(bytes)?;
        opened.flush()?;
        place.complete()
    };
    write().with_context(|| format!("cannot write `{}`", file.display()))
}

/// A file under way and its final name.
pub(crate) enum Place {
    /// A new file beside the final one, renamed when it is complete and removed when it is dropped.
    Part { part: TempPath, file: PathBuf },
    /// Not a regular file (a device, a pipe): written to directly.
    Direct(PathBuf),
}

impl Place {
    /// A device must not be replaced by a file, nor a link by what it should lead to.
    pub(crate) fn open(file: &Path) -> io::Result<(File, Self)> {
        let file = behind_links(file)?;
        let old = fs::metadata(&file).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            let opened = OpenOptions::new().write(true).open(&file)?;
            return Ok((opened, Self::Direct(file)));
        }
        let (opened, part) = create_beside(&file)?;
        #[cfg(unix)]
        if let Some(old) = old {
            keep_mode(&opened, &old)?;
        }
        Ok((opened, Self::Part { part, file }))
    }

    /// What is written to.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Part { part, .. } => part,
            Self::Direct(file) => file,
        }
    }

    /// Gives the file its name.
    pub(crate) fn complete(self) -> io::Result<()> {
        match self {
            Self::Part { part, file } => Ok(part.persist(file)?),
            Self::Direct(_) => Ok(()),
        }
    }
}

/// The file that a chain of links leads to, whether it exists or not.
fn behind_links(file: &Path) -> io::Result<PathBuf> {
    let mut file = file.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&file) {
            Ok(target) => file = folder(&file).join(target),
            Err(_) => return Ok(file),
        }
    }
    Err(io::Error::other("too many links"))
}

/// A new file, `FILE.RANDOM.part`. Nobody can have put a file or a link in its place.
fn create_beside(file: &Path) -> io::Result<(File, TempPath)> {
    let mut prefix = OsString::from(file.file_name().unwrap_or_default());
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(NEW_FILE));
    Ok(builder.tempfile_in(folder(file))?.into_parts())
}

/// What others may not read stays so. Marks that make a program run as its owner do not stay.
#[cfg(unix)]
fn keep_mode(new: &File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = old.permissions().mode() & 0o777;
    new.set_permissions(PermissionsExt::from_mode(mode))
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Links that are followed to the file, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// The mode of a new file, before the user's mask.
#[cfg(unix)]
const NEW_FILE: u32 = 0o666;

#[cfg(test)]
pub(crate) mod testing {
    //! What a project may hold beside files.

    /// Makes a pipe that nobody writes to.
    #[cfg(unix)]
    pub(crate) fn pipe(file: &std::path::Path) {
        let made = std::process::Command::new("mkfifo").arg(file).status();
        assert!(made.unwrap().success());
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file"));
        testing::pipe(&pipe);
        fs::write(&file, "").unwrap();
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = regular(path).unwrap_err().to_string();
            assert!(error.ends_with("is not a regular file"), "{error}");
        }
        assert!(regular(&file).is_ok());
        let missing = regular(&dir.path().join("none")).unwrap_err();
        assert!(missing.downcast_ref::<io::Error>().is_some());
    }

    #[test]
    fn a_named_file_is_as_readable_as_any_and_its_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, file, link] = ["plain", "file", "link"].map(|name| dir.path().join(name));
        fs::write(&plain, "").unwrap();
        symlink("file", &link).unwrap();
        replace(&link, b"first").unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&plain));
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        replace(&link, b"second").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(mode(&file) & 0o7777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        replace(Path::new("/dev/null"), b"gone").unwrap();
    }
}
