//! Holds the first bytes of a client back until it is known how it opens. What comes from the server flows on: in
//! protocols where the server speaks first, a client that waits for it is not kept waiting here.

use std::{
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use super::hello::{Opener, Opening};

/// The most that is held back. Hellos have 200 to 2,000 bytes, with long session tickets some thousand.
pub(super) const HELD: usize = 16 << 10;

/// What is read at once.
const PIECE: usize = 4 << 10;

/// The opening of one client.
pub(super) struct Gate {
    opener: Opener,
    held: Vec<u8>,
    time: Duration,
    /// Runs from the first byte on: a client that says nothing is the business of the idle deadline.
    late: Option<Pin<Box<Sleep>>>,
}

/// The opening is known; none when the client ended without a byte. The bytes go on unchanged.
pub(super) struct Passed {
    pub(super) opening: Option<Opening>,
    pub(super) held: Vec<u8>,
}

impl Gate {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            opener: Opener::default(),
            held: Vec::new(),
            time,
            late: None,
        }
    }

    /// Reads until the opening is known. Fails when the client cannot be read.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<Passed>> {
        while let Poll::Ready(read) = self.poll_read(cx, client)? {
            let opening = match self.opener.look(&self.held) {
                Some(opening) => Some(opening),
                None if read == 0 && self.held.is_empty() => None,
                None if read == 0 => Some(Opening::Unreadable("it ends in its first message")),
                None if self.held.len() >= HELD => {
                    Some(Opening::Unreadable("its first message is too long"))
                }
                None => continue,
            };
            return Poll::Ready(Ok(self.passed(opening)));
        }
        let late = match &mut self.late {
            Some(late) => late,
            None if self.held.is_empty() => return Poll::Pending,
            None => self.late.insert(Box::pin(sleep(self.time))),
        };
        ready!(late.as_mut().poll(cx));
        let late = Opening::Unreadable("its first message takes too long");
        Poll::Ready(Ok(self.passed(Some(late))))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut space = ReadBuf::uninit(&mut space);
        let mut space = space.take(HELD.saturating_sub(self.held.len()));
        ready!(Pin::new(client).poll_read(cx, &mut space))?;
        self.held.extend_from_slice(space.filled());
        Poll::Ready(Ok(space.filled().len()))
    }

    fn passed(&mut self, opening: Option<Opening>) -> Passed {
        Passed {
            opening,
            held: mem::take(&mut self.held),
        }
    }
}
