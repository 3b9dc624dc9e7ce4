//! How the decision service is asked.

use super::{Case, authz::askers};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{Filter, HTTP_AUTHZ},
};

pub(super) fn by_http(case: &Case<'_, '_>, report: &mut Report) {
    for filter in case.view.of_kind(HTTP_AUTHZ) {
        if let Some(service) = filter.settings().get("http_service") {
            report.add_named(Code::AuthzHttpService, &service, filter.node.name());
        }
    }
}

pub(super) fn in_time(case: &Case<'_, '_>, report: &mut Report) {
    for filter in askers(case.view) {
        let Some(service) = service(filter) else {
            continue;
        };
        let code = match service.seconds("timeout") {
            None => Code::TimeoutDefault,
            Some(time) if time <= 0.0 => Code::TimeoutUnbounded,
            Some(time) if time > LONGEST => Code::TimeoutTooLong,
            Some(_) => continue,
        };
        report.add_named(code, &service, filter.node.name());
    }
}

/// What holds the timeout.
fn service<'a>(filter: &Filter<'a>) -> Option<Node<'a>> {
    let settings = filter.settings();
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
            .filter(|found| found.endpoints() > 1)
        else {
            continue;
        };
        if cluster.node.items("health_checks").is_empty() {
            report.add(Code::HealthCheckMissing, &cluster.node);
        }
        if !grpc.has("retry_policy") && !envoy.has("retry_policy") {
            report.add_named(Code::RetryMissing, &grpc, filter.node.name());
        }
    }
}

/// How long a decision may take, in seconds.
const LONGEST: f64 = 10.0;
