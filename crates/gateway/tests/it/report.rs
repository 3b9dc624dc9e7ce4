//! Report mode: for whom a denial only is told, what holds all the same, and how both change while running.
//!
//! Subjects are told apart by the address that they come from.

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::{
    operator::Operator,
    socks,
    support::{Client, Echo, PUBLIC, Proxy, field, file, status, until},
};

/// Who comes from where.
const SUBJECTS: [(&str, u8); 4] = [
    ("payments", 4),
    ("batch", 5),
    ("batch-nightly", 6),
    ("billing", 7),
];
/// A name that the policy denies.
const DENIED: &str = "other.lab.example.com";
/// A name that leads to an address that the policy denies, and the floor does not.
const PLACE: &str = "place.lab.example.com";
/// A name that is denied, and leads to such an address.
const REBOUND: &str = "rebound.lab.example.com";
/// A name that is denied, and leads to what nobody may reach.
const INSIDE: &str = "inside.lab.example.com";
const ALLOWED: &str = "public.lab.example.com";

/// A gateway whose policy denies the names and the place above.
struct Scene {
    proxy: Proxy,
    policy: String,
    folder: tempfile::TempDir,
    open: Echo,
    denied: Echo,
}

impl Scene {
    /// With this for `report`.
    async fn new(report: &str) -> Self {
        Self::with(report, "").await
    }

    async fn with(report: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = format!("{}\n{more}", written(&folder));
        let proxy = Proxy::with(&format!("report = {{{report}}}\n{policy}")).await;
        let open = Echo::http(PUBLIC).await;
        let denied = Echo::http([127, 0, 0, 8].into()).await;
        Self {
            proxy,
            policy,
            folder,
            open,
            denied,
        }
    }

    /// Another `report`, while it runs.
    fn report(&self, report: &str) {
        let over = format!("report = {{{report}}}\n{}", self.policy);
        self.proxy.gateway().reload(self.proxy.config(&over));
    }

    /// Other settings of the policy, while it runs.
    fn swap(&self, settings: &str) {
        file(self.folder.path(), "settings.toml", settings);
        let config = self.proxy.config(&self.policy);
        self.proxy.gateway().reload(config);
    }

    /// The server behind a name.
    fn server(&self, name: &str) -> &Echo {
        match name {
            PLACE | REBOUND => &self.denied,
            _ => &self.open,
        }
    }

    /// `NAME:PORT` of it.
    fn at(&self, name: &str) -> String {
        self.server(name).at(name)
    }

    async fn client(&self, subject: &str) -> Client<TcpStream> {
        let from = SUBJECTS.iter().find(|(name, _)| *name == subject);
        let socket = TcpSocket::new_v4().unwrap();
        let last = from.map_or(1, |(_, last)| *last);
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        Client::over(socket.connect(self.proxy.address()).await.unwrap())
    }

    /// The head of the answer to `CONNECT`.
    async fn connect(&self, subject: &str, name: &str) -> String {
        let at = self.at(name);
        self.client(subject).await.connect_to(&at).await
    }

    /// What the log says of the request that was answered so.
    async fn told(&self, head: &str) -> Value {
        let id = field(head, "pinfold-request-id").expect("an id").to_owned();
        let such = |line: &Value| line["event"] == "decision" && line["request_id"] == id.as_str();
        self.proxy.logged(such).await
    }

    /// The answer, and what the record says would have been.
    async fn asked(&self, subject: &str, name: &str) -> (String, String) {
        let head = self.connect(subject, name).await;
        let line = self.told(&head).await;
        let would = &line["decision"]["would_deny"]["code"];
        let would = would.as_str().unwrap_or("-").to_owned();
        let answer = match status(&head) {
            200 => "200".to_owned(),
            status => format!("{status} {}", field(&head, "pinfold-reason").unwrap()),
        };
        (answer, would)
    }
}

