use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::time::timeout;

use super::*;
use crate::{
    event::Exchange,
    live::{
        Live,
        testing::{Bench, asked},
    },
};

const BOUND: Duration = Duration::from_secs(5);

/// Answers by authority; without an answer it allows. Each answer takes its time.
#[derive(Default)]
struct Fake {
    answers: Mutex<HashMap<String, Result<Terms, Denial>>>,
    takes: Mutex<Duration>,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn answer(&self, host: &str, answer: Result<Terms, Denial>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(format!("{host}:443"), answer);
    }

    fn forget(&self) {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    fn time(&self) -> Duration {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, authority: String) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(authority);
    }

    fn asked(&self) -> usize {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Judge for Arc<Fake> {
    async fn judge(&self, entry: &Entry, _: Mode) -> Result<Terms, Denial> {
        let authority = entry.asked.authority.clone();
        self.note(authority.clone());
        sleep(self.time()).await;
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(&authority)
            .cloned()
            .unwrap_or(Ok(Terms::default()))
    }
}

fn rules() -> Rules {
    Rules {
        bound: BOUND,
        report: Report::default(),
    }
}

struct Scene {
    bench: Bench,
    connection: pinfold::Connection,
    fake: Arc<Fake>,
    swaps: watch::Sender<u64>,
    _review: tokio_util::task::AbortOnDropHandle<()>,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let (connection, _) = bench.connection("a.example.com").await;
        let (fake, swaps) = (Arc::new(Fake::default()), watch::Sender::new(1));
        let (registry, generations) = (Arc::clone(&bench.registry), swaps.subscribe());
        let judge = Arc::clone(&fake);
        tokio::time::pause();
        let review = tokio::spawn(async move {
            review(&registry, generations, &judge, rules).await;
        });
        let scene = Self {
            bench,
            connection,
            fake,
            swaps,
            _review: tokio_util::task::AbortOnDropHandle::new(review),
        };
        scene.settle().await;
        scene
    }

    fn enter(&self, host: &str) -> Live {
        self.bench
            .enter_with(asked(host, Exchange::Connect), &self.connection)
    }

    fn swap(&self) {
        self.swaps.send_modify(|generation| *generation += 1);
    }

    /// Lets the review do what it can do without waiting.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    fn reviewed(&self) -> Vec<(u64, usize, usize)> {
        let reviewed = |event| match event {
            Event::Policy(event) => match event.what {
                PolicyChange::Reviewed {
                    generation,
                    kept,
                    closed,
                    ..
                } => Some((generation, kept, closed)),
                _ => None,
            },
            _ => None,
        };
        self.bench
            .told
            .all()
            .into_iter()
            .filter_map(reviewed)
            .collect()
    }
}

fn refusal() -> Result<Terms, Denial> {
    Err(Denial::new(Reason::AddressFloor, "internal"))
}

async fn told(live: &Live) -> Option<Closing> {
    timeout(Duration::from_millis(1), live.told_to_close())
        .await
        .ok()
}

#[tokio::test]
async fn a_swap_closes_what_is_refused_and_nothing_else() {
    let scene = Scene::new().await;
    let (good, bad) = (scene.enter("good.example"), scene.enter("bad.example"));
    scene.fake.answer("bad.example", refusal());
    scene.settle().await;
    assert_eq!(
        (told(&good).await, told(&bad).await),
        (None, None),
        "before the swap"
    );
    scene.swap();
    scene.settle().await;
    assert_eq!(told(&bad).await, Some(Closing::Revoked));
    assert_eq!(told(&good).await, None);
    assert_eq!(scene.reviewed(), [(2, 1, 1)]);
    drop(bad);
    let ended = &scene.bench.told.ended()[0];
    assert_eq!(ended.denial.as_ref().unwrap().code(), "address-floor");
}

#[tokio::test]
async fn what_is_not_judged_in_time_is_closed() {
    let scene = Scene::new().await;
    let live = scene.enter("slow.example");
    scene.fake.takes(Duration::from_secs(60));
    scene.swap();
    let began = Instant::now();
    assert_eq!(live.told_to_close().await, Closing::Revoked);
    assert!(
        began.elapsed() <= BOUND + Duration::from_millis(2),
        "{:?}",
        began.elapsed()
    );
    scene.settle().await;
    assert_eq!(scene.reviewed(), [(2, 0, 1)]);
    let trouble = |event: &Event| matches!(event, Event::Trouble { what: "review", .. });
    assert!(scene.bench.told.all().iter().any(trouble));
}

