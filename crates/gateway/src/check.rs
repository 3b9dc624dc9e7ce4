//! What a start would do, short of listening: every file is read, the policy is loaded and tested.

use std::path::Path;

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    Config, StartError,
    admin::Access,
    assemble,
    config::{Bind, Way},
    identity::Identities,
    listen::tls::Files,
    policy::SelfTest,
};

/// One thing that was tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// What it is about.
    pub what: &'static str,
    /// What there is, or why it cannot be used.
    pub found: Result<String, StartError>,
}

/// Tries everything that a gateway needs to start, and goes on after what fails. Binds nothing. Must run inside a
/// tokio runtime; compiling the policy takes a while.
pub async fn check(config: &Config, test: Option<SelfTest>) -> Vec<Checked> {
    let mut checked = Vec::new();
    let mut tell = |what, found| checked.push(Checked { what, found });
    if let Err(error) = config.clone().sound_before() {
        tell("configuration", Err(error.into()));
    }
    tell("certificates", certificates(config));
    tell("identities", identities(config));
    if config.admin.enabled {
        tell("operators", operators(config));
    }
    tell("policy", policy(config, test).await);
    checked
}

/// Certificates and keys that fit, of which none has ended.
fn certificates(config: &Config) -> Result<String, StartError> {
    let listeners = config.listener.iter();
    let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
    let listeners = listeners.map(|tls| (&tls.certificate, Files::of_listener(tls)));
    let admin = Some(&config.admin).filter(|admin| admin.enabled);
    let admin = admin.and_then(|admin| admin.tls.as_ref());
    let admin = admin.map(|tls| (&tls.certificate, Files::of_admin(tls)));
    let mut ends = Vec::new();
    for (certificate, files) in listeners.chain(admin) {
        assemble::secured(Some(files))?;
        ends.push(end(certificate)?);
    }
    Ok(match ends.iter().min() {
        None => "no TLS".into(),
        Some(first) if ends.len() == 1 => format!("one, which ends {first}"),
        Some(first) => format!("{}, of which the first ends {first}", ends.len()),
    })
}

/// When the first certificate of a file ends; clients refuse it from then on.
fn end(file: &Path) -> Result<jiff::Timestamp, StartError> {
    let bad = |what: &str| StartError::File(format!("`{}`: {what}", file.display()));
    let der = CertificateDer::from_pem_file(file).map_err(|error| bad(&error.to_string()))?;
    let read = X509Certificate::from_der(&der);
    let (_, certificate) = read.map_err(|error| bad(&error.to_string()))?;
    let end = certificate.validity().not_after.timestamp();
    let end = jiff::Timestamp::from_second(end).map_err(|error| bad(&error.to_string()))?;
    match end <= jiff::Timestamp::now() {
        true => Err(bad(&format!("the certificate has ended at {end}"))),
        false => Ok(end),
    }
}

fn identities(config: &Config) -> Result<String, StartError> {
    Identities::read(config).map_err(|error| StartError::File(error.to_string()))?;
    let each = || config.listener.iter().map(|listener| &listener.identity);
    let asked = each().any(|identity| !identity.ways.is_empty());
    let credentials = each().any(|identity| identity.credentials.is_some());
    let users =
        each().any(|identity| identity.ways.contains(&Way::Unix) && !identity.users.is_empty());
    let said = match (asked, credentials, users) {
        (false, ..) => "nobody is asked for a name",
        (true, true, true) => "credentials and users are read",
        (true, true, false) => "credentials are read",
        (true, false, true) => "users are read",
        (true, false, false) => "no file of credentials, no users: there is nothing to read",
    };
    Ok(said.into())
}

fn operators(config: &Config) -> Result<String, StartError> {
    Access::new(&config.admin).map_err(StartError::File)?;
    let admin = &config.admin;
    let proof = match (&admin.token_file, &admin.tls, &admin.bind) {
        (Some(_), ..) => "a token",
        (None, Some(tls), _) if !tls.client_ca.is_empty() => "certificates",
        (.., Bind::Unix(_)) => "who may open the socket",
        _ => "no token, read only",
    };
    Ok(format!("{}: {proof}", admin.bind))
}

async fn policy(config: &Config, test: Option<SelfTest>) -> Result<String, StartError> {
    let mut config = config.clone();
    // What a service manager makes before a start is not there yet, and nothing is made here.
    config.policy.cache.take_if(|cache| !cache.is_dir());
    let (_, guard) = assemble::loaded(&config, Vec::new(), test).await?;
    let policies = guard.policies();
    let policies = policies.iter().map(crate::shown_policy);
    let policies: Vec<_> = policies.collect();
    Ok(policies.join(", then "))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// A certificate that ends in this year, and its key.
    fn write(folder: &Path, year: i32) -> (PathBuf, PathBuf) {
        let mut params = rcgen::CertificateParams::new(vec!["gateway.test".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let [chain, secret] = ["pem", "key"].map(|end| folder.join(format!("{year}.{end}")));
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        (chain, secret)
    }

    #[test]
    fn certificates_have_their_key_and_have_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let [(new, new_key), (old, old_key)] = [2999, 2001].map(|year| write(folder.path(), year));
        let ended = format!(
            "`{}`: the certificate has ended at 2001-01-02T00:00:00Z",
            old.display()
        );
        let mismatch = format!(
            "`{}`: the key is not that of the certificate in `{}`",
            old_key.display(),
            new.display()
        );
        for (certificate, key, found) in [
            (&new, &new_key, "one, which ends 2999-01-02T00:00:00Z"),
            (&old, &old_key, &*ended),
            (&new, &old_key, &*mismatch),
        ] {
            let text =
                format!("[[listener]]\ntls = {{certificate = {certificate:?}, key = {key:?}}}");
            let config = Config::parse(&text, Path::new("")).unwrap();
            let said = certificates(&config);
            let text = said
                .as_ref()
                .map_or_else(ToString::to_string, String::clone);
            assert_eq!(text, found);
        }
        assert_eq!(certificates(&Config::default()).unwrap(), "no TLS");
    }
}
