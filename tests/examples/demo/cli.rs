//! Acts 2 and 3: the same URL, and a public one, through the real binary.

use anyhow::{Context, Result};
use pinfold_lab::{APEX, INTERNAL, PUBLIC, dns::Kind};
use tokio::process::Command;

use crate::{
    say,
    theatre::{NEWS, PATH, PUBLIC_NAME, Theatre},
};

/// The URL of act 1 is refused; a fresh one is pinned to what was judged; disguises are seen through.
pub(crate) async fn act_two(theatre: &Theatre) -> Result<()> {
    say::act("Act 2: the same URL through Pinfold");
    let fetched = fetch(theatre, &theatre.attack("one")).await?;
    say::happened(
        fetched.code == Some(1),
        "refused: the name points inside by now",
    )?;
    let reason = "address-not-public";
    say::happened(
        fetched.stderr.contains(reason),
        format!("the reason is `{reason}`"),
    )?;

    say::act("Act 2, once more: a fresh name, public at first, internal after that");
    let fetched = fetch(theatre, &theatre.attack("two")).await?;
    let asked = theatre
        .lab
        .dns()
        .log()
        .count(&format!("two.attacker.{APEX}"), Kind::A);
    say::happened(
        fetched.stdout == NEWS,
        "served by the public server, which was judged",
    )?;
    say::happened(
        asked == 1,
        "the name was looked up once: the second answer found no one",
    )?;

    say::act("Act 2, in disguise: the canary's address, spelled differently");
    for host in disguises() {
        let url = format!("http://{host}:{}{PATH}", theatre.lab.port());
        let fetched = fetch(theatre, &url).await?;
        say::happened(fetched.code == Some(1), format!("`{host}` is refused"))?;
    }
    say::happened(
        theatre.leaks().await? == 1,
        "the canary was not reached again",
    )
}

/// What is public is served.
pub(crate) async fn act_three(theatre: &Theatre) -> Result<()> {
    say::act("Act 3: a public URL through Pinfold");
    let fetched = fetch(theatre, &theatre.lab.url(PUBLIC_NAME, PATH)).await?;
    say::happened(fetched.code == Some(0) && fetched.stdout == NEWS, "served")
}

/// The same machine, three more times: IPv4 as a number, in octal, inside IPv6.
fn disguises() -> [String; 3] {
    let octets = INTERNAL.octets().map(|octet| format!("{octet:04o}"));
    let mapped = INTERNAL.to_ipv6_mapped();
    [
        INTERNAL.to_bits().to_string(),
        octets.join("."),
        format!("[{mapped}]"),
    ]
}

struct Fetched {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `pinfold fetch`, asking the attacker's DNS server, with the public server granted.
async fn fetch(theatre: &Theatre, url: &str) -> Result<Fetched> {
    let dns = theatre.lab.dns().addr().to_string();
    let words = ["fetch", "--dns", &dns, "--grant", &PUBLIC.to_string(), url];
    say::command(format!("pinfold {}", words.join(" ")));
    let output = Command::new(&theatre.pinfold).args(words).output().await;
    let output = output.with_context(|| format!("cannot start {:?}", theatre.pinfold))?;
    let fetched = Fetched {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    say::printed(&fetched.stdout);
    say::printed(&fetched.stderr);
    Ok(fetched)
}
