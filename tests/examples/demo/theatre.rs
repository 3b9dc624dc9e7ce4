//! The stage: the lab on loopback, and the files that the driver built.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use pinfold_lab::{
    APEX, INTERNAL, Lab, PUBLIC,
    dns::{Reply, Strategy},
    http::Page,
};

use crate::say;

/// What all acts share.
pub(crate) struct Theatre {
    pub(crate) lab: Lab,
    /// The real binary.
    pub(crate) pinfold: PathBuf,
    /// The file of the shipped policy.
    policy: PathBuf,
}

/// What the public server says.
pub(crate) const NEWS: &str = "the news of the day\n";
/// Where it says so.
pub(crate) const PATH: &str = "/news";
/// The only name that is always public.
pub(crate) const PUBLIC_NAME: &str = "news";
/// The names below this one are the attacker's.
const ATTACKER: &str = "attacker";

impl Theatre {
    /// Starts the lab and says who plays whom.
    pub(crate) async fn open() -> Result<Self> {
        let theatre = Self {
            lab: Lab::start().await.context("cannot start the lab")?,
            pinfold: built("PINFOLD")?,
            policy: built("PINFOLD_POLICY")?,
        };
        theatre.set();
        theatre.introduce();
        Ok(theatre)
    }

    /// A URL below a name of the attacker. Each name is public when it is first asked for, and
    /// internal from then on.
    pub(crate) fn attack(&self, label: &str) -> String {
        self.lab.url(&format!("{label}.{ATTACKER}"), PATH)
    }

    /// The canary's counter.
    pub(crate) async fn leaks(&self) -> Result<u64> {
        self.lab.leaks().await.context("the canary does not answer")
    }

    /// The shipped policy, as a component.
    pub(crate) fn shipped(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.policy).with_context(|| format!("cannot read {:?}", self.policy))
    }

    fn set(&self) {
        let (public, internal) = (Reply::address(PUBLIC), Reply::address(INTERNAL));
        let rebinding = Strategy::first_then_second(public.clone(), internal);
        let zone = self.lab.dns().zone();
        zone.name(&format!("*.{ATTACKER}.{APEX}"), rebinding);
        zone.name(&format!("{PUBLIC_NAME}.{APEX}"), Strategy::Always(public));
        self.lab.public().route(PATH, Page::text(NEWS));
    }

    fn introduce(&self) {
        let port = self.lab.port();
        say::act("The stage (nothing leaves this machine)");
        say::line(format!(
            "DNS server     {}   the attacker's",
            self.lab.dns().addr()
        ));
        say::line(format!(
            "public server  {PUBLIC}:{port}   plays the internet"
        ));
        say::line(format!(
            "canary         {INTERNAL}:{port}   plays the internal network"
        ));
    }
}

fn built(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable);
    path.map(PathBuf::from)
        .with_context(|| format!("`{variable}` is not set: run `cargo xtask demo`"))
}
