//! The runtime through the seam that the guard uses, against policies that misbehave.

use std::{net::IpAddr, sync::Arc, time::Duration};

use pinfold_addr::{Class, Reason, Stage, Target};
use serde_json::{Value, json};

use super::{Active, LoadError, Policies, Source, inspect};
use crate::{Denial, JudgedAddress, Limits, Request, Terms};

#[path = "../../../tests/fixtures/guests/mod.rs"]
pub(crate) mod guests;
use guests::Expect;

fn says(error: &LoadError, text: &str) -> bool {
    error.to_string().contains(text)
}

fn limits() -> Limits {
    Limits {
        policy_instances: 64,
        ..Limits::default()
    }
}

fn fixture(name: &str) -> Source {
    Source::Bytes(guests::component(name).into())
}

fn load(name: &str) -> Policies {
    Policies::new(&limits(), None, fixture(name), json!({}))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn request(url: &str) -> Request {
    Request::new(Target::parse(url).unwrap())
}

fn answer(address: &str) -> JudgedAddress {
    let address: IpAddr = address.parse().unwrap();
    JudgedAddress {
        address,
        class: Class::Public,
        embedded: vec![],
        granted: false,
        denial: None,
    }
}

/// Both questions about one hop.
fn judge(active: &Arc<Active>) -> Result<Vec<Option<Denial>>, Denial> {
    let mut judge = active.judge()?;
    let request = request("https://example.com/path?query");
    judge.check_target(&request)?;
    judge.check_addresses(&request, &[], &[answer("192.0.2.1"), answer("2001:db8::1")])
}

#[test]
fn every_fixture_that_loads_ends_in_its_own_reason() {
    let good = load("good").current();
    for (name, expect) in guests::all() {
        if !matches!(expect, Expect::Load(_)) {
            check(&name, &expect);
            assert_eq!(
                judge(&good).unwrap(),
                [None, None],
                "the good policy after `{name}`"
            );
        }
    }
}

#[test]
fn every_fixture_that_does_not_load_has_its_own_error() {
    for (name, expect) in guests::all() {
        if let Expect::Load(text) = expect {
            let loaded = Policies::new(&limits(), None, fixture(&name), json!({}));
            let error = loaded.map(drop).expect_err(&name);
            assert!(error.to_string().starts_with(&text), "{name}: {error}");
            assert!(!error.hint().is_empty());
        }
    }
}

fn check(name: &str, expect: &Expect) {
    let active = load(name).current();
    // More often than there are spares: warm and cold instances behave alike.
    for _ in 0..20 {
        let mut judge = active.judge().unwrap();
        let request = request("https://example.com/");
        let first = judge.check_target(&request);
        let second = judge.check_addresses(&request, &[], &[answer("192.0.2.1")]);
        match expect {
            Expect::Allow => assert_eq!(
                (first, second),
                (Ok(Terms::default()), Ok(vec![None])),
                "{name}"
            ),
            Expect::Target(code) => {
                assert_refused(name, &first.unwrap_err(), code);
                assert!(
                    second.is_err(),
                    "{name}: a judge that refused has answered again"
                );
            }
            Expect::Addresses(code) => {
                assert_eq!(first, Ok(Terms::default()), "{name}");
                assert_refused(name, &second.unwrap_err(), code);
            }
            Expect::Load(_) => unreachable!(),
        }
        assert!(
            judge.check_target(&request).is_err(),
            "{name}: an instance was used twice"
        );
    }
}

fn assert_refused(name: &str, denial: &Denial, code: &str) {
    assert_eq!(denial.code(), code, "{name}: {}", denial.detail());
    assert_eq!(
        denial.stage() == Stage::Policy,
        code.starts_with("policy-"),
        "{name}"
    );
}

#[test]
fn a_runaway_policy_is_stopped_in_time() {
    let active = load("loop-in-check-target").current();
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert!(
            active
                .judge()
                .unwrap()
                .check_target(&request("http://a.example/"))
                .is_err()
        );
    }
    // 20 x 6 ms on a quiet machine; many times that on a busy one.
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn the_shipped_policy_loads_and_judges() {
    let policies = Policies::new(&limits(), None, Source::Shipped, json!({})).unwrap();
    let active = policies.current();
    assert_eq!(active.policy_ref().generation, 1);
    assert_eq!(active.policy_ref().digest.len(), 64);
    let mut judge = active.judge().unwrap();
    let request = request("https://example.com/");
    judge.check_target(&request).unwrap();
    let private = JudgedAddress {
        class: Class::Private,
        ..answer("10.0.0.1")
    };
    let verdicts = judge.check_addresses(&request, &[], &[private]).unwrap();
    let denial = verdicts[0].as_ref().unwrap();
    assert_eq!(
        (denial.stage(), denial.code()),
        (Stage::Resolve, "address-not-public")
    );

    let mut judge = active.judge().unwrap();
    let denial = judge
        .check_target(&self::request("ftp://example.com/"))
        .unwrap_err();
    assert_eq!(denial.code(), "scheme-denied");
}

#[test]
fn settings_of_the_shipped_policy_are_checked_against_its_schema() {
    let load =
        |settings: Value| Policies::new(&limits(), None, Source::Shipped, settings).map(drop);
    let Err(LoadError::Settings(problems)) = load(json!({"no_such_setting": 1})) else {
        panic!("accepted")
    };
    assert!(!problems.is_empty());
}

/// Who mends settings hears of everything at once: of what the schema knows, and of what only the
/// policy does.
#[test]
fn problems_of_schema_and_policy_are_reported_together() {
    let settings = json!({
        "prots": [80],
        "ports": [70_000],
        "hosts": {"allow": ["a.example.com", "-.example"]},
    });
    let loaded = Policies::new(&limits(), None, Source::Shipped, settings);
    let Err(LoadError::Settings(problems)) = loaded else {
        panic!("accepted")
    };
    let mut paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["/hosts/allow/1", "/ports/0", "/prots"],
        "{problems:?}"
    );
}

