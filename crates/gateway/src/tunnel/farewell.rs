//! Last words to a client, so that they arrive.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::listen::Stream;

/// How long a client has to take its last words.
const TIME: Duration = Duration::from_secs(1);

/// How much of what it still sends is read away.
const BYTES: u64 = 256 << 10;

/// Writes `words`, ends the writing half, and reads away what the client has sent already: a socket that is closed
/// with unread bytes is reset, and a reset overtakes what was written. Bounded in time and bytes; the stream is
/// to be dropped after it.
pub(crate) async fn farewell(client: &mut impl Stream, words: &[u8]) {
    let parting = async {
        client.write_all(words).await?;
        client.shutdown().await?;
        let mut rest = client.take(BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether it hears them is up to the client.
    drop(timeout(TIME, parting).await);
}
