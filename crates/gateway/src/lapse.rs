//! Identities do not hold for ever: certificates and credentials expire, and a reload revokes them. What was opened
//! by one ends with it.
//!
//! Requests are checked as they come. What is open is looked at every second: that bounds how long it outlives an
//! expiry, and a reload, without a timer or a list of who depends on what. Each look costs a table lookup, and a
//! verification for each certificate after new revocation lists.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{event::Asked, shared::Shared};

/// Closes what nobody may have open any more, for as long as it is polled.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        let revocation = shared.config.load().tunnels.revocation.get();
        sleep(EVERY.min(revocation / 2).max(LEAST)).await;
        let of = Arc::clone(&shared);
        // Signatures take their time.
        let looking = tokio::task::spawn_blocking(move || look(&of));
        // Broken off, it is done again soon.
        let _ = looking.await;
    }
}

fn look(shared: &Shared) {
    let identities = &shared.identities;
    let holds = |asked: &Asked| identities.holds(&asked.client, asked.subject.as_ref());
    shared.live.revoke_unless(holds);
}

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// However short `tunnels.revocation` is.
const LEAST: Duration = Duration::from_millis(50);
