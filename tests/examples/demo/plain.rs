//! Act 1: the client that most guides print.

use anyhow::{Context, Result};
use pinfold_lab::{INTERNAL, PUBLIC, SECRET, plain};

use crate::{say, theatre::Theatre};

/// It resolves and checks the name, then fetches the URL, which resolves the name again.
pub(crate) async fn act_one(theatre: &Theatre) -> Result<()> {
    say::act("Act 1: resolve the name, check the address, fetch the URL");
    let url = theatre.attack("one");
    let client = plain::Client::new(theatre.lab.dns().addr(), theatre.lab.forbidden());
    let page = client.get(&url).await.context("the plain client failed")?;

    say::line(format!("GET {url}"));
    say::line(format!("checked    {}", page.checked));
    say::line(format!("connected  {}", page.peer.ip()));
    say::printed(&String::from_utf8_lossy(&page.body));
    say::breached(
        page.checked == PUBLIC,
        "the check saw a public address and was content",
    )?;
    say::breached(
        page.peer.ip() == INTERNAL,
        "the fetch asked again and was sent inside",
    )?;
    say::breached(page.body == SECRET.as_bytes(), "the secret is out")?;
    say::breached(theatre.leaks().await? == 1, "the canary was reached")
}
