//! Compiled code, kept on disk: a policy that was loaded before need not be configured and compiled again, and one
//! that was loaded with other settings need not be compiled to be configured.
//!
//! Whoever can write machine code into this process owns it, so that nothing read from the disk is believed:
//!
//! - the directory belongs to the user of this process, and nobody else may write in it; it is opened
//!   once and held, so that what its path leads to later does not matter; symbolic links are refused;
//! - an entry is authenticated (HMAC-SHA256, RFC 2104) with a key that lies in the same directory and
//!   that nobody else may read, over its own name, which stands for component, settings, engine and format;
//! - what is checked is what is used: the bytes are read into memory, authenticated there, and given
//!   to the engine from there. No file is mapped, which a write to the file could change afterwards.
//!
//! What has the user's rights can read the key; it can as well attach a debugger to this process.
//!
//! A missing, damaged or foreign entry is as good as none: the policy is compiled, and the entry replaced.

#![cfg_attr(not(unix), expect(dead_code, reason = "there is no cache"))]

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

use super::limits::{ENTRY_BYTES, NAME_BYTES};

#[cfg(unix)]
pub(crate) use unix::Cache;

#[cfg(not(unix))]
pub(crate) use elsewhere::Cache;

/// Stands for everything that compiled code depends on, and is the name of the file.
pub(super) struct Key(String);

impl Key {
    /// The key of a component under settings, or in a form without settings, for an engine: its version, its settings, this processor.
    pub(super) fn new(component: &str, settings: &str, engine: &Engine) -> Self {
        let mut hash = Hashed(Sha256::new());
        (FORMAT, env!("CARGO_PKG_VERSION"), component, settings).hash(&mut hash);
        engine.precompile_compatibility_hash().hash(&mut hash);
        Self(format!("{:x}{SUFFIX}", hash.0.finalize()))
    }
}

/// A compiled policy whose bytes were authenticated.
pub(super) struct Entry {
    bytes: Vec<u8>,
    name: usize,
}

impl Entry {
    /// The name that the policy gave itself; empty where it is asked again.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.bytes.get(HEAD..HEAD + self.name)?;
        str::from_utf8(name).ok()
    }

    /// The component. None when the engine does not want it, which the key makes unlikely.
    #[expect(
        unsafe_code,
        reason = "the only way to load compiled code; nothing else in this crate is unsafe"
    )]
    pub(super) fn revive(&self, engine: &Engine) -> Option<Component> {
        let code = self.bytes.get(HEAD + self.name..)?;
        // SAFETY: `deserialize` asks for unmodified bytes that `Component::serialize` made. An `Entry`
        // is made by `Entry::authentic` only, which has compared a MAC over these very bytes, in our own
        // memory. The key of it is known to this user's processes only, and `Cache::keep` alone writes
        // with it, what `serialize` answered. That the engine is the same in version and settings is
        // in the name that the MAC covers, and checked by wasmtime once more. The bytes are copied,
        // not mapped: nobody can change them later.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    /// `MAGIC`, the MAC, the length of the name, the name, the code. None when it is not ours.
    fn authentic(bytes: Vec<u8>, key: &Key, secret: &Secret) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(MAGIC.len() + MAC_BYTES)?;
        let (magic, mac) = head.split_at_checked(MAGIC.len())?;
        if magic != MAGIC || !same(mac, &secret.mac(&[key.0.as_bytes(), rest])) {
            return None;
        }
        let name = usize::from(*rest.first()?);
        Some(Self { bytes, name })
    }

    /// The content of a file; none when it would be too large.
    fn write(key: &Key, secret: &Secret, name: &str, code: &[u8]) -> Option<Vec<u8>> {
        let len = u8::try_from(name.len()).ok()?;
        let fits = name.len() <= NAME_BYTES && HEAD + name.len() + code.len() <= ENTRY_BYTES;
        let rest = [&[len], name.as_bytes(), code].concat();
        let mac = secret.mac(&[key.0.as_bytes(), &rest]);
        fits.then(|| [MAGIC, &mac[..], &rest].concat())
    }
}