#[test]
fn what_the_embedder_adds_is_bounded() {
    let active = load("good").current();
    let base = || request("http://a.example/");
    let long = |n: usize| "x".repeat(n);
    let many = |n: usize| (0..n).fold(base(), |request, _| request.label("k", "v"));
    for (name, request, ok) in [
        ("nothing", base(), true),
        ("labels", many(32), true),
        ("too many labels", many(33), false),
        ("long labels", base().label("k", long(4095)), true),
        ("too long labels", base().label("k", long(4096)), false),
        ("long subject", base().subject(long(1024)), true),
        ("too long subject", base().subject(long(1025)), false),
        ("too long method", base().method(long(65)), false),
    ] {
        let answer = active.judge().unwrap().check_target(&request);
        assert_eq!(answer.is_ok(), ok, "{name}");
        if let Err(denial) = answer {
            assert_eq!(denial.reason(), Some(Reason::RequestOversized), "{name}");
        }
    }
}

#[test]
fn an_exhausted_pool_is_busy_and_recovers() {
    let limits = Limits {
        policy_instances: 3,
        policy_spares: 2,
        ..Limits::default()
    };
    let policies = Policies::new(&limits, None, fixture("good"), json!({})).unwrap();
    let active = policies.current();
    let held: Vec<_> = std::iter::from_fn(|| active.judge().ok())
        .take(10)
        .collect();
    assert_eq!(held.len(), 3);
    assert_eq!(
        active.judge().unwrap_err().reason(),
        Some(Reason::PolicyBusy)
    );
    drop(held);
    assert!(judge(&active).is_ok());
}

#[test]
fn what_was_used_does_not_block_the_pool() {
    let limits = Limits {
        policy_instances: 8,
        policy_spares: 2,
        ..Limits::default()
    };
    let policies = Policies::new(&limits, None, fixture("good"), json!({})).unwrap();
    let active = policies.current();
    for _ in 0..50 {
        judge(&active).unwrap();
        // A spare may be under way to the shelf, where the next judge finds it.
        wait_until("all places usable", || {
            std::iter::from_fn(|| active.judge().ok())
                .take(10)
                .collect::<Vec<_>>()
                .len()
                == 8
        });
    }
}

#[test]
fn spares_are_refilled_and_dropped_at_a_swap() {
    let policies = load("good");
    let old = policies.current();
    let spares = limits().policy_spares;
    assert_eq!(old.member().stock().len(), spares);
    for _ in 0..4 * spares {
        judge(&old).unwrap();
    }
    wait_until("refilled", || old.member().stock().len() > spares / 4);
    policies.swap(fixture("deny"), json!({})).unwrap();
    assert_eq!(old.member().stock().len(), 0);
    // Who still holds the old policy is still judged by it, in instances made on the spot.
    for _ in 0..12 {
        assert!(judge(&old).is_ok());
    }
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(old.member().stock().len(), 0);
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not {what} in 5 s");
}