#[tokio::test]
async fn a_busy_policy_is_asked_again_and_then_fails_closed() {
    let busy = Err(Denial::new(Reason::PolicyBusy, ""));
    let scene = Scene::new().await;
    let live = scene.enter("a.example.com");
    scene.fake.answer("a.example.com", busy.clone());
    scene.swap();
    sleep(Duration::from_secs(1)).await;
    assert!(scene.fake.asked() > 2);
    scene.fake.forget();
    sleep(BOUND).await;
    assert_eq!(told(&live).await, None, "it was allowed in the end");
    scene.fake.answer("a.example.com", busy);
    scene.swap();
    sleep(BOUND + Duration::from_millis(2)).await;
    assert_eq!(told(&live).await, Some(Closing::Revoked));
}

#[tokio::test]
async fn an_entry_that_an_older_generation_judged_is_not_missed() {
    let scene = Scene::new().await;
    scene.fake.answer("late.example", refusal());
    scene.swap();
    scene.settle().await;
    assert_eq!(scene.reviewed(), [(2, 0, 0)]);
    // Judged by generation 1, listed only now.
    let late = scene.enter("late.example");
    scene.settle().await;
    assert_eq!(told(&late).await, Some(Closing::Revoked));
    assert_eq!(scene.reviewed().len(), 1, "only swaps are reported");
}

#[tokio::test]
async fn a_swap_during_a_review_starts_it_again() {
    let scene = Scene::new().await;
    let live = scene.enter("a.example.com");
    scene.fake.takes(Duration::from_secs(1));
    scene.swap();
    sleep(Duration::from_millis(500)).await;
    scene.fake.answer("a.example.com", refusal());
    scene.swap();
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(told(&live).await, Some(Closing::Revoked));
    assert_eq!(
        scene.reviewed(),
        [(3, 0, 1)],
        "the generation between is not reported"
    );
}

#[tokio::test]
async fn swaps_that_follow_quickly_put_no_closing_off() {
    let scene = Scene::new().await;
    let live = scene.enter("slow.example");
    scene.fake.takes(Duration::from_secs(60));
    let began = Instant::now();
    let swapping = async {
        loop {
            scene.swap();
            sleep(Duration::from_millis(900)).await;
        }
    };
    tokio::select! {
        closing = live.told_to_close() => assert_eq!(closing, Closing::Revoked),
        () = swapping => {}
    }
    assert!(
        began.elapsed() <= BOUND + Duration::from_millis(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn more_than_are_judged_at_once_are_all_judged() {
    let scene = Scene::new().await;
    let all: Vec<_> = (0..5 * AT_ONCE)
        .map(|n| scene.enter(&format!("n{n}.example")))
        .collect();
    scene.fake.takes(Duration::from_millis(100));
    scene.swap();
    sleep(Duration::from_millis(510)).await;
    assert_eq!(scene.reviewed(), [(2, all.len(), 0)]);
}

#[tokio::test]
async fn tighter_terms_shorten_what_is_open() {
    let scene = Scene::new().await;
    let live = scene.enter("a.example.com");
    let mut terms = Terms::default();
    terms.total_timeout = Some(Duration::from_secs(30));
    scene.fake.answer("a.example.com", Ok(terms));
    scene.swap();
    let began = Instant::now();
    assert_eq!(live.told_to_close().await, Closing::Lifetime);
    assert!(began.elapsed() <= Duration::from_secs(31));
}

#[tokio::test]
async fn plain_tunnels_are_closed_when_tls_is_demanded() {
    let scene = Scene::new().await;
    let (plain, unknown) = (scene.enter("a.example.com"), scene.enter("b.example.com"));
    plain.is_plain();
    let mut terms = Terms::default();
    terms.https_only = true;
    scene.fake.answer("a.example.com", Ok(terms));
    scene.fake.answer("b.example.com", Ok(terms));
    scene.swap();
    scene.settle().await;
    assert_eq!(told(&plain).await, Some(Closing::Revoked));
    assert_eq!(told(&unknown).await, None);
    assert!(unknown.needs_tls());
    assert_eq!(scene.reviewed(), [(2, 1, 1)]);
}

/// As a reload says it: no swap, and another mode.
#[tokio::test]
async fn who_is_no_longer_reported_is_judged_again() {
    let scene = Scene::new().await;
    let entered = |connection: &pinfold::Connection, host| {
        let live = scene
            .bench
            .enter_with(asked(host, Exchange::Connect), connection);
        live.is_plain();
        live
    };
    tokio::time::resume();
    let reported = scene.bench.reported("b.example.com").await;
    tokio::time::pause();
    let mut terms = Terms::default();
    terms.https_only = true;
    for host in ["a.example.com", "b.example.com"] {
        scene.fake.answer(host, Ok(terms));
    }
    let enforced = entered(&scene.connection, "a.example.com");
    // The mode of now is not that of then, which is seen when it is listed.
    let late = entered(&reported, "b.example.com");
    assert_eq!(late.told_to_close().await, Closing::Revoked);
    scene.bench.registry.look_again();
    scene.settle().await;
    assert_eq!(enforced.told(), None, "what was enforced is judged already");
    assert_eq!(scene.fake.asked(), 1);
}
