//! What the attacks share: a lab, and a guard that is granted its public server alone.

mod journal;

use std::net::{IpAddr, SocketAddr};

use pinfold::{Grant, Guard, GuardBuilder, resolve::Dns};
use pinfold_http::{Client, ClientBuilder, Error, Response, TlsRoots};
use pinfold_lab::Lab;

pub(crate) use journal::Journal;

/// A guard with the shipped policy and the real resolver, asking the lab.
pub(crate) fn guard(lab: &Lab) -> GuardBuilder {
    Guard::builder()
        .resolver(Dns::servers([lab.dns().addr()]))
        .grants(grants(lab))
}

/// A client over such a guard that trusts the lab's certificates.
pub(crate) fn client(lab: &Lab) -> ClientBuilder {
    Client::builder(guard(lab).build().unwrap())
        .tls_roots(TlsRoots::Only(vec![lab.authority().der()]))
}

/// The public servers of the lab, by address and port.
pub(crate) fn public(lab: &Lab) -> Vec<SocketAddr> {
    let v6 = lab.public_v6().map(pinfold_lab::http::Server::addr);
    [lab.public().addr(), lab.tls().addr()]
        .into_iter()
        .chain(v6)
        .collect()
}

/// The code of a refusal, whoever refused.
pub(crate) fn code(outcome: Result<Response, Error>) -> String {
    match outcome {
        Ok(response) => format!("{} from {}", response.status(), response.url()),
        Err(error) => error
            .denial()
            .map_or_else(|| error.to_string(), |denial| denial.code().into()),
    }
}

/// Nothing reached a server that stands for the inside.
pub(crate) async fn no_leak(lab: &Lab) {
    assert_eq!(lab.leaks().await.unwrap(), 0, "connections to a canary");
}

fn grants(lab: &Lab) -> Vec<Grant> {
    let grant = |server: SocketAddr| match server.ip() {
        IpAddr::V4(address) => format!("{address}:{}", server.port()),
        IpAddr::V6(address) => format!("[{address}]:{}", server.port()),
    };
    public(lab)
        .into_iter()
        .map(|server| grant(server).parse().unwrap())
        .collect()
}
