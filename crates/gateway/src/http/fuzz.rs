//! How heads and chunks are read, for fuzzing.

use super::{
    chunks::Chunks,
    head::{self, Body, Bounds},
};

/// A head that was let through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Head {
    /// Bytes of it, the empty line included.
    pub length: usize,
    /// Bytes of the body; none when it comes in chunks.
    pub body: Option<u64>,
    /// Whether no request is read after this one.
    pub last: bool,
}

/// Reads a head of at most so many bytes and fields, of which `scanned` bytes were looked at before; none when it is not
/// complete.
///
/// # Errors
///
/// The code of the refusal.
pub fn head(
    bytes: &[u8],
    scanned: usize,
    most: usize,
    fields: usize,
) -> Result<Option<Head>, String> {
    let bounds = Bounds {
        bytes: most,
        fields,
    };
    let code = |refusal: crate::refusal::Refusal| refusal.code.into_owned();
    let Some(length) = head::find_end(bytes, scanned, bounds).map_err(code)? else {
        return Ok(None);
    };
    let read = head::read(bytes.get(..length).unwrap_or(bytes), bounds).map_err(code)?;
    Ok(Some(Head {
        length,
        body: match read.body {
            Body::Length(length) => Some(length),
            Body::Chunked => None,
        },
        last: read.last,
    }))
}

/// A chunked body that is being read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Framing(Chunks);

impl Default for Framing {
    fn default() -> Self {
        Self(Chunks::Size)
    }
}

impl Framing {
    /// How many of these bytes pass; none more when it waits for the rest of a line. Nothing when the body is broken.
    pub fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        let (passed, next) = self.0.step(bytes).ok()?;
        self.0 = next;
        Some(passed)
    }

    /// Whether the last byte has passed.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.0 == Chunks::Done
    }
}
