//! Where the bytes of a policy come from.

use std::{
    borrow::Cow,
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{LoadError, shipped};

/// Where a policy comes from.
#[derive(Clone)]
#[non_exhaustive]
pub enum Source {
    /// The policy shipped with this library.
    Shipped,
    /// Bytes of a component.
    Bytes(Arc<[u8]>),
    /// A file that holds a component.
    Path(PathBuf),
}

impl Source {
    /// The bytes, at most `limit` of them.
    pub(super) fn read(&self, limit: usize) -> Result<Cow<'_, [u8]>, LoadError> {
        let bytes = match self {
            Self::Shipped => Cow::Borrowed(shipped::EGRESS),
            Self::Bytes(bytes) => Cow::Borrowed(&**bytes),
            Self::Path(path) => Cow::Owned(read_file(path, limit)?),
        };
        if bytes.len() > limit {
            return Err(LoadError::TooLarge {
                size: bytes.len() as u64,
                limit,
            });
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => f.write_str("Shipped"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
        }
    }
}

/// Reads a regular file. A pipe or a device could block for ever, so that they are refused; a file
/// that grows while it is read is cut at one byte over the limit, which the caller refuses.
pub(super) fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, LoadError> {
    let failed = |problem: String| LoadError::Io {
        path: path.to_owned(),
        problem,
    };
    let meta = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?;
    if !meta.is_file() {
        return Err(failed("not a regular file".into()));
    }
    if meta.len() > limit as u64 {
        return Err(LoadError::TooLarge {
            size: meta.len(),
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| failed(e.to_string()))?;
    Ok(bytes)
}
