use super::*;
use crate::identity::{basic_entry, bearer_entry};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn name(text: &str) -> SubjectName {
    text.parse().unwrap()
}

fn basic(subject: &str, password: &str) -> String {
    format!("{}\n", basic_entry(name(subject), password).unwrap())
}

fn bearer(subject: &str, token: &str) -> String {
    format!("{}\n", bearer_entry(name(subject), token).unwrap())
}

fn parsed(text: &str) -> Credentials {
    Credentials::parse(text)
        .map_err(|wrong| wrong.message)
        .unwrap()
}

#[test]
fn a_password_is_verified_and_then_remembered() {
    let credentials = parsed(&basic("web", "correct horse"));
    assert!(credentials.remembered("web", b"correct horse").is_none());
    for (user, password, known) in [
        ("web", "correct horse", true),
        ("web", "correct horsf", false),
        ("web", "", false),
        ("nobody", "correct horse", false),
    ] {
        let found = credentials.verify(user, password.as_bytes());
        assert_eq!(found.is_some(), known, "{user} {password}");
        let again = credentials.remembered(user, password.as_bytes());
        assert_eq!(again, found, "{user} {password}");
    }
}

#[test]
fn a_name_may_have_an_old_password_and_a_new_one() {
    let [old, new] = ["the old password", "the new password"];
    let credentials =
        parsed(&(basic("web", old) + &basic("web", new) + &basic("a", "of another one")));
    for password in [old, new] {
        let found = credentials.verify("web", password.as_bytes());
        let found = found.map(|found| found.subject);
        assert_eq!(found, Some(name("web")), "{password}");
    }
    assert_eq!(credentials.verify("a", old.as_bytes()), None);
}

#[test]
fn any_name_costs_the_same() {
    let file = basic("web", "correct horse") + &basic("web", "another horse");
    let credentials = parsed(&(file + &basic("a", "of another one")));
    // The password of the decoy is somebody's: it must open nothing under another name.
    for (name, password) in [
        ("web", "correct horse"),
        ("web", "wrong"),
        ("a", "of another one"),
        ("a", "correct horse"),
        ("nobody", "correct horse"),
    ] {
        hash::CHECKS.set(0);
        let found = credentials.verify(name, password.as_bytes());
        assert_eq!(hash::CHECKS.get(), 2, "{name} {password}");
        let own = matches!(
            (name, password),
            ("web", "correct horse") | ("a", "of another one")
        );
        assert_eq!(found.is_some(), own, "{name} {password}");
    }
    assert_eq!(credentials.decoy.as_ref().unwrap().cost(), 2 * 19 * 1024);
}

#[test]
fn what_expired_is_not_known_any_more() {
    // Written by hand: an entry that has ended is not made.
    let until = |entry: Entry, time: &str| format!("{entry}\nexpires = {time}\n");
    let entry = || bearer_entry(name("a"), TOKEN).unwrap();
    for (time, valid) in [
        ("2001-01-01T00:00:00Z", false),
        ("9000-01-01T00:00:00Z", true),
        ("9000-01-01T00:00:00+02:00", true),
    ] {
        let credentials = parsed(&until(entry(), time));
        assert_eq!(
            credentials.bearer(TOKEN.as_bytes()).is_some(),
            valid,
            "{time}"
        );
    }
    let past = basic_entry(name("web"), "correct horse").unwrap();
    let credentials = parsed(&until(past, "2001-01-01T00:00:00Z"));
    assert!(credentials.verify("web", b"correct horse").is_none());
}

#[test]
fn what_is_remembered_expires_and_is_bounded() {
    let credentials = parsed(&basic("web", "correct horse"));
    let known = |expires: &str| Known {
        what: name("web"),
        entry: Voucher([0; 32]),
        expires: Some(expires.parse().unwrap()),
    };
    credentials.remember("web", b"a", known("2001-01-01T00:00:00Z"));
    assert!(credentials.remembered("web", b"a").is_none());
    for number in 0..=MAX_VERIFIED {
        let password = number.to_string();
        credentials.remember("web", password.as_bytes(), known("9000-01-01T00:00:00Z"));
    }
    let verified = credentials.verified.lock().unwrap();
    assert_eq!(verified.known.len(), MAX_VERIFIED);
    assert_eq!(verified.order.len(), MAX_VERIFIED);
}

#[test]
fn name_and_password_are_not_run_together() {
    let credentials = parsed(&basic("web", "correct horse"));
    let known = Known {
        what: name("web"),
        entry: Voucher([0; 32]),
        expires: None,
    };
    credentials.remember("web", b"1a", known);
    assert!(credentials.remembered("web1", b"a").is_none());
}

#[test]
fn a_token_is_known_by_its_sum_alone() {
    let credentials = parsed(&bearer("jobs", TOKEN));
    let found = credentials.bearer(TOKEN.as_bytes()).unwrap();
    assert_eq!(found.subject, name("jobs"));
    assert_eq!(credentials.bearer(&TOKEN.as_bytes()[1..]), None);
    assert_eq!(credentials.bearer(b""), None);
    assert_eq!(Credentials::default().bearer(TOKEN.as_bytes()), None);
}

