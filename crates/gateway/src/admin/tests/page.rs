//! The status page in a real browser, fed with what an attacker would like it to show.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    events::{HOSTILE, asked, decided, decision, kept, refused},
    *,
};
use crate::event::Sink;

/// Every text that the page shows is hostile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_wrote_stays_text() {
    let (admin, _) = admin(hostile());
    tell(&admin).await;
    let served = Served::start(&admin).await;
    let shown = |selector: &str| json!({"until": format!("document.querySelector({selector:?})?.textContent.includes('<script>')")});
    let steps = json!([
        {"until": "document.querySelector('#link').textContent === 'live'"},
        shown("#rows"), shown("#policies"), shown("#kept"), shown("#changes"), shown("#connections"),
        shown("#reasons"), shown("#shadow-state"), shown("#shadow-pairs"), shown("#shadow-sample"),
        shown("#limits"), shown("#phase"), shown("#version"), shown("#losses"),
        {"until": "String(document.querySelectorAll('main img, main script, main a, main iframe, [onerror]').length)"},
        {"until": "document.querySelector('#rows').textContent.includes('\\\\u{202e}')"},
    ]);
    let seen = served.browse(steps).await;
    let results = seen["results"].as_array().unwrap();
    assert_eq!(results[14], "0", "no element was made of what was shown");
    assert_eq!(seen["dialogs"], json!([]), "no script ran");
    assert_eq!(seen["console"], json!([]), "nothing was even tried");
    served.asked_for_nothing_else(&seen);
}