/// Everything but `report`.
fn written(folder: &tempfile::TempDir) -> String {
    let settings = file(
        folder.path(),
        "settings.toml",
        format!(
            "hosts = {{deny = ['{DENIED}', '{REBOUND}', '{INSIDE}']}}\n\
             networks = {{deny = ['127.0.0.8/32']}}\n"
        ),
    );
    let networks: Vec<_> = SUBJECTS
        .iter()
        .map(|(name, last)| format!("'127.0.0.{last}/32' = '{name}'"))
        .collect();
    format!(
        "policy = {{settings = '{}'}}
        [floor]
        grants = ['127.0.0.2/32', '127.0.0.8/32']
        [dns.fixed]
        '{PLACE}' = ['127.0.0.8']
        '{REBOUND}' = ['127.0.0.8']
        '{INSIDE}' = ['127.0.0.3']
        [records.log]
        replayable = true
        [[listener]]
        bind = '127.0.0.1:0'
        identity = {{ways = ['source'], networks = {{{}}}}}
        [admin]
        bind = '127.0.0.1:0'",
        settings.display(),
        networks.join(", ")
    )
}

#[tokio::test]
async fn what_is_denied_passes_is_reported_or_is_refused() {
    let enforced = [
        (ALLOWED, "200", "-"),
        (DENIED, "403 host-denied", "-"),
        (PLACE, "403 address-denied", "-"),
        (REBOUND, "403 host-denied", "-"),
        (INSIDE, "403 host-denied", "-"),
        ("internal.lab.example.com", "403 address-not-public", "-"),
    ];
    let reported = [
        (ALLOWED, "200", "-"),
        (DENIED, "200", "host-denied"),
        (PLACE, "200", "address-denied"),
        (REBOUND, "200", "host-denied"),
        (INSIDE, "403 address-floor", "host-denied"),
        (
            "internal.lab.example.com",
            "403 address-floor",
            "address-not-public",
        ),
    ];
    let names = [
        (ALLOWED, "200", "-"),
        (DENIED, "200", "host-denied"),
        (PLACE, "403 address-denied", "-"),
        (REBOUND, "403 address-denied", "host-denied"),
        (INSIDE, "403 address-not-public", "host-denied"),
        ("internal.lab.example.com", "403 address-not-public", "-"),
    ];
    let scene = Scene::new("subjects = ['payments']").await;
    for (report, subject, rows) in [
        ("subjects = ['payments']", "billing", enforced),
        ("subjects = ['payments']", "payments", reported),
        (
            "subjects = ['payments'], addresses = 'report'",
            "payments",
            reported,
        ),
        (
            "subjects = ['payments'], addresses = 'enforce'",
            "payments",
            names,
        ),
        (
            "subjects = ['payments'], addresses = 'enforce'",
            "billing",
            enforced,
        ),
        ("all = true, addresses = 'enforce'", "nobody", names),
        ("all = true", "nobody", reported),
    ] {
        scene.report(report);
        for (name, answer, would) in rows {
            let (found, told) = scene.asked(subject, name).await;
            assert_eq!(
                (found.as_str(), told.as_str()),
                (answer, would),
                "{report}: {subject} to {name}"
            );
        }
    }
    assert_eq!(scene.denied.accepted(), 6, "three times two");
    for line in scene.proxy.log() {
        if line["event"] == "decision" {
            let entry: pinfold::record::Entry =
                serde_json::from_value(line["decision"].clone()).unwrap();
            assert_eq!(entry.contradictions(), [], "{line:#}");
            let reports = line["report"] == true;
            assert_eq!(reports, line["subject"] != "billing", "{line}");
        }
    }
}

#[tokio::test]
async fn subjects_are_named_or_begin_so() {
    let scene = Scene::new("subjects = []").await;
    for (report, covered) in [
        ("subjects = []", &[][..]),
        ("all = false", &[]),
        ("subjects = ['payments']", &["payments"]),
        ("subjects = ['batch']", &["batch"]),
        ("subjects = ['batch-*']", &["batch-nightly"]),
        ("subjects = ['batch*']", &["batch", "batch-nightly"]),
        ("subjects = ['b*']", &["batch", "batch-nightly", "billing"]),
        (
            "subjects = ['payments', 'batch-*']",
            &["payments", "batch-nightly"],
        ),
        (
            "all = true",
            &["payments", "batch", "batch-nightly", "billing", "nobody"],
        ),
    ] {
        scene.report(report);
        for subject in SUBJECTS.map(|(name, _)| name).into_iter().chain(["nobody"]) {
            let head = scene.connect(subject, DENIED).await;
            let expected = if covered.contains(&subject) { 200 } else { 403 };
            assert_eq!(status(&head), expected, "{report}: {subject}");
        }
    }
}

