//! What loading keeps on disk, and what it believes of it.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use pinfold_addr::Target;
use serde_json::{Value, json};

use crate::{
    Limits, Request,
    policy::{
        Cache, Evaluator, LoadError, LoadOptions, Meter, Policies, Source, compiled::COMPILED,
        inspect_with, tests::guests,
    },
};

fn limits() -> Limits {
    Limits {
        policy_instances: 64,
        ..Limits::default()
    }
}

fn request(url: &str) -> Request {
    Request::new(Target::parse(url).unwrap())
}

fn settings(denied: &str) -> Value {
    json!({"hosts": {"deny": [denied]}})
}

fn load(dir: &Path, settings: Value) -> Policies {
    let cache = Some(Cache::open(dir).unwrap());
    Policies::new(&limits(), cache, Source::Shipped, settings).unwrap()
}

/// As a process that begins: with bounds of its own, so that no other load of this one has an engine like it.
fn begin(dir: &Path, settings: Value) -> Result<Evaluator, LoadError> {
    static INSTANCES: AtomicU32 = AtomicU32::new(100);
    let limits = Limits {
        policy_instances: INSTANCES.fetch_add(1, Ordering::Relaxed),
        ..Limits::default()
    };
    Evaluator::load_with(Source::Shipped, settings, &limits, &options(dir))
}

fn options(dir: &Path) -> LoadOptions {
    LoadOptions::new().code_cache(dir)
}

/// What was compiled on this thread in the meantime.
fn compiled<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = COMPILED.get();
    let done = run();
    (COMPILED.get() - before, done)
}

fn denies(policies: &Policies, host: &str) -> bool {
    let request = request(&format!("https://{host}/"));
    let answer = policies.current().judge().unwrap().check_target(&request);
    answer.is_err_and(|denial| denial.code() == "host-denied")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "code"))
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_loaded_before_is_taken_from_the_disk() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let first = load(&dir, settings("a.example.com"));
    assert_eq!(entries(&dir).len(), 2, "without settings, and with");
    assert_eq!((mode(&dir), mode(&dir.join("key"))), (0o700, 0o600));
    assert!(entries(&dir).iter().all(|entry| mode(entry) == 0o600));

    let (compiles, second) = compiled(|| load(&dir, settings("a.example.com")));
    assert_eq!(compiles, 0);
    assert_eq!(
        first.current().policy_ref(),
        second.current().policy_ref(),
        "names and digests are those of the first"
    );
    for policies in [&first, &second] {
        assert!(denies(policies, "a.example.com") && !denies(policies, "b.example.com"));
    }

    second
        .swap(Source::Shipped, settings("b.example.com"))
        .unwrap();
    assert!(!denies(&second, "a.example.com") && denies(&second, "b.example.com"));
    assert_eq!(entries(&dir).len(), 3);
    let refused = second.swap(Source::Shipped, json!({"prots": 1}));
    assert!(matches!(refused, Err(LoadError::Settings(_))));
    assert_eq!(
        entries(&dir).len(),
        3,
        "what is refused leaves nothing behind"
    );
}

/// The settings change more often than the component does: what has no settings in it is compiled once.
#[test]
fn other_settings_find_half_of_the_work_done() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let meter = |denied| {
        let (settings, options) = (settings(denied), options(&dir));
        Meter::load_with(Source::Shipped, settings, &limits(), &options).map(drop)
    };
    let each = |denied| {
        let options = options(&dir).configure_each(true);
        Evaluator::load_with(Source::Shipped, settings(denied), &limits(), &options).map(drop)
    };
    let inspected = || inspect_with(&Source::Shipped, &options(&dir)).map(drop);
    type Load<'a> = Box<dyn Fn() -> Result<(), LoadError> + 'a>;
    let begun = |settings: Value| -> Load<'_> {
        let dir = &dir;
        Box::new(move || begin(dir, settings.clone()).map(drop))
    };
    let refused = json!({"prots": 1});
    for (name, expected, load) in [
        ("inspected", 1, Box::new(inspected) as Load<'_>),
        ("inspected again", 0, Box::new(inspected)),
        ("refused by the schema", 0, begun(refused.clone())),
        (
            "refused by the policy",
            0,
            begun(json!({"hosts": {"allow": ["*."]}})),
        ),
        ("loaded", 1, begun(settings("a.example.com"))),
        ("loaded again", 0, begun(settings("a.example.com"))),
        ("other settings", 1, begun(settings("b.example.com"))),
        ("metered", 1, Box::new(|| meter("a.example.com"))),
        ("metered again", 0, Box::new(|| meter("a.example.com"))),
        (
            "configured one by one",
            1,
            Box::new(|| each("a.example.com")),
        ),
        ("with other settings", 0, Box::new(|| each("c.example.com"))),
    ] {
        let (compiles, loaded) = compiled(load);
        assert_eq!(compiles, expected, "{name}: {loaded:?}");
        assert_eq!(
            loaded.is_err(),
            name.starts_with("refused"),
            "{name}: {loaded:?}"
        );
    }
}

#[test]
fn a_component_that_is_refused_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    for name in [
        "load-import-interface",
        "load-describe-loops",
        "load-wrong-version",
    ] {
        let source = Source::Bytes(guests::component(name).into());
        let inspection = inspect_with(&source, &options(&dir)).unwrap();
        assert!(inspection.fault.is_some(), "{name}");
        assert!(entries(&dir).is_empty(), "{name}");
    }
}

