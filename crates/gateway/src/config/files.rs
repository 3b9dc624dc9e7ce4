//! The files that a configuration names: relative to its folder, and there.

use std::{
    fs, mem,
    path::{Path, PathBuf},
};

use super::{
    Admin, Bind, Config, ListenerTls, LogTo, PolicyConfig,
    problem::{Key, Problem},
};

/// What a path leads to.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Leads {
    /// To a file that is read.
    File,
    /// To a file or a folder that is read.
    Vectors,
    /// To what is made or written: its folder has to be there.
    Made,
}

/// Makes every path relative to a folder.
pub(super) fn within(config: &mut Config, folder: &Path) {
    for (_, _, path) in paths(config) {
        *path = folder.join(mem::take(path));
    }
}

/// Files that are not there.
pub(super) fn missing(config: &Config) -> Vec<Problem> {
    absent_among(config, |leads| leads != Leads::Made)
}

/// Folders that are not there, of what is made at a start: a service manager may make them before.
pub(super) fn unmade(config: &Config) -> Vec<Problem> {
    absent_among(config, |leads| leads == Leads::Made)
}

fn absent_among(config: &Config, which: fn(Leads) -> bool) -> Vec<Problem> {
    let mut config = config.clone();
    let paths = paths(&mut config).into_iter();
    let paths = paths.filter(|(_, leads, _)| which(*leads));
    paths
        .filter_map(|(key, leads, path)| absent(key, leads, path))
        .collect()
}

fn absent(key: Key, leads: Leads, path: &Path) -> Option<Problem> {
    let shown = path.display();
    if leads == Leads::Made {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())?;
        let hint = "make it: nothing else is made here";
        let message = || format!("the folder of `{shown}` is not there");
        return (!folder.is_dir()).then(|| Problem::new(key, message(), hint));
    }
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("`{shown}` cannot be read: {error}");
            let hint = "paths are relative to the folder of the configuration";
            return Some(Problem::new(key, message, hint));
        }
    };
    let fits = found.is_file() || (leads == Leads::Vectors && found.is_dir());
    let message = || format!("`{shown}` is not a regular file");
    (!fits).then(|| Problem::new(key, message(), "name a file: nothing else is read here"))
}

type Named<'a> = (Key, Leads, &'a mut PathBuf);

/// Every path, with its key.
fn paths(config: &mut Config) -> Vec<Named<'_>> {
    let mut paths = Vec::new();
    for (at, listener) in config.listener.iter_mut().enumerate() {
        let key = Key::of("listener").at(at);
        bind(&mut listener.bind, key.then("bind"), &mut paths);
        if let Some(tls) = &mut listener.tls {
            of_tls(tls, &key.then("tls"), &mut paths);
        }
        let credentials = listener.identity.credentials.as_mut();
        paths.extend(credentials.map(|path| (key.then("identity.credentials"), Leads::File, path)));
    }
    of_policy(&mut config.policy, &mut paths);
    if let Some(shadow) = &mut config.shadow {
        let key = Key::of("shadow");
        pair(&key, &mut shadow.file, &mut shadow.settings, &mut paths);
    }
    of_admin(&mut config.admin, &mut paths);
    if let LogTo::File(path) = &mut config.records.log.to {
        paths.push((Key::of("records.log").then("to"), Leads::Made, path));
    }
    paths
}

fn bind<'a>(bind: &'a mut Bind, key: Key, paths: &mut Vec<Named<'a>>) {
    if let Bind::Unix(path) = bind {
        paths.push((key, Leads::Made, path));
    }
}

fn of_tls<'a>(tls: &'a mut ListenerTls, key: &Key, paths: &mut Vec<Named<'a>>) {
    paths.push((key.then("certificate"), Leads::File, &mut tls.certificate));
    paths.push((key.then("key"), Leads::File, &mut tls.key));
    list(
        &key.then("client_ca"),
        Leads::File,
        &mut tls.client_ca,
        paths,
    );
    list(
        &key.then("client_crl"),
        Leads::File,
        &mut tls.client_crl,
        paths,
    );
}

fn of_policy<'a>(policy: &'a mut PolicyConfig, paths: &mut Vec<Named<'a>>) {
    let key = Key::of("policy");
    pair(&key, &mut policy.file, &mut policy.settings, paths);
    for (at, layer) in policy.layer.iter_mut().enumerate() {
        let key = key.then("layer").at(at);
        pair(&key, &mut layer.file, &mut layer.settings, paths);
    }
    list(
        &key.then("vectors"),
        Leads::Vectors,
        &mut policy.vectors,
        paths,
    );
    let cache = policy.cache.as_mut();
    paths.extend(cache.map(|path| (key.then("cache"), Leads::Made, path)));
}

fn of_admin<'a>(admin: &'a mut Admin, paths: &mut Vec<Named<'a>>) {
    if !admin.enabled {
        return;
    }
    let key = Key::of("admin");
    bind(&mut admin.bind, key.then("bind"), paths);
    let token = admin.token_file.as_mut();
    paths.extend(token.map(|path| (key.then("token_file"), Leads::File, path)));
    if let Some(tls) = &mut admin.tls {
        let key = key.then("tls");
        paths.push((key.then("certificate"), Leads::File, &mut tls.certificate));
        paths.push((key.then("key"), Leads::File, &mut tls.key));
        list(
            &key.then("client_ca"),
            Leads::File,
            &mut tls.client_ca,
            paths,
        );
    }
}

fn pair<'a>(
    key: &Key,
    file: &'a mut Option<PathBuf>,
    settings: &'a mut Option<PathBuf>,
    paths: &mut Vec<Named<'a>>,
) {
    paths.extend(
        file.as_mut()
            .map(|path| (key.then("file"), Leads::File, path)),
    );
    let settings = settings.as_mut();
    paths.extend(settings.map(|path| (key.then("settings"), Leads::File, path)));
}

fn list<'a>(key: &Key, leads: Leads, list: &'a mut [PathBuf], paths: &mut Vec<Named<'a>>) {
    let numbered = list.iter_mut().enumerate();
    paths.extend(numbered.map(|(at, path)| (key.at(at), leads, path)));
}