#[tokio::test]
async fn a_client_is_not_told_what_was_let_pass_and_operators_are() {
    let scene = Scene::new("subjects = ['payments']").await;
    let head = scene.connect("payments", DENIED).await;
    assert_eq!(status(&head), 200);
    assert!(
        !head.contains("host-denied") && field(&head, "pinfold-reason").is_none(),
        "{head}"
    );
    let line = scene.told(&head).await;
    let decision = &line["decision"];
    assert_eq!(
        (&line["report"], &line["subject"]),
        (&true.into(), &"payments".into())
    );
    assert_eq!(decision["verdict"], "allow");
    assert_eq!(decision["dialed"], scene.open.at("127.0.0.2"));
    assert_eq!(decision["would_deny"]["stage"], "name");
    assert_eq!(decision["would_deny"]["code"], "host-denied");
    assert_eq!(decision["input"]["report"], true);

    scene.connect("billing", DENIED).await;
    let series = |verdict: &str, report: bool| {
        format!(
            "pinfold_decisions_total{{verdict=\"{verdict}\",stage=\"name\",code=\"host-denied\",\
             report=\"{report}\",listener=\"proxy\"}} 1"
        )
    };
    let (_, metrics) = scene.proxy.admin("/metrics").await;
    for series in [series("allow", true), series("deny", false)] {
        assert!(metrics.contains(&series), "{series} in\n{metrics}");
    }
    let state = scene.proxy.admin_json("/status").await;
    assert_eq!(
        state["report"],
        json!({"all": false, "subjects": ["payments"], "addresses": "report"})
    );
    assert_eq!(state["traffic"]["counts"]["would_deny"], 1, "{state:#}");
    // What passed is listed with what was refused, and told apart from it.
    let denials = scene.proxy.admin_json("/denials").await;
    let denials: Vec<_> = denials["denials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["subject"], &row["code"], &row["would_deny"]["code"]))
        .collect();
    let (code, none) = (json!("host-denied"), Value::Null);
    assert_eq!(
        denials,
        [
            (&json!("billing"), &code, &none),
            (&json!("payments"), &none, &code)
        ]
    );
}

#[tokio::test]
async fn every_way_in_reports() {
    let scene = Scene::new("subjects = ['payments'], addresses = 'enforce'").await;
    for (subject, name, forward, reply) in [
        ("payments", DENIED, 200, 0),
        ("payments", REBOUND, 403, 2),
        ("billing", DENIED, 403, 2),
    ] {
        let row = format!("{subject} to {name}");
        let at = scene.at(name);
        let mut client = scene.client(subject).await;
        let request = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
        client.send(request.as_bytes()).await;
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), forward, "{row}: {head}");

        let mut client = scene.client(subject).await;
        client.send(&[5, 1, 0]).await;
        assert_eq!(client.exactly(2).await, [5, 0]);
        client
            .send(&socks::request(name, scene.server(name).port()))
            .await;
        assert_eq!(client.exactly(2).await, [5, reply], "{row}");
    }
}

/// A connection that was opened for who is let pass is kept, and is nobody's way round a denial.
#[tokio::test]
async fn a_kept_connection_lets_nobody_else_pass() {
    let scene = Scene::new("subjects = ['payments']").await;
    let at = scene.at(DENIED);
    let request = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
    for (subject, expected) in [
        ("payments", 200),
        ("billing", 403),
        ("payments", 200),
        ("nobody", 403),
    ] {
        let mut client = scene.client(subject).await;
        client.send(request.as_bytes()).await;
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), expected, "{subject}: {head}");
    }
    assert_eq!(scene.open.accepted(), 1, "kept, and used again");
}

#[tokio::test]
async fn who_is_no_longer_reported_is_refused_from_then_on() {
    let scene = Scene::new("all = true").await;
    let (mut tunnel, mut kept) = (
        scene.client("billing").await,
        scene.client("payments").await,
    );
    for client in [&mut tunnel, &mut kept] {
        assert_eq!(status(&client.connect_to(&scene.at(DENIED)).await), 200);
    }
    scene.report("subjects = ['payments']");
    for (subject, expected) in [("billing", 403), ("payments", 200), ("nobody", 403)] {
        let head = scene.connect(subject, DENIED).await;
        assert_eq!(status(&head), expected, "{subject}");
    }
    // Nor does what was let pass go on, although the policy is the same.
    tunnel.ended().await;
    let end = scene.proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(
        (&end["subject"], &end["closing"]),
        (&"billing".into(), &"revoked".into())
    );
    assert_eq!(end["denial"]["code"], "host-denied", "{end:#}");
    kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&kept.answer().await.0), 200);
}

