//! How the decision service is asked.

use super::{Case, authz::askers, cluster::looks_up, edge::is_loopback};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{Cluster, Filter, HTTP_AUTHZ, View},
};

pub(super) fn by_http(case: &Case<'_, '_>, report: &mut Report) {
    for filter in case.view.of_kind(HTTP_AUTHZ) {
        if let Some(service) = filter.settings().get("http_service") {
            report.add_named(Code::AuthzHttpService, &service, filter.node.name());
        }
    }
}

pub(super) fn in_time(case: &Case<'_, '_>, report: &mut Report) {
    for (filter, service) in services(case.view) {
        let code = match service.seconds("timeout") {
            None => Code::TimeoutDefault,
            Some(time) if time <= 0.0 => Code::TimeoutUnbounded,
            Some(time) if time > LONGEST => Code::TimeoutTooLong,
            Some(_) => continue,
        };
        report.add_named(code, &service, filter.node.name());
    }
}

/// Everything that asks, and what holds its timeout: also the services that routes have of their own.
fn services<'v, 'a>(view: &'v View<'a>) -> impl Iterator<Item = (&'v Filter<'a>, Node<'a>)> {
    let own = |filter: &Filter<'a>| filter.settings().get("check_settings");
    let of_routes = view.settings.iter();
    let of_routes = of_routes.filter(|one| one.config.kind() == "ExtAuthzPerRoute");
    let of_routes = of_routes.filter_map(move |one| Some((one, service(&own(one)?)?)));
    let asked = askers(view).filter_map(|one| Some((one, service(&one.settings())?)));
    asked.chain(of_routes)
}

/// What holds the timeout.
fn service<'a>(settings: &Node<'a>) -> Option<Node<'a>> {
    let by_grpc = settings.get("grpc_service");
    by_grpc.or_else(|| settings.at(["http_service", "server_uri"]))
}

pub(super) fn status(case: &Case<'_, '_>, report: &mut Report) {
    for filter in case.view.of_kind(HTTP_AUTHZ) {
        if !filter.settings().has("status_on_error") {
            report.add(Code::StatusOnError, &filter.node);
        }
    }
}

/// Several instances are there to lose one.
pub(super) fn instances(case: &Case<'_, '_>, report: &mut Report) {
    for filter in askers(case.view) {
        let Some(grpc) = filter.settings().get("grpc_service") else {
            continue;
        };
        let Some(envoy) = grpc.get("envoy_grpc") else {
            continue;
        };
        let name = envoy.text("cluster_name").unwrap_or_default();
        let Some(cluster) = case
            .view
            .cluster(name)
            .filter(|found| found.instances().len() > 1)
        else {
            continue;
        };
        if cluster.node.items("health_checks").is_empty() {
            report.add(Code::HealthCheckMissing, &cluster.node);
        }
        if !has_keepalive(cluster) {
            report.add(Code::KeepaliveMissing, &cluster.node);
        }
        // One inside `envoy_grpc` has no effect.
        if !grpc.has("retry_policy") {
            report.add_named(Code::RetryMissing, &grpc, filter.node.name());
        }
    }
}

/// Whether a connection on which nobody answers is closed.
fn has_keepalive(cluster: &Cluster<'_>) -> bool {
    let options = cluster.options.iter();
    let configs = options.flat_map(|options| {
        let keys = ["explicit_http_config", "auto_config"];
        keys.map(|key| options.get(key))
    });
    let mut configs = configs.flatten().chain([cluster.node.clone()]);
    configs.any(|config| {
        let keepalive = config.at(["http2_protocol_options", "connection_keepalive"]);
        keepalive.is_some_and(|keepalive| keepalive.has("timeout"))
    })
}

/// Who answers in place of the service decides.
pub(super) fn apart(case: &Case<'_, '_>, report: &mut Report) {
    for name in asked(case) {
        let Some(cluster) = case.view.cluster(name) else {
            report.unjudged(format!("the decision service `{name}` is not in this file"));
            continue;
        };
        if case.view.speaks_tls(name) {
            continue;
        }
        if looks_up(cluster) {
            let mend = "type: STATIC with addresses, or TLS that is verified";
            report.add_mended(Code::ClusterByName, &cluster.node, name, mend);
        }
        let addresses = cluster.instances();
        if addresses.is_empty() {
            report.unjudged(format!(
                "where the decision service `{name}` is, which is asked in clear text, comes from elsewhere"
            ));
        }
        let sockets = addresses
            .iter()
            .filter_map(|one| one.at(["endpoint", "address", "socket_address"]));
        if sockets.into_iter().any(|socket| !is_loopback(&socket)) {
            report.add(Code::ServiceInClear, &cluster.node);
        }
    }
}

/// The clusters of those who decide.
fn asked<'a>(case: &Case<'_, 'a>) -> Vec<&'a str> {
    let services = services(case.view).map(|(_, service)| service);
    let names = services.filter_map(|service| match service.get("envoy_grpc") {
        Some(envoy) => envoy.text("cluster_name"),
        None => service.text("cluster"),
    });
    names.collect()
}

/// A client of gRPC that names its server itself.
pub(super) fn elsewhere(case: &Case<'_, '_>, report: &mut Report) {
    for (filter, service) in services(case.view) {
        if service.has("google_grpc") {
            let name = filter.node.name();
            report.unjudged(format!(
                "`{name}` asks by google_grpc: whom cannot be judged"
            ));
        }
    }
}

/// How long a decision may take, in seconds.
const LONGEST: f64 = 10.0;
