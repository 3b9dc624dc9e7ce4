//! What becomes of requests when the service that decides is gone, hangs, is late, starts again or changes its policy:
//! nothing goes out that it has not allowed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pinfold_lab::{
    Lab, PUBLIC,
    dns::{Reply, Strategy},
};
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::until,
    load::{self, CLIENTS, Client, ENOUGH, Load, Port, Sent, median, recovery, tally},
    support::{Envoy, Gateway, generated},
};
use crate::serve::write;

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_gone_nothing_goes_out_and_its_successor_is_found() {
    let mut alone = Alone::start("", &[], |config| config).await;
    let load = alone.load("gone");
    let mut moments = Vec::new();
    for signal in ["-KILL", "-TERM", "-KILL", "-TERM"] {
        load.served(ENOUGH).await;
        let gateway = alone.gateway.take().unwrap();
        gateway.served.signal(signal);
        let code = gateway.served.end().0;
        assert_eq!(code, (signal == "-TERM").then_some(0));
        let gone = Instant::now();
        load.more(4 * CLIENTS).await;
        let starts = Instant::now();
        alone.again().await;
        moments.push((gone, starts, Instant::now()));
    }
    load.served(ENOUGH).await;
    let all = load.end().await;
    let (mut recoveries, mut unanswered) = (Vec::new(), Vec::new());
    for (gone, starts, back) in moments {
        let within = |sent: &&Sent| sent.began > gone && sent.began + sent.took < starts;
        let refused: Vec<_> = all.iter().filter(within).cloned().collect();
        let answers: Vec<_> = tally(&refused).into_keys().collect();
        assert_eq!(answers, ["503"], "it was gone");
        recoveries.push(recovery(&all, back));
        unanswered.extend(refused);
    }
    println!(
        "gone: {:?}; served again {:?} after it listens",
        tally(&all),
        median(recoveries)
    );
    load::closed(&alone.lab, &alone.envoy, &all).await;
    stopped_at_the_question(&alone.envoy, &unanswered);
}

