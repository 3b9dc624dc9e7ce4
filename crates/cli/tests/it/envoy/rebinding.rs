//! Names that change their mind: whatever they do, Envoy connects where the gateway has judged, and looks nothing up.
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pinfold_lab::{
    APEX, INTERNAL, Lab, PUBLIC,
    dns::{Kind, Reply, Strategy},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::{Kept, ask_through, tunnel},
    load::{UNHURRIED, WAITS},
    plan::{Plan, http},
    support::{Answer, Stage},
};

/// Requests of a test.
const REQUESTS: usize = 1_000;
/// Clients that send them, each with a connection of its own.
const CLIENTS: usize = 8;

/// Ways to rebind that the lab knows, and in which nothing has to be waited for.
const ATTACKS: [&str; 25] = [
    "first-then-second",
    "round-robin",
    "random",
    "once-then-forever",
    "twice-then-forever",
    "programme-repeats",
    "timed",
    "ttl-zero",
    "ttl-largest",
    "ttl-overflow",
    "ttl-shrinks",
    "zero-later",
    "other-port",
    "mixed",
    "mixed-internal-first",
    "mixed-rotated",
    "mixed-dead-first",
    "static-ttls",
    "family-split-v4",
    "family-split-v6",
    "alias-later",
    "subtree-later",
    "chain-short",
    "mapped-later",
    "many-later",
];