#[test]
fn spares_of_many_policies_leave_room_for_use() {
    let limits = Limits {
        policy_instances: 13,
        ..Limits::default()
    };
    let policies: Vec<_> = (0..4)
        .map(|_| Policies::new(&limits, None, fixture("good"), json!({})).unwrap())
        .collect();
    let spares: usize = policies
        .iter()
        .map(|p| p.current().member().stock().len())
        .sum();
    assert_eq!(spares, 3);
    drop(policies);
    // The places of dropped policies are free again.
    let policies = Policies::new(&limits, None, fixture("good"), json!({})).unwrap();
    assert_eq!(policies.current().member().stock().len(), 3);
}

#[test]
fn new_settings_of_a_known_component_are_not_those_before() {
    let deny = |name: &str| json!({"hosts": {"deny": [name]}});
    let policies = Policies::new(&limits(), None, Source::Shipped, deny("a.example")).unwrap();
    let code = |host: &str| {
        let request = request(&format!("https://{host}/"));
        let answer = policies.current().judge().unwrap().check_target(&request);
        answer.err().map(|denial| denial.code().to_owned())
    };
    let first = policies.current().policy_ref().clone();
    assert_eq!((code("a.example.com"), code("b.example.com")), (None, None));
    policies
        .swap(Source::Shipped, deny("b.example.com"))
        .unwrap();
    assert_eq!(
        (code("a.example.com"), code("b.example.com").as_deref()),
        (None, Some("host-denied"))
    );
    policies
        .swap(Source::Shipped, deny("a.example.com"))
        .unwrap();
    assert_eq!(
        (code("a.example.com").as_deref(), code("b.example.com")),
        (Some("host-denied"), None)
    );
    let last = policies.current().policy_ref().clone();
    assert_eq!(first.digest, last.digest);
    assert_ne!(first.settings_digest, last.settings_digest);
}

#[test]
fn a_bad_swap_keeps_the_old_policy_and_its_generation() {
    let policies = load("good");
    let generations = policies.generation();
    for bad in [
        Source::Bytes(b"garbage".as_slice().into()),
        fixture("load-wrong-version"),
        fixture("load-import-function"),
        fixture("load-configure-traps"),
        Source::Path("/nonexistent/policy.wasm".into()),
    ] {
        policies.swap(bad, json!({})).unwrap_err();
        assert!(judge(&policies.current()).is_ok());
    }
    policies
        .swap(fixture("load-configure-problem"), json!({}))
        .unwrap_err();
    assert_eq!(*generations.borrow(), 1);
    assert_eq!(policies.swap(fixture("deny"), json!({})).unwrap(), 2);
    assert_eq!(policies.swap(fixture("good"), json!({"a": 1})).unwrap(), 3);
    assert_eq!(*generations.borrow(), 3);
    assert_eq!(policies.current().policy_ref().generation, 3);
}

#[test]
fn a_request_keeps_its_policy_through_swaps() {
    let policies = load("good");
    let mut before = policies.current().judge().unwrap();
    policies.swap(fixture("deny"), json!({})).unwrap();
    assert!(before.check_target(&request("http://a.example/")).is_ok());
    assert_eq!(before.active().policy_ref().generation, 1);
    let mut after = policies.current().judge().unwrap();
    assert!(after.check_target(&request("http://a.example/")).is_err());
}

#[test]
fn swaps_under_load_lose_nothing() {
    let policies = Arc::new(load("good"));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let worker = {
        let (policies, stop) = (Arc::clone(&policies), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut judged = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let active = policies.current();
                let allowed = judge(&active).is_ok();
                // Odd generations are `good`, even ones are `deny`.
                assert_eq!(allowed, active.policy_ref().generation % 2 == 1);
                judged += 1;
            }
            judged
        })
    };
    for _ in 0..3 {
        policies.swap(fixture("deny"), json!({})).unwrap();
        policies
            .swap(fixture("load-start-traps"), json!({}))
            .unwrap_err();
        policies.swap(fixture("good"), json!({})).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(worker.join().unwrap() > 100);
}

#[test]
fn sources_are_bounded_and_regular() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.wasm");
    std::fs::write(&path, guests::component("good")).unwrap();
    let load = |limits: &Limits, source| Policies::new(limits, None, source, json!({})).map(drop);
    assert_eq!(load(&limits(), Source::Path(path.clone())), Ok(()));
    let small = Limits {
        component_bytes: 100,
        ..limits()
    };
    assert!(matches!(
        load(&small, Source::Path(path)),
        Err(LoadError::TooLarge { .. })
    ));
    assert!(matches!(
        load(&small, fixture("good")),
        Err(LoadError::TooLarge { .. })
    ));
    let folder = Source::Path(dir.path().into());
    assert!(says(
        &load(&limits(), folder).unwrap_err(),
        "not a regular file"
    ));
    let bytes = |bytes: &[u8]| Source::Bytes(bytes.into());
    for (name, source) in [
        ("nothing", bytes(b"")),
        ("text", bytes(b"(component)")),
        ("a core module", bytes(b"\0asm\x01\0\0\0")),
        ("half a component", bytes(&guests::component("good")[..200])),
    ] {
        let error = load(&limits(), source).unwrap_err();
        assert!(
            matches!(error, LoadError::NotComponent(_)),
            "{name}: {error}"
        );
    }
    let empty = load(&limits(), bytes(b"\0asm\x0d\0\x01\0")).unwrap_err();
    assert!(
        says(
            &empty,
            "does not export `pinfold:policy/settings@0.1.0#describe`"
        ),
        "{empty}"
    );
}