/// It goes on later and answers what it was asked before: nobody waits for that any more, and nothing is done with it.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_hangs_nothing_goes_out() {
    let alone = Alone::start("", &[], |config| config).await;
    let load = alone.load("hangs");
    load.served(ENOUGH).await;
    alone.gateway().hang().await;
    let hangs = Instant::now();
    load.more(2 * CLIENTS).await;
    let goes_on = Instant::now();
    alone.gateway().served.signal("-CONT");
    load.served(ENOUGH).await;
    let all = load.end().await;
    let within = |sent: &&Sent| sent.began > hangs && sent.began + sent.took < goes_on;
    let refused: Vec<_> = all.iter().filter(within).cloned().collect();
    let answers: Vec<_> = tally(&refused).into_keys().collect();
    assert_eq!(answers, ["503"], "it hung");
    println!(
        "hangs: {:?}; at most {:?}; served again {:?} after it goes on",
        tally(&all),
        all.iter().map(|sent| sent.took).max(),
        recovery(&all, goes_on)
    );
    load::closed(&alone.lab, &alone.envoy, &all).await;
    stopped_at_the_question(&alone.envoy, &refused);
    load::all_decided(&alone.lab, &[alone.gateway()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_is_late_holds_up_its_own_names_alone() {
    let alone = Alone::start("[envoy]\ndeadline = '2s'", &load::WAITS, load::unhurried).await;
    for (name, delay) in [("late", 20_000), ("slow", 250)] {
        let reply = Reply::address(PUBLIC).delay(Duration::from_millis(delay));
        let pattern = format!("*.{name}.lab.example.com");
        alone.lab.dns().name(&pattern, Strategy::Always(reply));
    }
    let load = alone.load("meanwhile");
    let mut all = alone.at_once(&["late", "slow"].repeat(3)).await;
    load.served(ENOUGH).await;
    let mut answers = tally(&all);
    assert_eq!(too_late(&mut answers), 3, "{all:?}");
    assert_eq!(answers, [("200".to_owned(), 3)].into());
    println!(
        "late: {:?}",
        all.iter().map(|sent| sent.took).collect::<Vec<_>>()
    );
    // Each was asked once: what takes its time is not asked again.
    let meanwhile = load.end().await;
    let decisions = load::decided(&[alone.gateway()], all.len() + meanwhile.len()).await;
    for sent in &all {
        let asked = decisions
            .iter()
            .filter(|record| record["authority"] == sent.host.as_str());
        assert_eq!(asked.count(), 1, "{sent:?}");
    }
    // Of the others, no more than what each client had asked when the machine was busy.
    let mut answers = tally(&meanwhile);
    let late = too_late(&mut answers);
    assert!(late <= CLIENTS, "{late}");
    let answers: Vec<_> = answers.into_keys().collect();
    assert_eq!(answers, ["200", "403 address-not-public"]);
    all.extend(meanwhile);
    load::closed(&alone.lab, &alone.envoy, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_policy_is_swapped_each_request_has_one_of_the_two() {
    let alone = Alone::start(load::UNHURRIED, &load::WAITS, load::unhurried).await;
    let deny = format!("[hosts]\ndeny = ['*.{}.lab.example.com']\n", load::OUTSIDE);
    let denying = write(alone.folder.path(), "denying.toml", &deny);
    let allowing = write(alone.folder.path(), "allowing.toml", "# nothing");
    let load = alone.load("swapped");
    let (mut swaps, mut digests) = (Vec::new(), Vec::new());
    for settings in [&denying, &allowing].repeat(5) {
        load.more(ENOUGH / 4).await;
        let began = Instant::now();
        let words = ["swap", "--settings", settings.to_str().unwrap()];
        let swapped = alone.gateway().operate(&words);
        digests.push(swapped["policies"][0]["settings_digest"].clone());
        swaps.push((began, Instant::now(), settings == &denying));
    }
    // The last one by the file and a signal.
    write(alone.folder.path(), "gateway.settings.toml", &deny);
    alone.gateway().served.signal("-HUP");
    until("the settings of the file", || {
        let decisions = load::decisions(alone.gateway());
        let last = &decisions.last().unwrap()["decision"]["policy"];
        (last["settings_digest"] == digests[0]).then_some(())
    })
    .await;
    let all = load.end().await;
    let took = median(
        swaps
            .iter()
            .map(|(began, done, _)| *done - *began)
            .collect(),
    );
    println!("swapped: {:?}; a swap takes {took:?}", tally(&all));
    for pair in swaps.windows(2) {
        let ((_, done, denies), (next, ..)) = (pair[0], pair[1]);
        let within = |sent: &&Sent| sent.began > done && sent.began + sent.took < next;
        let asked = all.iter().filter(within).filter(|sent| !sent.inside());
        for sent in asked {
            let expected = if denies { Some(403) } else { Some(200) };
            assert_eq!(sent.status, expected, "{sent:?}");
        }
    }
    load::closed(&alone.lab, &alone.envoy, &all).await;
    let decisions = load::decided(&[alone.gateway()], all.len()).await;
    assert_eq!(decisions.len(), all.len(), "one decision for each");
    for record in &decisions {
        let decision = &record["decision"];
        let denies = decision["policy"]["settings_digest"] == digests[0];
        let outside = record["authority"]
            .as_str()
            .unwrap()
            .contains(load::OUTSIDE);
        let expected = if outside && !denies { "allow" } else { "deny" };
        assert_eq!(decision["verdict"], expected, "{record}");
    }
}

/// Envoy keeps its connection to the gateway, which ends it when nothing was asked for a while. A question that comes at
/// that moment is not lost, also where nothing is asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn when_its_idle_connection_ends_no_question_is_lost() {
    let once = |config: String| {
        let once = config.replace("num_retries: 3", "num_retries: 0");
        assert_ne!(once, config, "questions are asked again");
        load::unhurried(once)
    };
    let over = "[envoy]\ndeadline = '10s'\n[limits]\nkeep_alive = '40ms'";
    let alone = Alone::start(over, &load::WAITS, once).await;
    let mut client = Client::new(alone.envoy.listeners[0]);
    let mut all = Vec::new();
    for number in 0..QUESTIONS {
        let host = format!("{number}.outside.lab.example.com:{}", alone.lab.port());
        all.push(client.get(host).await);
        // Before, at and after the moment.
        sleep(Duration::from_millis(30 + number as u64 % 20)).await;
    }
    let connections = alone.envoy.stat("cluster.pinfold.upstream_cx_total").await;
    println!("idle: {connections} connections for {:?}", tally(&all));
    assert!(connections > 10, "{connections} connections");
    assert_eq!(tally(&all), [("200".to_owned(), QUESTIONS)].into());
    load::closed(&alone.lab, &alone.envoy, &all).await;
}

/// Envoy refused these because it had no answer, and not because it found no address later.
fn stopped_at_the_question(envoy: &Envoy, refused: &[Sent]) {
    let lines = load::lines(envoy);
    for sent in refused {
        assert_eq!(lines[&sent.host]["details"], "ext_authz_error", "{sent:?}");
    }
}

/// Takes out those for which the name server, or everything together, was too late: which of the two depends on the
/// machine.
fn too_late(answers: &mut BTreeMap<String, usize>) -> usize {
    let reasons = ["504 deadline-exceeded", "504 resolve-timeout"];
    reasons
        .iter()
        .filter_map(|reason| answers.remove(*reason))
        .sum()
}

/// One gateway, on a port that stays its own, and an Envoy that asks it.
struct Alone {
    lab: Lab,
    folder: tempfile::TempDir,
    gateway: Option<Gateway>,
    port: Port,
    over: &'static str,
    envoy: Envoy,
}

impl Alone {
    /// With this laid over the configuration of the gateway, these words for that of Envoy, which is changed then.
    async fn start(
        over: &'static str,
        words: &[&str],
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let (folder, lab) = (tempfile::tempdir().unwrap(), Lab::start().await.unwrap());
        load::names(&lab);
        let port = Port::hold();
        let gateway = port.gateway(folder.path(), "gateway", &lab, over).await;
        let config = generated("forward", &gateway.config, &[gateway.service], words);
        let envoy = Envoy::start(folder.path(), "envoy", &change(config)).await;
        Self {
            lab,
            folder,
            gateway: Some(gateway),
            port,
            over,
            envoy,
        }
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    /// Started anew where it was.
    async fn again(&mut self) {
        let folder = self.folder.path();
        let gateway = self.port.gateway(folder, "gateway", &self.lab, self.over);
        self.gateway = Some(gateway.await);
    }

    /// A client for each of these, which asks for one name below it, all at the same time.
    async fn at_once(&self, below: &[&str]) -> Vec<Sent> {
        let ask = |(number, below): (usize, &&str)| {
            let host = format!("{number}.{below}.lab.example.com:{}", self.lab.port());
            let mut client = Client::new(self.envoy.listeners[0]);
            async move { client.get(host).await }
        };
        let asked: JoinSet<_> = below.iter().enumerate().map(ask).collect();
        asked.join_all().await
    }

    fn load(&self, name: &str) -> Load {
        Load::start(name, CLIENTS, self.envoy.listeners[0], &self.lab)
    }
}

/// Questions around the moment at which a connection ends.
const QUESTIONS: usize = 60;