/// Each of them again and again: so many requests for one name, then the next name.
const SAME_NAME: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_to_names_that_are_rebound_never_reach_the_inside() {
    let stage = Stage::with("forward", UNHURRIED, &WAITS).await;
    let way = Way::of(&stage);
    let counted = together(|client| requests(way, client)).await;
    assert_contained(&stage, &counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tunnels_to_names_that_are_rebound_never_reach_the_inside() {
    let stage = Stage::with("forward", UNHURRIED, &WAITS).await;
    let way = Way::of(&stage);
    let counted = together(|client| tunnels(way, client)).await;
    assert_contained(&stage, &counted).await;
}

/// The share of one client, on a connection that it keeps.
async fn requests(way: Way, client: usize) -> Vec<String> {
    let mut kept = Kept::to(way.proxy);
    let mut told = Vec::new();
    for label in labels(client) {
        told.push(way.request(&mut kept, &label).await);
    }
    told
}

async fn tunnels(way: Way, client: usize) -> Vec<String> {
    let mut told = Vec::new();
    for label in labels(client) {
        told.push(way.tunnel(&label).await);
    }
    told
}

/// From a client through Envoy to a name of the lab.
#[derive(Clone, Copy)]
struct Way {
    proxy: SocketAddr,
    /// Of the public servers and the canaries.
    port: u16,
}

impl Way {
    fn of(stage: &Stage) -> Self {
        Self {
            proxy: stage.envoy.listeners[0],
            port: stage.lab.port(),
        }
    }

    fn authority(self, label: &str) -> String {
        format!("{label}.{APEX}:{}", self.port)
    }

    async fn request(self, kept: &mut Kept, label: &str) -> String {
        let url = format!("http://{}/", self.authority(label));
        outcome(&kept.get(&url).await)
    }

    async fn tunnel(self, label: &str) -> String {
        let authority = self.authority(label);
        match tunnel(self.proxy, &authority).await {
            Ok(mut stream) => outcome(&ask_through(&mut stream, &authority, "/").await),
            Err(refused) => outcome(&refused),
        }
    }
}

/// What the clients were told, counted.
async fn together<F>(client: impl Fn(usize) -> F) -> BTreeMap<String, usize>
where
    F: Future<Output = Vec<String>> + Send + 'static,
{
    let clients: JoinSet<_> = (0..CLIENTS).map(client).collect();
    let mut counted = BTreeMap::new();
    for outcome in clients.join_all().await.into_iter().flatten() {
        *counted.entry(outcome).or_default() += 1;
    }
    counted
}

/// `NUMBER.ATTACK`: the attacks by turns, a name a few times.
fn labels(client: usize) -> impl Iterator<Item = String> {
    let mine = (0..REQUESTS).filter(move |at| at % CLIENTS == client);
    mine.map(move |at| {
        let turn = at / (CLIENTS * SAME_NAME);
        let attack = ATTACKS[(turn + client) % ATTACKS.len()];
        format!("{turn}-{client}.{attack}")
    })
}

/// `200`, or status and reason.
fn outcome(answer: &Answer) -> String {
    match answer.field("pinfold-reason") {
        Some(reason) => format!("{} {reason}", answer.status),
        None => {
            let page = answer.body == "a public page\n";
            format!(
                "{}{}",
                answer.status,
                if page { "" } else { " another page" }
            )
        }
    }
}

/// Some were let through, all of those to the public server; the others were refused, with a reason of the gateway.
async fn assert_contained(stage: &Stage, counted: &BTreeMap<String, usize>) {
    assert_eq!(stage.lab.leaks().await.unwrap(), 0, "{counted:?}");
    let allowed = counted.get("200").copied().unwrap_or(0);
    let refused: usize = counted
        .iter()
        .filter(|(outcome, _)| outcome.starts_with("403 "))
        .map(|(_, many)| many)
        .sum();
    let late = late(counted);
    assert!(late <= REQUESTS / 50, "{counted:?}");
    assert_eq!(allowed + refused + late, REQUESTS, "{counted:?}");
    assert!(allowed > REQUESTS / 10, "{counted:?}");
    assert!(refused > REQUESTS / 10, "{counted:?}");
    let arrived = reached(&stage.lab);
    assert!(
        (allowed..=allowed + late).contains(&arrived),
        "{arrived}: {counted:?}"
    );
}

/// Refused as well, because the machine was too busy.
fn late(counted: &BTreeMap<String, usize>) -> usize {
    let late = |outcome: &str| outcome.starts_with("503") || outcome.starts_with("504");
    let counted = counted.iter().filter(|(outcome, _)| late(outcome));
    counted.map(|(_, many)| many).sum()
}

/// Requests at the public servers.
fn reached(lab: &Lab) -> usize {
    let servers = [Some(lab.public()), lab.public_v6()];
    let requests = servers.into_iter().flatten();
    let requests = requests.map(pinfold_lab::http::Server::request_count);
    usize::try_from(requests.sum::<u64>()).unwrap()
}

/// The names exist in the lab alone. Its name server is asked by the gateway, once for each request and family, and by
/// nobody else; Envoy has no socket that could ask, and its own figures know of no resolver.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_looks_nothing_up() {
    let stage = Stage::with("forward", UNHURRIED, &WAITS).await;
    for client in 0..CLIENTS {
        let alternates = Strategy::RoundRobin(vec![
            Reply::address(PUBLIC).ttl(0),
            Reply::address(INTERNAL).ttl(0),
        ]);
        let name = format!("{}.{APEX}", silent(client));
        stage.lab.dns().name(&name, alternates);
    }
    let watched = Watched::over(stage.envoy.process());
    let way = Way::of(&stage);
    let counted = together(|client| asks(way, client)).await;
    let (looks, datagrams) = watched.end().await;
    assert!(looks > 0);
    assert_eq!(datagrams, 0, "sockets of UDP in {looks} looks");
    let half = CLIENTS * EACH / 2;
    let halves = ["200", "403 address-not-public"].map(|outcome| counted.get(outcome).copied());
    let [allowed, refused] = halves.map(Option::unwrap_or_default);
    assert!(allowed.min(refused) >= half - half / 4, "{counted:?}");
    assert_eq!(allowed + refused + late(&counted), 2 * half, "{counted:?}");
    let mut sum = 0;
    for client in 0..CLIENTS {
        let name = format!("{}.{APEX}", silent(client));
        for kind in [Kind::A, Kind::Aaaa] {
            let asked = stage.lab.dns().log().count(&name, kind);
            // On a busy machine a question is repeated now and then; a second one that asks would double them.
            assert!(
                asked.abs_diff(EACH as u64) <= EACH as u64 / 4,
                "{name}, {kind:?}: {asked}"
            );
            sum += asked;
        }
    }
    assert_eq!(stage.lab.dns().log().total(), sum, "other names");
    assert_eq!(resolvers(&stage).await, Vec::<String>::new());
}

/// Requests and tunnels of each client for its name; even.
const EACH: usize = 12;

async fn asks(way: Way, client: usize) -> Vec<String> {
    let mut kept = Kept::to(way.proxy);
    let label = silent(client);
    let mut told = Vec::new();
    for at in 0..EACH {
        told.push(match at % 3 {
            0 => way.tunnel(&label).await,
            _ => way.request(&mut kept, &label).await,
        });
    }
    told
}

/// A name that one client alone asks for.
fn silent(client: usize) -> String {
    format!("{client}.silent")
}

/// Figures of resolvers that are not zero.
async fn resolvers(stage: &Stage) -> Vec<String> {
    let figures = stage.envoy.admin("/stats?filter=dns").await.body;
    let figures = figures.lines().filter(|line| line.contains("dns"));
    let busy = figures.filter(|line| !line.ends_with(": 0"));
    busy.map(str::to_owned).collect()
}

/// Looks at the sockets of a process until it ends.
struct Watched {
    done: Arc<AtomicBool>,
    watch: tokio::task::JoinHandle<(usize, usize)>,
}

impl Watched {
    fn over(process: u32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let watch = tokio::spawn(async move {
            let (mut looks, mut found) = (0, 0);
            while !seen.load(Ordering::SeqCst) {
                looks += 1;
                found += datagram_sockets(process);
                sleep(Duration::from_millis(2)).await;
            }
            (looks, found)
        });
        Self { done, watch }
    }

    /// How often it looked, and how many it has found.
    async fn end(self) -> (usize, usize) {
        self.done.store(true, Ordering::SeqCst);
        self.watch.await.unwrap()
    }
}

/// Sockets of UDP that a process has.
fn datagram_sockets(process: u32) -> usize {
    let tables =
        ["udp", "udp6"].map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")));
    let tables = tables.map(Result::unwrap_or_default);
    let datagrams: HashSet<_> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| line.split_whitespace().nth(9))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = descriptors
        .flatten()
        .flat_map(|it| fs::read_link(it.path()));
    targets
        .filter(|target| datagrams.contains(target.to_str().unwrap_or_default()))
        .count()
}

