//! What stands for a subject or a client wherever operators read of them, when the configuration withholds who it is.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::client::ClientAddress;

/// Keyed hashes. The key is made anew with each process, and is the same for all that a gateway shows: who looks for
/// a line of the log in the lists of the admin interface finds it, and who has the logs of two processes cannot tell
/// whether two hashes are of one subject.
#[derive(Clone)]
pub(crate) struct Aliases {
    key: [u8; 32],
}

impl Aliases {
    pub(crate) fn new() -> Self {
        Self { key: key() }
    }

    pub(crate) fn subject(&self, name: &str) -> String {
        self.hash("subject", name)
    }

    /// All ports of a client are one.
    pub(crate) fn client(&self, address: &ClientAddress) -> String {
        match address {
            ClientAddress::Tcp(address) => self.hash("client", &address.ip().to_string()),
            unix @ ClientAddress::Unix { .. } => self.hash("client", &unix.to_string()),
        }
    }

    /// The first 64 bits of a keyed hash. The key comes first and has a fixed length, and most of the hash is not shown.
    fn hash(&self, what: &str, value: &str) -> String {
        let hash = Sha256::new()
            .chain_update(self.key)
            .chain_update(what)
            .chain_update([0])
            .chain_update(value)
            .finalize();
        hash.iter()
            .take(SHOWN)
            .fold(format!("{what}-"), |text, byte| format!("{text}{byte:02x}"))
    }
}

impl fmt::Debug for Aliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aliases").finish_non_exhaustive()
    }
}

fn key() -> [u8; 32] {
    let mut key = [0; 32];
    if getrandom::fill(&mut key).is_err() {
        // Without randomness the hash of what differs from run to run: nobody outside knows it exactly.
        let seed = format!("{:?}{}", std::time::SystemTime::now(), std::process::id());
        key = Sha256::digest(seed).into();
    }
    key
}

/// Bytes of a hash that are shown.
const SHOWN: usize = 8;
