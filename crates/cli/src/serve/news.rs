//! What a gateway has to say while it runs, on standard error.

use pinfold_gateway::Gateway;

use crate::{output, text::Printable};

/// Says it until the gateway has ended, on a task of its own.
pub(super) fn tell(gateway: &Gateway) {
    if let Some(mut news) = gateway.news() {
        tokio::spawn(async move {
            while let Some(line) = news.next().await {
                output::note(Printable(&line));
            }
        });
    }
}