/// What the others are worth: an Envoy that resolves by itself, after the same question, is rebound, and is seen to ask.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_looks_up_by_itself_is_rebound() {
    let plan = Plan::new("forward").await;
    let name_server = plan.lab.dns().addr();
    let stage = plan
        .edit(move |config| resolving(config, name_server))
        .start()
        .await;
    // The second answer takes its time, so that the socket of who waits for it is there to be seen.
    let late = Reply::address(INTERNAL).delay(Duration::from_secs(1));
    let name = format!("late.{APEX}");
    let strategy = Strategy::after(1, Reply::address(PUBLIC), late);
    stage.lab.dns().name(&name, strategy);
    let watched = Watched::over(stage.envoy.process());
    stage.get(&stage.lab.url("late", "/")).await;
    let (_, datagrams) = watched.end().await;
    assert!(datagrams > 0);
    assert!(stage.lab.leaks().await.unwrap() > 0);
    assert_eq!(stage.lab.dns().log().count(&name, Kind::A), 2);
    assert_ne!(resolvers(&stage).await, Vec::<String>::new());
}

/// The dynamic forward proxy of Envoy, in the place of the judged addresses; no second layer.
fn resolving(config: &mut Value, name_server: SocketAddr) {
    let cache = json!({
        "name": "names",
        "dns_lookup_family": "V4_ONLY",
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {
                    "address": name_server.ip().to_string(), "port_value": name_server.port(),
                }}],
            },
        },
    });
    let filters = http(config)["http_filters"].as_array_mut().unwrap();
    let filter = json!({
        "name": "names",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
            "dns_cache_config": cache,
        },
    });
    filters.insert(filters.len() - 1, filter);
    let clusters = config["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap();
    let pinned = clusters.iter_mut().find(|it| it["name"] == "pinned");
    *pinned.unwrap() = json!({
        "name": "pinned",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.dynamic_forward_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                "dns_cache_config": cache,
            },
        },
    });
}