/// What the snapshot's tool asserts about a component is not what every valid component is like.
#[test]
fn components_of_strange_shapes_are_refused_and_end_nothing() {
    for (name, module, error) in [
        ("a second memory", "(module (memory 1))", "policy-memory"),
        (
            "a mutable global that nobody can read",
            "(module (global (mut i32) (i32.const 0)))",
            "shape",
        ),
        (
            "a table that is filled",
            "(module (table 1 funcref) (func (export \"f\") (table.fill (i32.const 0) (ref.null func) (i32.const 1))))",
            "table.fill",
        ),
        (
            "an export in the tool's name",
            "(module (global (export \"__wizer_global_0\") (mut i32) (i32.const 0)))",
            "__wizer_",
        ),
        (
            "a start function that traps",
            "(module (func $boom unreachable) (start $boom))",
            "policy-trapped",
        ),
    ] {
        let bytes = with_module("good", module);
        let loaded = Policies::new(&limits(), None, Source::Bytes(bytes.into()), json!({}));
        let refused = loaded.map(drop).expect_err(name);
        assert!(says(&refused, error), "{name}: {refused}");
    }
    let harmless = with_module("good", "(module (func (export \"f\")))");
    Policies::new(&limits(), None, Source::Bytes(harmless.into()), json!({})).unwrap();
}

/// A fixture with one core module more, instantiated with nothing.
fn with_module(name: &str, module: &str) -> Vec<u8> {
    let mut component = guests::component(name);
    let index = sections(&component).filter(|id| *id == CORE_MODULE).count();
    let module = wat::parse_str(module).unwrap();
    let instance = [1, 0, u8::try_from(index).unwrap(), 0];
    for (id, content) in [(CORE_MODULE, &module[..]), (CORE_INSTANCE, &instance[..])] {
        component.push(id);
        component.extend([
            content.len() as u8 & 0x7f | 0x80,
            (content.len() >> 7) as u8,
        ]);
        component.extend(content);
    }
    component
}

const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;

/// The kinds of the sections of a component.
fn sections(component: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = &component[8..];
    std::iter::from_fn(move || {
        let (id, after) = rest.split_first()?;
        let len = after.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let size = after[..len]
            .iter()
            .rev()
            .fold(0, |n, byte| n << 7 | usize::from(byte & 0x7f));
        rest = &after[len + size..];
        Some(*id)
    })
}

#[test]
fn inspection_shows_what_a_component_could_do() {
    let seen = inspect(&fixture("good")).unwrap();
    assert_eq!(seen.world.as_deref(), Some("pinfold:policy/policy@0.1.0"));
    assert!(seen.imports.is_empty());
    assert!(
        seen.exports
            .contains(&"pinfold:policy/decide@0.1.0#check-target".to_owned())
    );
    assert_eq!(seen.description.unwrap().name, "fixture");
    assert_eq!(seen.fault, None);

    let seen = inspect(&fixture("load-import-interface")).unwrap();
    assert_eq!(seen.imports, ["secrets#get"]);
    assert!(seen.world.is_some() && seen.description.is_none());
    assert_eq!(
        seen.fault.as_deref(),
        Some("the policy imports `secrets#get`")
    );

    let seen = inspect(&fixture("load-wrong-version")).unwrap();
    assert!(seen.world.is_none() && seen.description.is_none());

    let seen = inspect(&fixture("load-describe-loops")).unwrap();
    assert!(seen.fault.unwrap().contains("policy-timeout"));
}

/// Memory of this process that is resident, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_over_many_faults() {
    let cheap = [
        "unreachable",
        "verdicts-none",
        "return-out-of-bounds",
        "grow-without-end",
    ];
    let policies: Vec<_> = cheap.iter().map(|name| load(name).current()).collect();
    let fail = |times: usize| {
        for _ in 0..times {
            for active in &policies {
                judge(active).unwrap_err();
            }
        }
    };
    fail(50);
    let before = resident();
    fail(500);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after 2,000 faults");
}
