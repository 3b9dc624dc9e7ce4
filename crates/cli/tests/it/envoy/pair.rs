//! Two gateways behind one Envoy.

use std::time::{Duration, Instant};

use pinfold_lab::Lab;

use super::{
    load::{self, CLIENTS, Load, Port, Sent, tally},
    support::{Envoy, Gateway, generated},
};

/// Two gateways, and an Envoy that asks both.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) first: Gateway,
    /// The one that something happens to.
    pub(crate) second: Option<Gateway>,
    port: Port,
    pub(crate) envoy: Envoy,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self::with(load::unhurried).await
    }

    /// With the configuration of Envoy changed.
    pub(crate) async fn with(change: impl FnOnce(String) -> String) -> Self {
        let (folder, lab) = (tempfile::tempdir().unwrap(), Lab::start().await.unwrap());
        load::names(&lab);
        let port = Port::hold();
        let first = Gateway::start(folder.path(), "first", &lab, load::UNHURRIED).await;
        let second = port
            .gateway(folder.path(), "second", &lab, load::UNHURRIED)
            .await;
        let services = [first.service, second.service];
        let config = generated("forward", &first.config, &services, &load::WAITS);
        let envoy = Envoy::start(folder.path(), "envoy", &change(config)).await;
        Self {
            lab,
            folder,
            first,
            second: Some(second),
            port,
            envoy,
        }
    }

    pub(crate) fn second(&self) -> &Gateway {
        self.second.as_ref().unwrap()
    }

    /// Clients, once both gateways are asked.
    pub(crate) async fn load(&self, name: &str) -> Load {
        let load = Load::start(name, CLIENTS, self.envoy.listeners[0], &self.lab);
        for gateway in [&self.first, self.second()] {
            load::decided(&[gateway], CLIENTS + 1).await;
        }
        load
    }

    /// The second one, started anew where it was.
    pub(crate) async fn again(&mut self) {
        let second = self
            .port
            .gateway(self.folder.path(), "second", &self.lab, load::UNHURRIED);
        self.second = Some(second.await);
    }

    /// How long it takes until the second one is asked again.
    pub(crate) async fn asked_again(&self) -> Duration {
        let (began, before) = (Instant::now(), load::decisions(self.second()).len());
        load::decided(&[self.second()], before + 1).await;
        began.elapsed()
    }

    /// Nothing but what the policy says, whoever was asked.
    pub(crate) async fn nothing_lost(&self, all: &[Sent]) {
        let tally = tally(all);
        let answers: Vec<_> = tally.keys().map(String::as_str).collect();
        assert_eq!(answers, ["200", "403 address-not-public"], "{tally:?}");
        load::closed(&self.lab, &self.envoy, all).await;
    }
}
