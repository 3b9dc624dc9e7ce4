//! What the benches share: settings of a given size, and one request in two forms.
//!
//! Every figure is a ratio of medians measured in one run against a named baseline. `cargo xtask bench`
//! runs all of them and writes `docs/bench.md`.
#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up measures nothing"
)]

use pinfold::policy::{Evaluator, Source};
use pinfold::{JudgedAddress, Limits, Request, addr::Target};
use pinfold_egress::Egress;
use serde_json::{Value, json};

/// Settings with `n` allowed and `n` denied patterns, half of them exact, half suffixes. The host that
/// is judged matches the last allowed one.
pub fn settings(n: usize) -> Value {
    let patterns = |kind: &str| -> Vec<String> {
        let pattern = |i| match i % 2 {
            0 => format!("host{i}.{kind}.example.com"),
            _ => format!("*.zone{i}.{kind}.example.com"),
        };
        (0..n).map(pattern).collect()
    };
    let networks = ["192.0.2.0/24", "198.51.100.0/24"];
    json!({
        "hosts": { "allow": patterns("good"), "deny": patterns("bad") },
        "networks": { "deny": networks },
    })
}

/// The URL that is judged under `settings(n)`; `n` is even.
pub fn url(n: usize) -> String {
    format!(
        "https://www.zone{}.good.example.com/feed?page=1",
        n.saturating_sub(1)
    )
}

/// The shipped policy as a component.
pub fn sandboxed(n: usize, spares: usize) -> Evaluator {
    let mut limits = Limits::default();
    limits.policy_spares = spares;
    Evaluator::load(Source::Shipped, settings(n), &limits).expect("the shipped policy loads")
}

/// The same policy, compiled natively.
pub fn native(n: usize) -> Egress {
    pinfold_policy::configure(&settings(n).to_string()).expect("the settings are right")
}

/// One request, and the one address its name resolves to, as the host holds them.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// What stage two sees.
    pub answers: [JudgedAddress; 1],
}

impl Question {
    /// The question for `settings(n)`.
    pub fn new(policy: &Evaluator, n: usize) -> Self {
        let target = Target::parse(&url(n)).expect("a URL");
        let address = "93.184.216.34".parse().expect("an address");
        Self {
            request: Request::new(target).method("GET").subject("tenant-7"),
            answers: [policy.classify(address)],
        }
    }
}

/// The same question, as a native policy is asked it.
pub fn native_question(n: usize) -> (pinfold_policy::Request, pinfold_policy::Resolution) {
    let host = format!("www.zone{}.good.example.com", n.saturating_sub(1));
    let mut target = pinfold_policy::Target::new("https", host.as_str(), 443);
    target.path = "/feed".into();
    target.query = Some("page=1".into());
    let request = pinfold_policy::Request::new(target)
        .method("GET")
        .subject("tenant-7");
    let address = "93.184.216.34".parse().expect("an address");
    (request, pinfold_policy::Resolution::of([address]))
}
