//! A Unix socket at a path: its mode is set before anybody can connect, and what a dead process left is cleared away.
//!
//! Whether a socket is a leftover is not asked by connecting to it, which could wake a stranger. A lock beside it
//! (`PATH.lock`) says so: whoever holds it serves there, and it is free when its process has ended, however it ended.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tokio::net::{UnixListener, UnixSocket};

/// Holds the path. Dropped, it takes the socket away.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    /// Device and inode of our socket: another one at the path is not ours to take away.
    ours: (u64, u64),
    _lock: File,
}

/// Binds and listens.
pub(crate) fn open(path: &Path, mode: u32, backlog: u32) -> io::Result<(UnixListener, Held)> {
    let lock = lock(path)?;
    clear(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before `listen`: until then nobody can connect, whatever the mode is.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    let held = Held {
        ours: identity(&fs::symlink_metadata(path)?),
        path: path.to_owned(),
        _lock: lock,
    };
    Ok((socket.listen(backlog)?, held))
}

fn lock(path: &Path) -> io::Result<File> {
    let beside = beside(path);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        // A link would let others choose which file is opened.
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(beside)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process serves there",
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Removes the socket of a process that has ended: the lock is ours, so nobody of our kind serves there.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let own = found.uid() == rustix::process::geteuid().as_raw();
    match found.file_type().is_socket() && own {
        true => fs::remove_file(path),
        false => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else is there, which is not this user's socket",
        )),
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for Held {
    fn drop(&mut self) {
        let still =
            fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.ours);
        if still {
            // It would be cleared away at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