/// The key of the MAC.
struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// HMAC-SHA256 of the parts, one after the other.
    fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let pad = |byte: u8| {
            let mut block = [byte; BLOCK_BYTES];
            block.iter_mut().zip(self.0).for_each(|(b, k)| *b ^= k);
            block
        };
        let mut inner = Sha256::new_with_prefix(pad(0x36));
        parts.iter().for_each(|part| inner.update(part));
        let outer = Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize());
        outer.finalize().into()
    }
}

/// Compares without telling by its time where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

/// Lets what is made for hash tables be hashed for good.
struct Hashed(Sha256);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        fmt,
        fs::File,
        io::{Read, Write},
        os::fd::OwnedFd,
        path::Path,
        sync::atomic::{AtomicU64, Ordering},
    };

    use rustix::{
        fs::{
            self, AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW,
            UTIME_OMIT,
        },
        io::{Errno, Result},
        process::geteuid,
    };

    use super::{Entry, Key, SECRET_BYTES, SUFFIX, Secret};
    use crate::policy::{
        LoadError,
        limits::{CACHE_BYTES, ENTRY_BYTES},
    };

    /// A directory with compiled code, and the key to it.
    pub(crate) struct Cache {
        dir: OwnedFd,
        secret: Secret,
    }

    impl Cache {
        /// Opens the directory, and makes it and its key when they are not there.
        pub(crate) fn open(path: &Path) -> std::result::Result<Self, LoadError> {
            let failed = |problem: String| LoadError::CodeCache {
                path: path.to_owned(),
                problem,
            };
            let dir = open_dir(path).map_err(|e| failed(e.to_string()))?;
            let stat = fs::fstat(&dir).map_err(|e| failed(e.to_string()))?;
            if stat.st_uid != geteuid().as_raw() {
                return Err(failed("it belongs to another user".into()));
            }
            if mode(&stat).intersects(Mode::WGRP | Mode::WOTH) {
                return Err(failed("others may write in it".into()));
            }
            let secret = secret(&dir).map_err(|e| failed(format!("`{SECRET}` in it: {e}")))?;
            Ok(Self { dir, secret })
        }

        /// What is kept under this key, authenticated.
        pub(in crate::policy) fn find(&self, key: &Key) -> Option<Entry> {
            let bytes = read(&self.dir, &key.0, ENTRY_BYTES).ok()?;
            let entry = Entry::authentic(bytes, key, &self.secret)?;
            // Where it cannot be told that it is in use, it is dropped earlier, and made again.
            let _ = fs::utimensat(&self.dir, &key.0, &NOW, AtFlags::SYMLINK_NOFOLLOW);
            Some(entry)
        }

        /// Keeps compiled code, and drops what was not used for longest when there is too much. A failure costs the time of
        /// the next compilation, and nothing else.
        pub(in crate::policy) fn keep(&self, key: &Key, name: &str, code: &[u8]) {
            if let Some(content) = Entry::write(key, &self.secret, name, code)
                && put(&self.dir, &key.0, &content, true).is_ok()
            {
                let _ = prune(&self.dir, CACHE_BYTES);
            }
        }
    }

    impl fmt::Debug for Cache {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Cache").finish_non_exhaustive()
        }
    }

    fn open_dir(path: &Path) -> Result<OwnedFd> {
        match fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::open(path, flags, Mode::empty())
    }

    /// The key, made at random when there is none. Two processes that make one at once agree on the first.
    fn secret(dir: &OwnedFd) -> Result<Secret> {
        match read_secret(dir) {
            Err(Errno::NOENT) => {
                let mut random = [0; SECRET_BYTES];
                let mut source = File::open(RANDOM).map_err(errno)?;
                source.read_exact(&mut random).map_err(errno)?;
                match put(dir, SECRET, &random, false) {
                    Ok(()) | Err(Errno::EXIST) => read_secret(dir),
                    Err(error) => Err(error),
                }
            }
            known => known,
        }
    }

    fn read_secret(dir: &OwnedFd) -> Result<Secret> {
        let bytes = read(dir, SECRET, SECRET_BYTES)?;
        bytes.try_into().map(Secret).map_err(|_| Errno::INVAL)
    }

    /// Reads a file that is ours alone, at most `limit` bytes.
    fn read(dir: &OwnedFd, name: &str, limit: usize) -> Result<Vec<u8>> {
        // A pipe that somebody put there would block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(dir, name, flags, Mode::empty())?;
        let stat = fs::fstat(&file)?;
        let private = !mode(&stat).intersects(Mode::RWXG | Mode::RWXO);
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || !private || stat.st_uid != geteuid().as_raw() {
            return Err(Errno::PERM);
        }
        let mut bytes = Vec::with_capacity(limit.min(usize::try_from(stat.st_size).unwrap_or(0)));
        let mut file = File::from(file).take(limit as u64 + 1);
        file.read_to_end(&mut bytes).map_err(errno)?;
        if bytes.len() > limit {
            return Err(Errno::FBIG);
        }
        Ok(bytes)
    }

    /// Writes a file under another name, and gives it its own when it is whole.
    fn put(dir: &OwnedFd, name: &str, content: &[u8], replace: bool) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{}-{next}{UNFINISHED}", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What a process of the same number left behind when it died.
        let _ = fs::unlinkat(dir, &unfinished, AtFlags::empty());
        let file = fs::openat(dir, &unfinished, flags, Mode::RUSR | Mode::WUSR)?;
        let written = File::from(file).write_all(content).map_err(errno);
        let named = written.and_then(|()| match replace {
            true => fs::renameat(dir, &unfinished, dir, name),
            false => fs::linkat(dir, &unfinished, dir, name, AtFlags::empty()),
        });
        if named.is_err() || !replace {
            let _ = fs::unlinkat(dir, &unfinished, AtFlags::empty());
        }
        named
    }

    /// Removes the files that were not used for longest until the rest fits. What else lies in the directory is not touched.
    pub(super) fn prune(dir: &OwnedFd, limit: u64) -> Result<()> {
        let mut files = Vec::new();
        for file in fs::Dir::read_from(dir)? {
            let name = file?.file_name().to_owned();
            let ours = [SUFFIX, UNFINISHED].map(str::as_bytes);
            if ours.iter().any(|end| name.to_bytes().ends_with(end))
                && let Ok(stat) = fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)
            {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                files.push(((stat.st_mtime, stat.st_mtime_nsec), size, name));
            }
        }
        files.sort_unstable_by_key(|(time, ..)| *time);
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in files {
            if total <= limit {
                break;
            }
            fs::unlinkat(dir, &name, AtFlags::empty())?;
            total -= size;
        }
        Ok(())
    }

    fn mode(stat: &Stat) -> Mode {
        Mode::from_raw_mode(stat.st_mode)
    }

    fn errno(error: std::io::Error) -> Errno {
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    }

    /// Changes the time of a file to that of its last use.
    const NOW: Timestamps = Timestamps {
        last_access: moment(UTIME_OMIT),
        last_modification: moment(UTIME_NOW),
    };

    const fn moment(special: fs::Nsecs) -> Timespec {
        Timespec {
            tv_sec: 0,
            tv_nsec: special,
        }
    }

    /// The file with the key.
    const SECRET: &str = "key";
    /// The end of the name of a file that is being written.
    const UNFINISHED: &str = ".tmp";
    /// Where keys come from.
    const RANDOM: &str = "/dev/urandom";
}

/// Where nobody says whom a file belongs to, there is no cache.
#[cfg(not(unix))]
mod elsewhere {
    use std::path::Path;

    use super::{Entry, Key};
    use crate::policy::LoadError;

    #[derive(Debug)]
    pub(crate) enum Cache {}

    impl Cache {
        pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
            Err(LoadError::CodeCache {
                path: path.to_owned(),
                problem: "this system has no owners of files that could be trusted".into(),
            })
        }

        pub(in crate::policy) fn find(&self, _: &Key) -> Option<Entry> {
            match *self {}
        }

        pub(in crate::policy) fn keep(&self, _: &Key, _: &str, _: &[u8]) {
            match *self {}
        }
    }
}

/// Changes when the meaning of an entry does: the format, or what loading makes of a component.
const FORMAT: u32 = 1;
const MAGIC: &[u8] = b"pinfold code\n";
const SUFFIX: &str = ".code";
const SECRET_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// A block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// What comes before the name.
const HEAD: usize = MAGIC.len() + MAC_BYTES + 1;

#[cfg(test)]
mod tests;