#[test]
fn a_file_is_read_strictly_and_the_error_has_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials.toml");
    let good = bearer("a", TOKEN);
    let password = basic("b", "a long password");
    for (row, text, told) in [
        (
            "not TOML",
            "[[credential]".into(),
            "line 1: unclosed array table, expected `]`",
        ),
        (
            "unknown key",
            format!("{good}user = 1"),
            "line 5: unknown field `user`, expected one of `subject`, `kind`, `hash`, `expires`",
        ),
        (
            "a key of the file",
            "credentials = []".into(),
            "line 1: unknown field `credentials`, expected `credential`",
        ),
        (
            "no hash",
            "[[credential]]\nsubject = \"a\"\nkind = \"basic\"".into(),
            "line 1: missing field `hash`",
        ),
        (
            "a plain password",
            "[[credential]]\nsubject = \"a\"\nkind = \"basic\"\nhash = \"hunter2\"".into(),
            "line 1: the hash of `a` is not an Argon2id hash (`$argon2id$v=19$m=19456,t=2,p=1$...`)",
        ),
        (
            "another kind",
            good.replace("bearer", "basic"),
            "line 1: the hash of `a` is not an Argon2id hash (`$argon2id$v=19$m=19456,t=2,p=1$...`)",
        ),
        (
            "the same token",
            format!("{good}{good}"),
            "line 5: the token of `a` is there twice",
        ),
        (
            "three passwords",
            password.repeat(3),
            "line 9: `b` has more than 2 passwords",
        ),
        (
            "a date",
            format!("{good}expires = 2027-01-31"),
            "line 1: `expires` of `a` is no time",
        ),
        (
            "no subject",
            good.replace("\"a\"", "\"\""),
            "line 2: a subject has a name",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Credentials::read(&file).unwrap_err().to_string();
        let place = format!("`{}`, ", file.display());
        assert_eq!(error.strip_prefix(&place), Some(told), "{row}: {error}");
    }
    let folder = Credentials::read(dir.path()).unwrap_err().to_string();
    assert!(folder.ends_with(": it is not a regular file"), "{folder}");
}

#[test]
fn an_entry_reads_as_it_was_written() {
    let odd = r#"O"Brien \ Co"#;
    let entry = bearer_entry(name(odd), TOKEN).unwrap();
    let entry = entry.until("2999-01-31T00:00:00Z").unwrap();
    insta::assert_snapshot!(entry, @r#"
    [[credential]]
    subject = "O\"Brien \\ Co"
    kind = "bearer"
    hash = "sha256:3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9"
    expires = 2999-01-31T00:00:00Z
    "#);
    let credentials = parsed(&entry.to_string());
    let found = credentials.bearer(TOKEN.as_bytes()).unwrap();
    assert_eq!(found.subject, name(odd));
    assert!(
        bearer_entry(name("a"), TOKEN)
            .unwrap()
            .until("tomorrow")
            .is_err()
    );
}

#[test]
fn an_entry_vouches_until_it_is_changed_or_has_expired() {
    let old = basic("web", "correct horse");
    let found = parsed(&old).verify("web", b"correct horse").unwrap();
    let until = |time: &str| format!("{}expires = {time}\n", old);
    for (row, file, expected) in [
        ("the same file", old.clone(), true),
        ("beside others", basic("a", "of another one") + &old, true),
        ("until later", until("2999-01-31T00:00:00Z"), true),
        ("expired", until("2001-01-31T00:00:00Z"), false),
        ("gone", basic("a", "of another one"), false),
        ("another password", basic("web", "correct horse"), false),
        ("empty", String::new(), false),
    ] {
        assert_eq!(parsed(&file).vouches(&found.voucher), expected, "{row}");
    }
}

#[test]
fn a_password_is_remembered_beyond_a_reload_while_its_entry_stays() {
    let kept = basic("kept", "correct horse");
    let before = parsed(&(kept.clone() + &basic("changed", "correct horse")));
    for user in ["kept", "changed"] {
        assert!(before.verify(user, b"correct horse").is_some());
    }
    let mut after = parsed(&(kept.clone() + &basic("changed", "correct horse")));
    after.inherit(&before);
    hash::CHECKS.set(0);
    assert!(after.remembered("kept", b"correct horse").is_some());
    assert!(after.remembered("kept", b"correct horsf").is_none());
    assert!(after.remembered("changed", b"correct horse").is_none());
    let mut expired = parsed(&(kept + "expires = 2001-01-31T00:00:00Z\n"));
    expired.inherit(&after);
    assert!(expired.remembered("kept", b"correct horse").is_none());
    assert_eq!(hash::CHECKS.get(), 0);
}