/// The entry that is made meanwhile.
fn made_by(dir: &Path, make: impl FnOnce()) -> PathBuf {
    let before = entries(dir);
    make();
    let mut made = entries(dir);
    made.retain(|entry| !before.contains(entry));
    let [entry] = &made[..] else {
        panic!("one entry expected: {made:?}")
    };
    entry.clone()
}

#[test]
fn nothing_on_the_disk_is_believed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    Cache::open(&dir).unwrap();
    let readable = made_by(&dir, || {
        inspect_with(&Source::Shipped, &options(&dir)).unwrap();
    });
    let frozen = made_by(&dir, || {
        drop(begin(&dir, settings("a.example.com")).unwrap());
    });
    let other = made_by(&dir, || {
        drop(begin(&dir, settings("b.example.com")).unwrap());
    });
    let load_frozen = || {
        let policies = load(&dir, settings("a.example.com"));
        assert!(denies(&policies, "a.example.com") && !denies(&policies, "b.example.com"));
    };
    let refuse = || {
        let refused = begin(&dir, json!({"prots": 1}));
        assert!(matches!(refused, Err(LoadError::Settings(_))));
    };
    for (about, entry, load) in [
        ("with settings", &frozen, &load_frozen as &dyn Fn()),
        ("without", &readable, &refuse),
    ] {
        spoilt_in_each_way(&dir, parent.path(), entry, &other, |how| {
            let spoilt = fs::symlink_metadata(entry).unwrap().ino();
            let (compiles, ()) = compiled(load);
            assert!(compiles > 0, "{about}, {how}: believed");
            let replaced = fs::symlink_metadata(entry).unwrap();
            assert!(
                replaced.is_file() && replaced.ino() != spoilt,
                "{about}, {how}: not replaced"
            );
            let (compiles, ()) = compiled(load);
            assert_eq!(compiles, 0, "{about}, {how}: good again");
        });
    }
}

/// Spoils an entry in one way after the other.
fn spoilt_in_each_way(dir: &Path, parent: &Path, entry: &Path, other: &Path, check: impl Fn(&str)) {
    let good = fs::read(entry).unwrap();
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    let elsewhere = parent.join("elsewhere");
    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let spoil: [(&str, Spoil<'_>); 7] = [
        ("one bit", Box::new(|| fs::write(entry, &flipped).unwrap())),
        (
            "half of it",
            Box::new(|| fs::write(entry, &good[..middle]).unwrap()),
        ),
        ("nothing in it", Box::new(|| fs::write(entry, "").unwrap())),
        ("for others to write", Box::new(|| chmod(entry, 0o620))),
        (
            "a symbolic link",
            Box::new(|| {
                fs::rename(entry, &elsewhere).unwrap();
                symlink(&elsewhere, entry).unwrap();
            }),
        ),
        (
            "of other settings",
            Box::new(|| {
                fs::remove_file(entry).unwrap();
                fs::copy(other, entry).map(drop).unwrap();
            }),
        ),
        (
            "of another key",
            Box::new(|| {
                let mut key = fs::read(dir.join("key")).unwrap();
                key[0] = key[0].wrapping_add(1);
                fs::write(dir.join("key"), key).unwrap();
            }),
        ),
    ];
    for (name, spoil) in spoil {
        spoil();
        check(name);
    }
}

#[test]
fn what_is_in_use_is_not_the_oldest() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    drop(load(&dir, settings("a.example.com")));
    let long_ago = SystemTime::now() - Duration::from_secs(1_000);
    for entry in entries(&dir) {
        let file = File::options().write(true).open(entry).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    drop(load(&dir, settings("a.example.com")));
    let used = entries(&dir);
    let used = used.iter().filter(|entry| {
        let used = fs::metadata(entry).unwrap().modified().unwrap();
        used > long_ago + Duration::from_secs(500)
    });
    assert_eq!(used.count(), 1, "the one with the settings in it was read");
}

#[test]
fn a_directory_that_others_reach_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let place = |name: &str| parent.path().join(name);
    let refused = |path: &Path| match Cache::open(path) {
        Err(LoadError::CodeCache { problem, .. }) => problem,
        other => panic!("{}: {other:?}", path.display()),
    };
    for (name, bits) in [("group", 0o770), ("world", 0o707)] {
        fs::create_dir(place(name)).unwrap();
        chmod(&place(name), bits);
        assert_eq!(refused(&place(name)), "others may write in it");
    }
    Cache::open(&place("good")).unwrap();
    symlink(place("good"), place("link")).unwrap();
    refused(&place("link"));
    refused(&place("no/parent"));
    fs::write(place("file"), "").unwrap();
    refused(&place("file"));
    chmod(&place("good/key"), 0o640);
    assert!(refused(&place("good")).starts_with("`key` in it"));
    chmod(&place("good/key"), 0o600);
    fs::write(place("good/key"), "short").unwrap();
    assert!(refused(&place("good")).starts_with("`key` in it"));
}

#[test]
fn who_configures_changes_no_verdict() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cache");
    let load = |each| {
        let options = options(&dir).configure_each(each);
        let settings = settings("a.example.com");
        Evaluator::load_with(Source::Shipped, settings, &limits(), &options).unwrap()
    };
    let (frozen, each) = (load(false), load(true));
    assert_eq!(frozen.policy(), each.policy());
    for (host, is_denied) in [("a.example.com", true), ("b.example.com", false)] {
        let request = request(&format!("https://{host}/"));
        let ask = |policy: &Evaluator| policy.start().unwrap().check_target(&request);
        assert_eq!(ask(&frozen).is_err(), is_denied, "{host}");
        assert_eq!(ask(&frozen), ask(&each), "{host}");
    }
}
