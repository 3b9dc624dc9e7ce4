//! Every known rebinding strategy against the real resolver and connector.
//!
//! The lab's name server plays; the guard is granted the lab's public server alone. Whatever the names
//! answer, no connection may reach a canary, and no hop may look a name up twice. The naive client is the
//! positive control: the strategies that fool it do reach the canary.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod attack;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use attack::{Journal, client, code, guard, no_leak, public};
use pinfold::{
    Error, Guard, Request,
    addr::{Domain, Target},
    resolve::{Dns, Resolve, Resolving},
};
use pinfold_lab::{
    INTERNAL, Lab, PUBLIC, SECRET,
    dns::{Attack, Kind, Reply, Strategy, Transport, attacks},
    plain,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Names that each attack gets for one attempt.
const NAMES: usize = 140;
/// Names that each attack gets for several attempts, one after the other.
const REPEATED: usize = 8;
/// Attempts with such a name.
const REPEATS: usize = 8;
/// Attacks that make the resolver wait until it asks once more, or gives up.
const SLOW: [&str; 3] = ["garbage", "silence-then-both", "silence-then-internal"];
/// Names that each of these gets for one attempt.
const SLOW_NAMES: usize = 12;
/// Attempts at a time.
const AT_ONCE: usize = 24;
/// What must be reached in all.
const ATTEMPTS: usize = 10_000;
/// Questions of one family that one lookup may send to one server when the first is not answered as it
/// should: a datagram, the same once more, and TCP.
const TRIES: u64 = 3;
/// Longer than the lab's timed attacks wait.
const PAUSE: Duration = Duration::from_millis(40);

/// How the attempts with one attack ended.
#[derive(Default)]
struct Tally {
    /// `public`, or the code of a refusal or a failure.
    outcomes: BTreeMap<String, usize>,
    /// The same, of the first attempt with each name.
    first: BTreeSet<String>,
    /// Most questions of one family to a name that was tried once.
    questions: u64,
    leaks: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_strategy_reaches_a_canary() {
    let lab = Arc::new(Lab::start().await.unwrap());
    let decisions = Journal::default();
    let guard = guard(&lab).observer(decisions.clone()).build().unwrap();
    let fooled = control().await;
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    let start = Instant::now();
    for attack in attacks(&lab.scene()) {
        let tally = play(&lab, &guard, &attack).await;
        wrong.extend(judge(&attack, &tally));
        rows.push((attack, tally));
    }
    print_table(&rows, &fooled, start.elapsed());
    assert!(wrong.is_empty(), "{wrong:#?}");
    no_leak(&lab).await;
    only_addresses_were_asked_for(&lab);
    let attempts: usize = rows.iter().map(|(_, tally)| tally.attempts()).sum();
    assert!(attempts >= ATTEMPTS, "{attempts}");
    assert_eq!(
        decisions.take().len(),
        attempts,
        "one record for each attempt"
    );
    // The strategies do attack: the same ones reach the canary of a client that looks up twice.
    for (attack, _) in rows {
        let reached = fooled.contains(&attack.name);
        assert!(
            reached || !attack.fools_plain,
            "{}: the control is not fooled",
            attack.name
        );
    }
}

/// What the first test asserts can fail: a resolver that looks up twice and a grant that is too wide show.
#[tokio::test(flavor = "multi_thread")]
async fn the_harness_notices_what_it_looks_for() {
    let lab = Arc::new(Lab::start().await.unwrap());
    let attacks = attacks(&lab.scene());
    let attack = attacks
        .iter()
        .find(|attack| attack.name == "first-then-second")
        .unwrap();

    let twice = guard(&lab).resolver(Twice(Dns::servers([lab.dns().addr()])));
    let tally = play(&lab, &twice.build().unwrap(), attack).await;
    assert_eq!((tally.questions, tally.leaks), (2, 0));
    assert!(!judge(attack, &tally).is_empty());

    let attack = attacks
        .iter()
        .find(|attack| attack.name == "round-robin")
        .unwrap();
    let wide = guard(&lab).grants(["127.0.0.0/8".parse().unwrap()]);
    let tally = play(&lab, &wide.build().unwrap(), attack).await;
    assert!(tally.leaks > 0);
    assert!(
        judge(attack, &tally).len() >= 2,
        "counted at the canary and seen by the client"
    );
}

/// The mistake that makes rebinding possible.
#[derive(Debug)]
struct Twice(Dns);

impl Resolve for Twice {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        Box::pin(async move {
            self.0.resolve(name).await?;
            self.0.resolve(name).await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_answers_that_are_filtered_reach_no_canary_either() {
    let lab = Arc::new(Lab::start().await.unwrap());
    let settings = serde_json::json!({ "mixed_answers": "filter" });
    let guard = guard(&lab).settings(settings).build().unwrap();
    for name in [
        "mixed",
        "mixed-internal-first",
        "mixed-rotated",
        "static-ttls",
        "family-split-v6",
    ] {
        for number in 0..20 {
            let url = lab.url(&format!("f{number}.{name}"), "/");
            let peer = attempt(&guard, &url).await.unwrap();
            assert_eq!(peer, lab.public().addr(), "{name}");
        }
    }
    no_leak(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_its_time_and_the_name_not_asked_again() {
    let lab = Lab::start().await.unwrap();
    let guard = guard(&lab).build().unwrap();
    let strategy = Strategy::after(1, Reply::address(PUBLIC).ttl(300), Reply::address(INTERNAL));
    lab.dns().name("kept.lab.example.com", strategy);
    for _ in 0..20 {
        let peer = attempt(&guard, &lab.url("kept", "/")).await.unwrap();
        assert_eq!(peer, lab.public().addr());
    }
    assert_eq!(lab.dns().log().count("kept.lab.example.com", Kind::A), 1);
    assert_eq!(lab.dns().log().count("kept.lab.example.com", Kind::Aaaa), 1);
    no_leak(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_the_same_name_is_resolved_and_judged_again() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    for status in [301, 302, 303, 307, 308] {
        let url = lab.url(
            &format!("r{status}.first-then-second"),
            &format!("/redirect?to=/&status={status}"),
        );
        assert_eq!(
            code(client.get(&url).send().await),
            "address-not-public",
            "{status}"
        );
    }
    no_leak(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_is_used_only_for_the_address_that_was_judged() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let url = lab.url("1.twice-then-forever", "/echo");
    for reused in [false, true] {
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.hops()[0].reused, reused);
        response.bytes().await.unwrap();
    }
    // The connection is still there, but now the name means something else.
    assert_eq!(code(client.get(&url).send().await), "address-not-public");
    assert_eq!(lab.public().connections(), 1);
    no_leak(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_changes_after_the_pool_gave_up_the_connection_is_judged() {
    let lab = Lab::start().await.unwrap();
    let mut limits = pinfold_http::Limits::default();
    limits.idle = Duration::from_millis(20);
    let client = client(&lab).limits(limits).build();
    let (public, internal) = (Reply::address(PUBLIC), Reply::address(INTERNAL));
    let strategy = Strategy::Timed {
        first: public,
        second: internal,
        after: Duration::from_millis(60),
        window: None,
    };
    lab.dns().name("late.lab.example.com", strategy);
    client
        .get(&lab.url("late", "/"))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        code(client.get(&lab.url("late", "/")).send().await),
        "address-not-public"
    );
    no_leak(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pin_outlives_neither_its_time_nor_the_answer_it_was_made_from() {
    let lab = Lab::start().await.unwrap();
    let guard = guard(&lab).build().unwrap();
    let url = lab.url("pin.first-then-second", "/");
    let pinned = guard.session().pin(request(&url)).await.unwrap();
    // The name is rebound between pin and connect: the pin does not care.
    assert!(guard.session().pin(request(&url)).await.is_err());
    let connection = guard.connector().connect(pinned).await.unwrap();
    assert_eq!(connection.peer(), lab.public().addr());
    no_leak(&lab).await;
}

/// Tries an attack with names of its own, then with names that are tried again and again.
async fn play(lab: &Arc<Lab>, guard: &Guard, attack: &Attack) -> Tally {
    let (once, repeated) = match SLOW.contains(&attack.name) {
        true => (SLOW_NAMES, 0),
        false => (NAMES, REPEATED),
    };
    let (once, repeated) = (names(attack, "n", once), names(attack, "r", repeated));
    let mut tally = Tally::default();
    run(lab, guard, &once, 1, &mut tally).await;
    run(lab, guard, &repeated, REPEATS, &mut tally).await;
    tally.leaks = lab.leaks().await.unwrap();
    count_questions(lab, attack, &mut tally);
    tally
}

fn names(attack: &Attack, prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}.{}", attack.name))
        .collect()
}

/// `repeats` attempts with each name, names at the same time, attempts with a name in turn.
async fn run(lab: &Arc<Lab>, guard: &Guard, labels: &[String], repeats: usize, tally: &mut Tally) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for label in labels {
        let (guard, url) = (guard.clone(), lab.url(label, "/"));
        let slot = slots.clone().acquire_owned().await.unwrap();
        tasks.spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..repeats {
                outcomes.push(attempt(&guard, &url).await);
            }
            drop(slot);
            outcomes
        });
    }
    let public = public(lab);
    for outcomes in tasks.join_all().await {
        let outcomes: Vec<_> = outcomes
            .iter()
            .map(|outcome| describe(&public, outcome))
            .collect();
        tally.first.extend(outcomes.first().cloned());
        for outcome in outcomes {
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
    }
}

/// `public`, or the code, or the address that should not have been reached.
fn describe(public: &[SocketAddr], outcome: &Result<SocketAddr, Error>) -> String {
    match outcome {
        Ok(peer) if public.contains(peer) => PASSED.into(),
        Ok(peer) => format!("REACHED {peer}"),
        Err(error) => error.denial().code().into(),
    }
}

/// One request: judge, resolve, connect.
async fn attempt(guard: &Guard, url: &str) -> Result<SocketAddr, Error> {
    let pinned = guard.session().pin(request(url)).await?;
    let connection = guard.connector().connect(pinned).await?;
    let peer = connection.peer();
    assert_eq!(connection.into_stream().peer_addr().unwrap(), peer);
    Ok(peer)
}

fn request(url: &str) -> Request {
    Request::new(Target::parse(url).unwrap()).method("GET")
}

fn count_questions(lab: &Lab, attack: &Attack, tally: &mut Tally) {
    let suffix = format!(".{}.{}", attack.name, lab.scene().apex);
    for (name, _, count) in lab.dns().log().counts(&suffix) {
        let tries = if name.starts_with('r') {
            u64::try_from(REPEATS).unwrap()
        } else {
            1
        };
        tally.questions = tally.questions.max(count.div_ceil(tries));
    }
}

impl Tally {
    fn attempts(&self) -> usize {
        self.outcomes.values().sum()
    }
}

fn judge(attack: &Attack, tally: &Tally) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = attack.name;
    if tally.leaks > 0 {
        wrong.push(format!("{name}: {} connections to a canary", tally.leaks));
    }
    let most = if attack.provokes_retry { TRIES } else { 1 };
    if tally.questions > most {
        wrong.push(format!(
            "{name}: asked {} times in one lookup",
            tally.questions
        ));
    }
    let expected = expected(name);
    if !tally
        .first
        .iter()
        .all(|outcome| expected.contains(&outcome.as_str()))
    {
        wrong.push(format!("{name}: {:?}, expected {expected:?}", tally.first));
    }
    for outcome in tally.outcomes.keys() {
        if !FIRST.iter().any(|(known, _)| known == outcome) {
            wrong.push(format!("{name}: {outcome}"));
        }
    }
    wrong
}

/// How a first attempt may end.
fn expected(name: &str) -> Vec<&'static str> {
    let rows = FIRST.iter().filter(|(_, names)| names.contains(&name));
    rows.map(|(outcome, _)| *outcome).collect()
}

fn only_addresses_were_asked_for(lab: &Lab) {
    let log = lab.dns().log();
    let others = log
        .questions()
        .into_iter()
        .filter(|question| !matches!(question.kind, Kind::A | Kind::Aaaa));
    assert_eq!(
        others.count(),
        0,
        "a question for something else than addresses"
    );
    let subnets = log
        .questions()
        .into_iter()
        .filter(|question| question.subnet.is_some());
    assert_eq!(
        subnets.count(),
        0,
        "a question that tells the client's subnet"
    );
    assert!(
        log.questions()
            .iter()
            .any(|question| question.transport == Transport::Tcp)
    );
}

/// The attacks that reach a canary of the naive client, in a lab of its own.
async fn control() -> Vec<&'static str> {
    let lab = Lab::start().await.unwrap();
    let naive = plain::Client::new(lab.dns().addr(), lab.forbidden())
        .pause(PAUSE)
        .wait(Duration::from_millis(200));
    let mut fooled = Vec::new();
    for attack in attacks(&lab.scene()) {
        let page = naive
            .get(&lab.url(&format!("c.{}", attack.name), "/"))
            .await;
        if page.is_ok_and(|page| page.body == SECRET.as_bytes()) {
            fooled.push(attack.name);
        }
    }
    fooled
}

fn print_table(rows: &[(Attack, Tally)], fooled: &[&str], took: Duration) {
    println!("| strategy | attempts | outcome | asked | canary | naive client |");
    println!("|---|---:|---|---:|---:|---|");
    for (attack, tally) in rows {
        let outcomes = tally
            .outcomes
            .iter()
            .map(|(outcome, count)| format!("{outcome} {count}"));
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            attack.name,
            tally.attempts(),
            outcomes.collect::<Vec<_>>().join(", "),
            tally.questions,
            tally.leaks,
            if fooled.contains(&attack.name) {
                "rebound"
            } else {
                ""
            },
        );
    }
    let attempts: usize = rows.iter().map(|(_, tally)| tally.attempts()).sum();
    println!("{attempts} attempts, {} strategies, {took:.1?}", rows.len());
}

/// The outcome of an attempt that reached the public server.
const PASSED: &str = "public";

/// How the first attempt with a name ends, strategy by strategy. A strategy that is not here fails.
const FIRST: &[(&str, &[&str])] = &[
    (
        PASSED,
        &[
            "first-then-second",
            "round-robin",
            "random",
            "once-then-forever",
            "twice-then-forever",
            "programme-repeats",
            "timed",
            "timed-window",
            "ttl-zero",
            "ttl-largest",
            "ttl-overflow",
            "ttl-shrinks",
            "zero-later",
            "other-port",
            "other-subnet",
            "delayed",
            "many-later",
            "hint",
            "hint-unasked",
            "other-owner",
            "alias-later",
            "subtree-later",
            "mapped-later",
            "silence-then-both",
            "tcp-differs",
            "cut-tcp-later",
            "wrong-id",
            "wrong-question",
            "flipped-case",
        ],
    ),
    (
        "address-not-public",
        &[
            "random",
            "mixed-dead-first",
            "zero-address",
            "alias",
            "alias-localhost",
            "subtree",
            "chain-short",
            "silence-then-internal",
            "cut-tcp-differs",
        ],
    ),
    (
        "address-wrapped",
        &[
            "mapped",
            "compatible",
            "translated",
            "nat64",
            "nat64-local",
            "isatap",
            "6to4",
        ],
    ),
    (
        "answers-mixed",
        &[
            "mixed",
            "mixed-internal-first",
            "mixed-rotated",
            "static-ttls",
            "family-split-v4",
            "family-split-v6",
        ],
    ),
    ("resolve-too-many-answers", &["many"]),
    ("resolve-chain-too-long", &["chain-long", "chain-loop"]),
    (
        "resolve-no-answer",
        &[
            "other-owner-alone",
            "alias-bare",
            "no-data-then-internal",
            "nxdomain-then-internal",
        ],
    ),
    (
        "resolve-failed",
        &[
            "servfail-then-both",
            "servfail-then-internal",
            "refused-then-internal",
            "garbage",
            "short",
            "header-only",
            "lying-counts",
            "pointer-loop",
            "raw",
        ],
    ),
    ("resolve-timeout", &["garbage"]),
];
