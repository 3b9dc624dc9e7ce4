//! What a start would do, short of listening: every file is read, the policy is loaded and tested.

use crate::{Config, StartError, admin::Access, assemble, identity::Identities, policy::SelfTest};

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
    tell("certificates", certificates(config));
    tell("identities", identities(config));
    if config.admin.enabled {
        tell("operators", operators(config));
    }
    tell("policy", policy(config, test).await);
    checked
}

fn certificates(config: &Config) -> Result<String, StartError> {
    let listeners = config.listener.iter();
    let listeners = listeners.filter_map(|listener| listener.tls.as_ref());
    let listeners = listeners.map(crate::listen::tls::Files::of_listener);
    let admin = Some(&config.admin).filter(|admin| admin.enabled);
    let admin = admin.and_then(|admin| admin.tls.as_ref());
    let admin = admin.map(crate::listen::tls::Files::of_admin);
    let mut count = 0_usize;
    for files in listeners.chain(admin) {
        assemble::secured(Some(files))?;
        count += 1;
    }
    Ok(match count {
        0 => "no TLS".into(),
        1 => "one certificate with its key".into(),
        several => format!("{several} certificates with their keys"),
    })
}

fn identities(config: &Config) -> Result<String, StartError> {
    Identities::read(config).map_err(|error| StartError::File(error.to_string()))?;
    let listeners = config.listener.iter();
    let ways = listeners.flat_map(|listener| &listener.identity.ways);
    Ok(match ways.count() {
        0 => "nobody is asked for a name".into(),
        _ => "credentials and users are read".into(),
    })
}

fn operators(config: &Config) -> Result<String, StartError> {
    Access::new(&config.admin).map_err(StartError::File)?;
    Ok(match (&config.admin.token_file, &config.admin.tls) {
        (Some(_), _) => "a token".into(),
        (None, Some(tls)) if !tls.client_ca.is_empty() => "certificates".into(),
        _ => "no token".into(),
    })
}

async fn policy(config: &Config, test: Option<SelfTest>) -> Result<String, StartError> {
    let (_, guard) = assemble::loaded(config, Vec::new(), test).await?;
    let policies = guard.policies();
    let policies = policies.iter().map(crate::shown_policy);
    let policies: Vec<_> = policies.collect();
    Ok(policies.join(", then "))
}
