use super::*;

#[cfg(unix)]
mod loaded;

/// RFC 4231, test case 1 with its key filled up, which HMAC does as well, and a key of 32 octets.
#[test]
fn the_mac_is_hmac_sha256() {
    let mut first = [0; SECRET_BYTES];
    first[..20].fill(0x0b);
    let mut second = [0; SECRET_BYTES];
    second[..4].copy_from_slice(b"Jefe");
    for (key, parts, expected) in [
        (
            first,
            [&b"Hi "[..], b"There"],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            second,
            [b"what do ya want ", b"for nothing?"],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ] {
        let mac = Secret(key).mac(&parts);
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}

#[test]
fn an_entry_is_good_under_its_own_key_only_and_unchanged_only() {
    let (key, other) = (Key("a.code".into()), Key("b.code".into()));
    let (secret, foreign) = (Secret([1; SECRET_BYTES]), Secret([2; SECRET_BYTES]));
    let good = Entry::write(&key, &secret, "name", b"code").unwrap();
    let entry = Entry::authentic(good.clone(), &key, &secret).unwrap();
    assert_eq!(entry.name(), Some("name"));
    assert!(
        Entry::authentic(good.clone(), &other, &secret).is_none(),
        "renamed"
    );
    assert!(
        Entry::authentic(good.clone(), &key, &foreign).is_none(),
        "foreign"
    );
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(
            Entry::authentic(changed, &key, &secret).is_none(),
            "octet {at}"
        );
        let cut = good[..at].to_vec();
        assert!(
            Entry::authentic(cut, &key, &secret).is_none(),
            "cut at {at}"
        );
    }
}

#[cfg(unix)]
#[test]
fn the_oldest_go_first_and_foreign_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, age: u64| {
        let path = dir.path().join(name);
        std::fs::write(&path, [0; 100]).unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    };
    for (name, age) in [
        ("key", 50),
        ("old.code", 40),
        ("left.tmp", 30),
        ("new.code", 20),
    ] {
        write(name, age);
    }
    let left = |limit| {
        unix::prune(&std::fs::File::open(dir.path()).unwrap().into(), limit).unwrap();
        let files = std::fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(left(300), ["key", "left.tmp", "new.code", "old.code"]);
    assert_eq!(left(299), ["key", "left.tmp", "new.code"]);
    assert_eq!(left(100), ["key", "new.code"]);
    assert_eq!(left(0), ["key"]);
}
