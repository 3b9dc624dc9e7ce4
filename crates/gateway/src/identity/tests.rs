use std::{net::SocketAddr, path::PathBuf};

use super::*;
use crate::listen::Proof;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse";

/// Where clients of the tests are.
const INSIDE: &str = "10.1.2.3:4000";
const OUTSIDE: &str = "192.0.2.1:4000";

/// A listener with these keys, its files, and who connects to it.
struct Case {
    config: config::Config,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Case {
    fn new(ways: &[Way], required: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials.toml");
        write(&file, PASSWORD);
        let mut config = config::Config::default();
        let identity = &mut config.listener[0].identity;
        identity.ways = ways.to_vec();
        identity.required = required;
        identity.credentials = Some(file.clone());
        let network = |text: &str, name: &str| (text.parse().unwrap(), name.parse().unwrap());
        identity.networks = [
            network("10.0.0.0/8", "wide"),
            network("10.1.0.0/16", "narrow"),
        ]
        .into();
        identity.users = [("7".to_owned(), "seven".parse().unwrap())].into();
        Self {
            config,
            file,
            _folder: folder,
        }
    }

    fn client(&self, address: ClientAddress) -> Client {
        Client {
            listener: Arc::new(self.config.listener[0].clone()),
            address,
            certificate: None,
        }
    }
}

fn write(file: &std::path::Path, password: &str) {
    let basic = basic_entry("web".parse().unwrap(), password).unwrap();
    let bearer = bearer_entry("jobs".parse().unwrap(), TOKEN).unwrap();
    std::fs::write(file, format!("{basic}\n{bearer}\n")).unwrap();
}

fn tcp(text: &str) -> ClientAddress {
    ClientAddress::Tcp(text.parse::<SocketAddr>().unwrap())
}

fn basic(pair: &str) -> Vec<u8> {
    use base64::Engine;
    let word = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {word}").into_bytes()
}

fn certificate() -> Arc<Proof> {
    let params = rcgen::CertificateParams::new(vec!["cert.test".into()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    Arc::new(Proof::unverified(
        params.self_signed(&key).unwrap().der().clone(),
    ))
}

/// `name/way`, `nobody`, or the code of the refusal.
fn told(result: Result<Option<Subject>, Refusal>) -> String {
    match result {
        Ok(Some(subject)) => format!("{subject}/{:?}", subject.way()),
        Ok(None) => "nobody".into(),
        Err(refusal) => format!("{:?} {}", refusal.kind, refusal.code),
    }
}

/// Everybody who may come, and what is known of them.
#[tokio::test]
async fn the_first_way_that_names_somebody_counts() {
    use Way::{Basic, Bearer, Mtls, Source, Unix};

    let good = basic(&format!("web:{PASSWORD}"));
    let bad = basic("web:wrong");
    let token = format!("Bearer {TOKEN}").into_bytes();
    let other = b"Negotiate YQ==".to_vec();
    let (good, bad) = (Presented::Header(&good), Presented::Header(&bad));
    let (token, other) = (Presented::Header(&token), Presented::Header(&other));
    let pair = Presented::Password {
        name: b"web",
        password: PASSWORD.as_bytes(),
    };
    let nothing = Presented::Nothing;
    let unix = ClientAddress::Unix { uid: 7, pid: None };
    let stranger = ClientAddress::Unix { uid: 8, pid: None };

    let no: bool = false;
    let yes: bool = true;
    for (row, ways, required, address, proves, presented, expected) in [
        ("no way", &[][..], no, tcp(INSIDE), yes, good, "nobody"),
        (
            "certificate",
            &[Mtls],
            yes,
            tcp(OUTSIDE),
            yes,
            nothing,
            "cert.test/Mtls",
        ),
        (
            "no certificate",
            &[Mtls],
            yes,
            tcp(OUTSIDE),
            no,
            nothing,
            "Denied identity-missing",
        ),
        (
            "password",
            &[Basic],
            yes,
            tcp(OUTSIDE),
            no,
            good,
            "web/Basic",
        ),
        (
            "password of SOCKS",
            &[Basic],
            yes,
            tcp(OUTSIDE),
            no,
            pair,
            "web/Basic",
        ),
        (
            "wrong password",
            &[Basic],
            no,
            tcp(OUTSIDE),
            no,
            bad,
            "Unauthenticated credentials-wrong",
        ),
        (
            "token",
            &[Bearer],
            yes,
            tcp(OUTSIDE),
            no,
            token,
            "jobs/Bearer",
        ),
        (
            "token where a password is",
            &[Basic],
            no,
            tcp(OUTSIDE),
            no,
            token,
            "Unauthenticated credentials-wrong",
        ),
        (
            "password where a token is",
            &[Bearer],
            no,
            tcp(OUTSIDE),
            no,
            pair,
            "Unauthenticated credentials-wrong",
        ),
        (
            "either",
            &[Basic, Bearer],
            yes,
            tcp(OUTSIDE),
            no,
            token,
            "jobs/Bearer",
        ),
        (
            "another scheme",
            &[Basic],
            no,
            tcp(OUTSIDE),
            no,
            other,
            "Unauthenticated credentials-wrong",
        ),
        (
            "nothing, required",
            &[Basic],
            yes,
            tcp(OUTSIDE),
            no,
            nothing,
            "Unauthenticated credentials-missing",
        ),
        (
            "nothing, not required",
            &[Basic],
            no,
            tcp(OUTSIDE),
            no,
            nothing,
            "nobody",
        ),
        ("user", &[Unix], yes, unix, no, nothing, "seven/Unix"),
        (
            "another user",
            &[Unix],
            yes,
            stranger,
            no,
            nothing,
            "uid-8/Unix",
        ),
        (
            "network",
            &[Source],
            yes,
            tcp(INSIDE),
            no,
            nothing,
            "narrow/Source",
        ),
        (
            "wider network",
            &[Source],
            yes,
            tcp("10.2.0.1:1"),
            no,
            nothing,
            "wide/Source",
        ),
        (
            "mapped",
            &[Source],
            yes,
            tcp("[::ffff:10.1.2.3]:1"),
            no,
            nothing,
            "narrow/Source",
        ),
        (
            "another network",
            &[Source],
            yes,
            tcp(OUTSIDE),
            no,
            nothing,
            "Denied identity-missing",
        ),
        (
            "credentials are not looked at",
            &[Source],
            yes,
            tcp(INSIDE),
            no,
            bad,
            "narrow/Source",
        ),
        (
            "certificate before password",
            &[Mtls, Basic],
            yes,
            tcp(OUTSIDE),
            yes,
            good,
            "cert.test/Mtls",
        ),
        (
            "password before certificate",
            &[Basic, Mtls],
            yes,
            tcp(OUTSIDE),
            yes,
            good,
            "web/Basic",
        ),
        (
            "password, else network",
            &[Basic, Source],
            yes,
            tcp(INSIDE),
            no,
            nothing,
            "narrow/Source",
        ),
        (
            "wrong is not made good",
            &[Basic, Source],
            yes,
            tcp(INSIDE),
            no,
            bad,
            "Unauthenticated credentials-wrong",
        ),
        (
            "nor another scheme",
            &[Bearer, Source],
            no,
            tcp(INSIDE),
            no,
            other,
            "Unauthenticated credentials-wrong",
        ),
        (
            "nor by a certificate",
            &[Basic, Mtls],
            yes,
            tcp(INSIDE),
            yes,
            bad,
            "Unauthenticated credentials-wrong",
        ),
    ] {
        let case = Case::new(ways, required);
        let identities = Identities::read(&case.config).unwrap();
        let mut client = case.client(address);
        client.certificate = proves.then(certificate);
        let subject = identities.subject(&client, presented).await;
        assert_eq!(told(subject), expected, "{row}");
    }
}

#[tokio::test]
async fn whom_an_envoy_vouches_for() {
    let (nobody, unusable) = ("Denied identity-missing", "Denied certificate-unusable");
    let rows = [
        ("a name", true, "spiffe://lab/a", "spiffe://lab/a/Envoy"),
        ("a subject", true, "CN=a,O=lab", "CN=a,O=lab/Envoy"),
        ("none, required", true, "", nobody),
        ("none", false, "", "nobody"),
        ("a space at the end", true, "a ", unusable),
        ("a line", false, "a\nb", unusable),
        ("too long", false, &"a".repeat(513), unusable),
    ];
    for (row, required, principal, expected) in rows {
        let case = Case::new(&[Way::Envoy], required);
        let identities = Identities::read(&case.config).unwrap();
        let client = case.client(tcp(INSIDE));
        let subject = identities.subject(&client, Presented::Principal(principal));
        let subject = subject.await;
        if let Ok(Some(subject)) = &subject {
            assert_eq!(subject.way(), Way::Envoy, "{row}");
            assert!(identities.holds(&client, Some(subject)), "{row}");
        }
        assert_eq!(told(subject), expected, "{row}");
    }
}

#[tokio::test]
async fn whom_an_envoy_vouches_for_counts_nowhere_else() {
    let case = Case::new(&[Way::Source], false);
    let identities = Identities::read(&case.config).unwrap();
    let client = case.client(tcp(OUTSIDE));
    let subject = identities.subject(&client, Presented::Principal("root"));
    assert_eq!(told(subject.await), "nobody");
}

#[tokio::test]
async fn a_listener_that_is_not_in_the_table_lets_in_who_needs_no_name() {
    let identities = Identities::default();
    let open = Case::new(&[], false).client(tcp(INSIDE));
    let closed = Case::new(&[Way::Source], false).client(tcp(INSIDE));
    let subject = identities.subject(&open, Presented::Nothing).await;
    assert_eq!(told(subject), "nobody");
    let subject = identities.subject(&closed, Presented::Nothing).await;
    assert_eq!(told(subject), "Denied identity-missing");
}

#[tokio::test]
async fn what_is_read_again_counts_and_what_cannot_be_read_does_not() {
    let case = Case::new(&[Way::Basic], true);
    let identities = Identities::read(&case.config).unwrap();
    let client = case.client(tcp(INSIDE));
    let ask = async |password: &str| {
        let header = basic(&format!("web:{password}"));
        told(
            identities
                .subject(&client, Presented::Header(&header))
                .await,
        )
    };
    assert_eq!(ask(PASSWORD).await, "web/Basic");

    std::fs::write(&case.file, "nonsense").unwrap();
    let error = identities.reload(&case.config).unwrap_err().to_string();
    assert!(error.contains("line 1: "), "{error}");
    assert_eq!(ask(PASSWORD).await, "web/Basic", "the last good one stays");

    write(&case.file, "another password");
    identities.reload(&case.config).unwrap();
    assert_eq!(
        ask(PASSWORD).await,
        "Unauthenticated credentials-wrong",
        "what was verified is forgotten"
    );
    assert_eq!(ask("another password").await, "web/Basic");
}

#[test]
fn credentials_are_asked_for_where_they_help() {
    const BASIC: &str = r#"Basic realm="pinfold", charset="UTF-8""#;
    const BEARER: &str = r#"Bearer realm="pinfold""#;
    for (ways, challenges) in [
        (&[][..], &[][..]),
        (&[Way::Mtls, Way::Source], &[]),
        (&[Way::Bearer, Way::Mtls, Way::Basic], &[BEARER, BASIC]),
    ] {
        let case = Case::new(ways, false);
        let identities = Identities::read(&case.config).unwrap();
        let client = case.client(tcp(INSIDE));
        assert_eq!(identities.challenges(&client), challenges);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mut case = Case::new(&[Way::Basic], true);
    case.config.listener[0].identity.credentials = Some("/nowhere/credentials.toml".into());
    insta::assert_snapshot!(
        Identities::read(&case.config).unwrap_err(),
        @"cannot read the credentials in `/nowhere/credentials.toml`: No such file or directory (os error 2)"
    );
}