/// Whoever was let pass for one reason is judged by all that hold now.
#[tokio::test]
async fn what_ends_report_mode_ends_what_it_let_pass() {
    let denied = format!("hosts = {{deny = ['{DENIED}', '{ALLOWED}']}}");
    let plain = format!("{denied}\nlimits = {{https_only = true}}");
    for (row, name, settings, again) in [
        ("the name", DENIED, None, "addresses = 'report'"),
        ("its address", PLACE, None, "subjects = ['payments']"),
        ("with a swap", ALLOWED, Some(&denied), "all = false"),
        ("demands TLS", "127.0.0.2", Some(&plain), "all = false"),
    ] {
        let scene = Scene::new("all = true").await;
        let mut tunnel = scene.client("billing").await;
        assert_eq!(
            status(&tunnel.connect_to(&scene.at(name)).await),
            200,
            "{row}"
        );
        tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&tunnel.answer().await.0), 200, "{row}");
        match settings {
            Some(settings) => scene.swap(settings),
            None => scene.report(again),
        }
        tunnel.ended().await;
        let end = scene.proxy.logged(|line| line["event"] == "end").await;
        assert_eq!(end["closing"], "revoked", "{row}: {end:#}");
    }
}

/// A swap that denies the name of a tunnel only is told; one that denies its address closes it.
#[tokio::test]
async fn where_addresses_are_enforced_a_swap_closes_what_leads_there() {
    let report = "all = true, addresses = 'enforce'";
    let mut scene = Scene::new(report).await;
    scene.policy = format!("report = {{{report}}}\n{}", scene.policy);
    let mut tunnel = scene.client("billing").await;
    assert_eq!(status(&tunnel.connect_to(&scene.at(ALLOWED)).await), 200);
    let reviewed = |generation: u64| {
        move |line: &Value| line["change"] == "reviewed" && line["generation"] == generation
    };

    scene.swap(&format!("hosts = {{deny = ['{ALLOWED}']}}"));
    let told = scene.proxy.logged(reviewed(2)).await;
    assert_eq!((&told["kept"], &told["closed"]), (&1.into(), &0.into()));
    tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&tunnel.answer().await.0), 200);

    scene.swap(&format!(
        "hosts = {{deny = ['{ALLOWED}']}}\nnetworks = {{deny = ['127.0.0.2/32']}}"
    ));
    tunnel.ended().await;
    let told = scene.proxy.logged(reviewed(3)).await;
    assert_eq!((&told["kept"], &told["closed"]), (&0.into(), &1.into()));
    let end = scene.proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "revoked");
}

/// The candidate is held against what the active policy says, and not against what was let pass.
#[tokio::test]
async fn a_candidate_is_compared_with_what_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = file(
        folder.path(),
        "candidate.toml",
        format!("hosts = {{deny = ['{ALLOWED}', '{REBOUND}']}}\n"),
    );
    let admin = Operator::new(folder.path());
    let more = format!(
        "{}[shadow]\nsettings = '{}'",
        admin.config().replace("admin = {", "").replace("}\n", "\n"),
        candidate.display()
    );
    let scene = Scene::with("all = true, addresses = 'enforce'", &more).await;
    until("it watches", async || {
        scene.proxy.admin_json("/shadow").await["watching"] == true
    })
    .await;
    for (name, expected) in [
        // The active one denies it, and it passed; the candidate allows it.
        (DENIED, 200),
        // The other way round.
        (ALLOWED, 200),
        // Both deny it; its address is refused.
        (REBOUND, 403),
    ] {
        assert_eq!(status(&scene.connect("billing", name).await), expected);
    }
    let mut report = Value::Null;
    until("so many are compared", async || {
        report = scene.proxy.admin_json("/shadow").await;
        report["compared"] == 3
    })
    .await;
    let counts = ["agreed", "loosened", "tightened", "other_reason"];
    let counts = counts.map(|name| report[name].as_u64());
    assert_eq!(counts, [1, 1, 1, 0].map(Some), "{report:#}");
    let loosens = report["differences"].as_array().unwrap().iter();
    let loosens = loosens.filter(|pair| pair["loosens"] == true);
    // The addresses are known, as it was looked up.
    let pairs: Vec<_> = loosens
        .map(|pair| (&pair["active"], &pair["candidate"]))
        .collect();
    assert_eq!(pairs, [(&json!("host-denied"), &json!("allow"))]);
}
