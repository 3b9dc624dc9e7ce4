use super::{
    testing::{config, hello, hello_of},
    *,
};

fn named(name: &str) -> Option<Opening> {
    Some(Opening::Tls(Some(name.into())))
}

/// Looks at ever more bytes, the pieces cut where `cuts` says.
fn look(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Option<Opening> {
    let mut opener = Opener::default();
    let cuts = cuts.into_iter().chain([bytes.len()]);
    cuts.map(|cut| &bytes[..cut])
        .find_map(|bytes| opener.look(bytes))
}

/// The same handshake message, in records of `size` bytes.
fn in_records(bytes: &[u8], size: usize) -> Vec<u8> {
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&[HANDSHAKE, 3, 1][..], &length, piece].concat()
    };
    bytes[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn a_hello_is_read_wherever_it_is_cut() {
    let bytes = hello("www.example.com");
    for cut in 0..=bytes.len() {
        assert_eq!(look(&bytes, [cut]), named("www.example.com"), "{cut}");
    }
    assert_eq!(
        look(&bytes, 0..bytes.len()),
        named("www.example.com"),
        "byte by byte"
    );
    for cut in 0..bytes.len() {
        assert_eq!(look(&bytes[..cut], 0..cut), None, "{cut}");
    }
}

#[test]
fn a_hello_is_read_over_several_records() {
    let bytes = hello("www.example.com");
    for size in [1, 2, 5, 40, 100, bytes.len()] {
        let records = in_records(&bytes, size);
        assert_eq!(
            look(&records, []),
            named("www.example.com"),
            "{size}, at once"
        );
        assert_eq!(
            look(&records, 0..records.len()),
            named("www.example.com"),
            "{size}"
        );
    }
}

#[test]
fn what_follows_a_hello_is_not_looked_at() {
    let bytes = [hello("a.example"), vec![0x17, 3, 3, 0, 2, 1, 2]].concat();
    assert_eq!(look(&bytes, []), named("a.example"));
}

#[test]
fn names_are_compared_in_one_spelling() {
    let mut loud = hello("www.example.com");
    let at = loud
        .windows(15)
        .position(|window| window == b"www.example.com")
        .unwrap();
    loud[at..at + 15].copy_from_slice(b"wWw.ExAmPle.CoM");
    assert_eq!(look(&loud, []), named("www.example.com"));
    // The root dot stands in the place of a letter.
    loud[at..at + 15].copy_from_slice(b"www.example.co.");
    assert_eq!(look(&loud, []), named("www.example.co"));
}

#[test]
fn a_hello_without_a_name_is_tls_all_the_same() {
    let mut silent = config();
    silent.enable_sni = false;
    assert_eq!(
        look(&hello_of(silent, "a.example"), []),
        Some(Opening::Tls(None))
    );
    assert_eq!(
        look(&hello("192.0.2.1"), []),
        Some(Opening::Tls(None)),
        "an address"
    );
    assert_eq!(
        look(&hello("2001:db8::1"), []),
        Some(Opening::Tls(None)),
        "IPv6"
    );
}

#[test]
fn what_is_not_tls_is_known_at_once() {
    let rows: &[(&str, &[u8])] = &[
        ("HTTP", b"GET / HTTP/1.1\r\n"),
        ("one letter", b"G"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n"),
        ("SSH", b"SSH-2.0-x"),
        ("git", b"0032git-upload-pack"),
        ("PostgreSQL", &[0, 0, 0, 8, 4, 210, 22, 47]),
        ("zero", &[0]),
        ("high bytes", &[0x80, 0x2e, 0x02]),
        ("high bytes, no version of TLS", &[0xff, 0xfe, 0x01, 0x2f]),
        ("begins like a record by accident", &[0x16, 0x3a]),
    ];
    for (row, bytes) in rows {
        assert_eq!(look(bytes, []), Some(Opening::NotTls), "{row}");
    }
    for more in [&[0x16][..], &[0x80], &[0x80, 0x2e], &[0x80, 0x2e, 1]] {
        assert_eq!(look(more, []), None, "{more:?}");
    }
}

#[test]
fn what_could_be_tls_must_be_readable() {
    let bytes = hello("www.example.com");
    let with = |at: usize, byte| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        changed
    };
    let at = bytes
        .windows(15)
        .position(|window| window == b"www.example.com")
        .unwrap();
    // Lenient servers skip it, and then read a name that nobody has seen.
    let alert = [&[0x15, 3, 1, 0, 2, 1, 0][..], &bytes].concat();
    let rows: &[(&str, Vec<u8>)] = &[
        ("an alert before it", alert),
        (
            "a change of cipher before it",
            [&[0x14, 3, 3, 0, 1, 1][..], &bytes].concat(),
        ),
        (
            "data before it",
            [&[0x17, 3, 3, 0, 1, 1][..], &bytes].concat(),
        ),
        ("an unknown version of records", with(1, 5)),
        ("another message", with(5, 2)),
        ("a name that is none", with(at, b' ')),
        ("a name with a zero", with(at + 3, 0)),
        (
            "rubbish in a record",
            [vec![0x16, 3, 1, 0, 4], vec![0xff; 4]].concat(),
        ),
        ("a hello of SSL 2, of TLS 1.2", vec![0x80, 0x2e, 1, 3, 3, 0]),
        ("a hello of SSL 2, long", vec![0xff, 0xff, 1, 3, 1]),
        ("a hello of SSL 2, its own", vec![0x80, 0x2e, 1, 0, 2]),
        ("an empty record", vec![0x16, 3, 1, 0, 0]),
    ];
    for (row, bytes) in rows {
        let opening = look(bytes, []);
        assert!(
            matches!(opening, Some(Opening::Unreadable(_))),
            "{row}: {opening:?}"
        );
        let opening = look(bytes, 0..bytes.len());
        assert!(
            matches!(opening, Some(Opening::Unreadable(_))),
            "{row}: {opening:?}"
        );
    }
}

#[test]
fn any_change_of_a_byte_is_read_or_refused() {
    let bytes = hello("www.example.com");
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            // No panic; and no more than one answer is asked for.
            let _ = look(&changed, [at, at + 1]);
        }
    }
}