/// Should a text ever become markup: the browser refuses to run it, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_browser_is_told_to_refuse_markup_and_scripts() {
    let (admin, _) = admin(hostile());
    let served = Served::start(&admin).await;
    let steps = json!([
        {"until": "document.querySelector('#link').textContent === 'live'"},
        {"until": "(() => { try { document.body.innerHTML = '<img src=x onerror=alert(1)>' } catch (e) { return e.name } })()"},
        {"until": "(() => { const s = document.createElement('script'); try { s.textContent = 'alert(1)' } catch (e) { return e.name } document.body.append(s) })()"},
        {"until": "(() => { try { return eval('1') } catch (e) { return e.name } })()"},
        {"until": "(async () => { try { await fetch('http://localhost:1/') } catch (e) { return e.name } })()"},
        {"pause": 200},
    ]);
    let seen = served.browse(steps).await;
    assert_eq!(seen["results"][1], "TypeError");
    assert_eq!(seen["results"][2], "TypeError");
    assert_eq!(seen["results"][3], "EvalError");
    assert_eq!(seen["results"][4], "TypeError");
    assert_eq!(seen["dialogs"], json!([]));
    served.asked_for_nothing_else(&seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_appear_pause_and_are_found() {
    let (admin, _) = admin(Fake::default());
    let served = Served::start(&admin).await;
    let telling = {
        let admin = Arc::clone(&admin);
        let denied = decision("http://127.0.0.1:80/").await;
        tokio::spawn(async move {
            for number in 0_u64.. {
                let authority = format!("host-{number}.example:80");
                let event = decided(asked(&authority, "tenant"), Arc::clone(&denied));
                admin.recent.take(&event);
                admin.recent.take(&refused("a refusal"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let rows = "document.querySelectorAll('#rows tr').length";
    let steps = json!([
        {"until": format!("{rows} >= 6")},
        {"click": "#pause"},
        {"until": "document.querySelector('#pause').getAttribute('aria-pressed') === 'true'"},
        {"pause": 1000}, // What was to be drawn already is drawn.
        {"until": "window.paused = document.querySelector('#rows').textContent"},
        {"pause": 500},
        {"until": "document.querySelector('#rows').textContent === window.paused"},
        {"until": "/Resume \\([1-9]/.test(document.querySelector('#pause').textContent)"},
        {"key": "Enter"},
        {"until": "document.querySelector('#pause').getAttribute('aria-pressed') === 'false'"},
        {"until": "document.querySelector('#rows').textContent !== window.paused"},
        {"click": "#find"},
        {"text": "host-3.example"},
        {"until": format!("{rows} === 1")},
        {"until": "document.querySelector('#rows').textContent.includes('host-3.example:80')"},
        {"until": "Number(document.querySelector('#denied').textContent) > 3"},
        {"until": "document.querySelectorAll('#reasons li').length === 2"},
        {"until": "document.querySelectorAll('#latency tr').length === 4"},
        {"until": "document.querySelector('#rates path').getAttribute('d').length > 100"},
    ]);
    let seen = served.browse(steps).await;
    telling.abort();
    assert_eq!(seen["console"], json!([]));
    served.asked_for_nothing_else(&seen);
}

/// The whole way by keys, in the order of the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_reach_everything() {
    let (admin, _) = admin(hostile());
    let served = Served::start(&admin).await;
    let focused = |expected: &str| json!({"until": format!("document.activeElement.matches({expected:?})"), "within": 2000});
    let tab = json!({"key": "Tab"});
    let steps = json!([
        {"until": "document.querySelector('#link').textContent === 'live'"},
        tab, focused(".skip"),
        tab, focused("#which"),
        tab, focused("#find"),
        tab, focused("#pause"),
        {"key": " "},
        {"until": "document.querySelector('#pause').getAttribute('aria-pressed') === 'true'"},
        tab, focused("[role=region]"),
    ]);
    served.browse(steps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_gone_is_said_and_found_again() {
    let (admin, _) = admin(Fake::default());
    let served = Served::start(&admin).await;
    let link = |text: &str| json!({"until": format!("document.querySelector('#link').textContent === '{text}'"), "within": 30000});
    let (address, stop) = (served.address, served.stop.clone());
    let later = Arc::clone(&admin);
    let restarting = tokio::spawn(async move {
        while later.recent.summary()["streams"] == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.cancel();
        tokio::time::sleep(Duration::from_secs(8)).await;
        let again = Served::on(&later, TcpListener::bind(address).await.unwrap());
        later.recent.take(&refused("after it came back"));
        again
    });
    let steps = json!([
        link("live"),
        link("disconnected"),
        {"until": "!document.querySelector('#error').hidden && document.body.classList.contains('stale')"},
        link("live"),
        {"until": "document.querySelector('#rows').textContent.includes('after it came back')", "within": 20000},
        {"until": "document.querySelector('#error').hidden"},
    ]);
    served.browse(steps).await;
    restarting.await.unwrap().stop.cancel();
}

/// Pictures for people, where a folder is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fits_every_screen() {
    let (admin, _) = admin(hostile());
    tell(&admin).await;
    let served = Served::start(&admin).await;
    let folder = std::env::var_os("PINFOLD_PAGE_PICTURES");
    let mut steps = vec![
        json!({"until": "document.querySelector('#link').textContent === 'live'"}),
        json!({"pause": 1500}),
    ];
    for (name, dark, width) in [
        ("light", false, 1280),
        ("dark", true, 1280),
        ("narrow", false, 400),
        ("narrow-dark", true, 360),
    ] {
        steps.push(json!({"look": {"dark": dark, "width": width, "height": 1600}}));
        steps.push(json!({"pause": 300}));
        if let Some(folder) = &folder {
            let file = Path::new(folder).join(format!("{name}.png"));
            steps.push(json!({"screenshot": file}));
        }
        let wide = format!("document.documentElement.scrollWidth <= {width}");
        steps.push(json!({"until": wide, "within": 1000}));
    }
    served.browse(Value::Array(steps)).await;
}

/// An interface on loopback.
struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
}

impl Served {
    async fn start(admin: &Arc<Admin>) -> Self {
        Self::on(admin, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn on(admin: &Arc<Admin>, listener: TcpListener) -> Self {
        let stop = CancellationToken::new();
        let served = Self {
            address: listener.local_addr().unwrap(),
            stop: stop.clone(),
        };
        let admin = Arc::clone(admin);
        tokio::spawn(async move {
            while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
                let serving = Arc::clone(&admin).serve(accepted.unwrap().0, LOOPBACK);
                let stop = stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(serving).await });
            }
        });
        served
    }

    /// Runs the steps in a browser, and gives what it saw.
    async fn browse(&self, steps: Value) -> Value {
        let input = json!({"url": format!("http://{}/", self.address), "steps": steps}).to_string();
        let seen = tokio::task::spawn_blocking(move || {
            let driver =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/gateway/page.mjs");
            let mut driver = Command::new("node")
                .arg(driver)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("`cargo xtask setup` installs node");
            let mut stdin = driver.stdin.take().unwrap();
            stdin.write_all(input.as_bytes()).unwrap();
            drop(stdin);
            driver.wait_with_output().unwrap().stdout
        });
        let seen: Value = serde_json::from_slice(&seen.await.unwrap()).unwrap();
        assert_eq!(seen["failed"], Value::Null, "{seen:#}");
        seen
    }

    fn asked_for_nothing_else(&self, seen: &Value) {
        let own = format!("http://{}/", self.address);
        for url in seen["requests"].as_array().unwrap() {
            assert!(url.as_str().unwrap().starts_with(&own), "{url}");
        }
    }
}

/// A gateway in which every text is hostile.
fn hostile() -> Fake {
    let policy = json!({"layer": HOSTILE, "name": HOSTILE, "digest": "0123456789abcdef", "settings_digest": HOSTILE});
    let connection = json!({
        "request_id": "0a1b2c3d-7", "kind": "connect", "authority": HOSTILE, "dialed": "203.0.113.7:443",
        "subject": HOSTILE, "client": "127.0.0.1:50000", "policy": HOSTILE, "generation": 3,
        "age_ms": 754_000, "silent_ms": 12, "up": 5120, "down": 73_400_320,
    });
    let fake = Fake::default();
    let mut shown = fake.shown.lock().unwrap();
    shown.insert(
        "status",
        json!({
            "version": HOSTILE, "phase": HOSTILE, "uptime_s": 93_784,
            "listeners": [{"name": HOSTILE, "bind": HOSTILE}],
            "policy": {
                "generation": 3, "source": "admin", "policies": [policy],
                "last_error": {"step": HOSTILE, "error": HOSTILE},
            },
            "limits": [{"name": HOSTILE, "used": 120, "limit": 10_000}, {"name": "tunnels", "used": 7900, "limit": 8000}],
            "dropped": {HOSTILE: 3},
        }),
    );
    shown.insert(
        "connections",
        json!({"open": 12, "connections": [connection]}),
    );
    shown.insert(
        "shadow",
        json!({
            "watching": true, "candidate": policy, "compared": 1000, "agreed": 986, "loosened": 5,
            "tightened": 9, "other_reason": 0, "dropped": 0,
            "differences": [
                {"active": "allow", "candidate": HOSTILE, "count": 9, "loosens": false, "latest": []},
                {"active": HOSTILE, "candidate": "allow", "count": 5, "loosens": true, "latest": [
                    {"at": "2026-01-01T00:00:00Z", "authority": HOSTILE, "subject": HOSTILE},
                ]},
            ],
        }),
    );
    drop(shown);
    fake
}

async fn tell(admin: &Admin) {
    let denied = decision("http://127.0.0.1:80/").await;
    let public = decision("http://name.example/").await;
    for number in 0..12 {
        let authority = match number % 3 {
            0 => HOSTILE.to_owned(),
            _ => format!("host-{number}.example:443"),
        };
        let decision = if number % 2 == 0 { &denied } else { &public };
        let event = decided(asked(&authority, HOSTILE), Arc::clone(decision));
        admin.recent.take(&event);
    }
    admin.recent.take(&refused(HOSTILE));
    admin.recent.take(&kept(HOSTILE));
    let mut turned = crate::refusal::Refusal::new(crate::refusal::Kind::Denied, "request", "x");
    turned.code = HOSTILE.into();
    admin.recent.take(&crate::event::Event::Refused(Arc::new(
        crate::event::Turned {
            at: std::time::SystemTime::now(),
            id: crate::client::RequestId::next(),
            client: events::client(),
            subject: None,
            correlation: None,
            refusal: turned,
            detail: HOSTILE.into(),
        },
    )));
}
