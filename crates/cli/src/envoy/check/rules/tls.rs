//! Whether certificates are looked at, of servers and of clients.

use super::{
    Case,
    authz::{decided, hands_on, is_state, source},
};
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{Cluster, Filter, View},
};

pub(super) fn servers(case: &Case<'_, '_>, report: &mut Report) {
    for cluster in &case.view.clusters {
        for tls in &cluster.tls {
            let common = tls.get("common_tls_context");
            let lacks = [
                (!common.as_ref().is_some_and(verifies), "no `trusted_ca`"),
                (
                    !names(case.view, cluster, tls),
                    "the name of the certificate is not compared",
                ),
                (!tells(case.view, cluster, tls), "no server name is sent"),
            ];
            let lacks = lacks
                .into_iter()
                .filter_map(|(lacks, what)| lacks.then_some(what));
            let lacks: Vec<_> = lacks.collect();
            if !lacks.is_empty() {
                let name = cluster.node.name();
                report.add_with(Code::TlsUnverified, tls, name, &lacks.join(", "));
            }
        }
    }
}

/// Whether a certificate is followed up to an authority.
fn verifies(common: &Node<'_>) -> bool {
    if common.has("validation_context_sds_secret_config") {
        return true;
    }
    contexts(common).iter().any(|context| {
        let authorities = [
            "trusted_ca",
            "system_root_certs",
            "ca_certificate_provider_instance",
        ];
        let custom = context.has("custom_validator_config");
        let any = context.is("trust_chain_verification", "ACCEPT_UNTRUSTED", 1);
        !any && (custom || authorities.iter().any(|key| context.has(key)))
    })
}

fn contexts<'a>(common: &Node<'a>) -> Vec<Node<'a>> {
    let combined = common.get("combined_validation_context");
    let default = combined.and_then(|all| all.get("default_validation_context"));
    common
        .get("validation_context")
        .into_iter()
        .chain(default)
        .collect()
}

/// Whether the name in the certificate is compared.
fn names(view: &View<'_>, cluster: &Cluster<'_>, tls: &Node<'_>) -> bool {
    // A name that is set there comes before all others.
    if is_foreign(view, ALT_NAMES) {
        return false;
    }
    let common = tls.get("common_tls_context");
    let listed = common.iter().flat_map(contexts).any(|context| {
        let keys = ["match_typed_subject_alt_names", "match_subject_alt_names"];
        keys.iter().any(|key| !context.items(key).is_empty())
            || !context.items("verify_certificate_hash").is_empty()
            || !context.items("verify_certificate_spki").is_empty()
            || context.has("custom_validator_config")
    });
    listed
        || tls.flag("auto_sni_san_validation")
        || option(cluster, "auto_san_validation")
        || hands_on(view, cluster, ALT_NAMES, is_judged)
        // What comes from elsewhere may well have them.
        || common.is_some_and(|common| common.has("validation_context_sds_secret_config"))
}

/// Whether the server is told whom it is to be.
fn tells(view: &View<'_>, cluster: &Cluster<'_>, tls: &Node<'_>) -> bool {
    tls.text("sni").is_some_and(|sni| !sni.is_empty())
        || tls.flag("auto_host_sni")
        || option(cluster, "auto_sni")
        || hands_on(view, cluster, "envoy.network.upstream_server_name", is_judged)
        // Nobody reads names at a fixed address that is checked by its certificate alone.
        || !(cluster.leads_out() || (view.leads_to(cluster.node.name()) && !is_fixed(cluster)))
}

fn is_fixed(cluster: &Cluster<'_>) -> bool {
    cluster.node.is("type", "STATIC", 0)
}

fn option(cluster: &Cluster<'_>, key: &str) -> bool {
    let options = cluster.options.as_ref();
    let options = options.and_then(|all| all.get("upstream_http_protocol_options"));
    options.is_some_and(|options| options.flag(key))
}

/// Whether anything but the decision and the operator chooses the name.
fn is_foreign(view: &View<'_>, key: &str) -> bool {
    let filters = view.filters.iter().chain(&view.settings);
    let mut states = filters.flat_map(Filter::states);
    states.any(|state| is_state(&state, key) && !is_judged(&state))
}

/// The name of the decision, that of the connection, which is judged, or a constant.
fn is_judged(state: &Node<'_>) -> bool {
    source(state).is_some_and(|format| {
        let by_decision = decided(format) == Some("sni");
        by_decision || format == "%REQUESTED_SERVER_NAME%" || !format.contains('%')
    })
}

const ALT_NAMES: &str = "envoy.network.upstream_subject_alt_names";

pub(super) fn clients(case: &Case<'_, '_>, report: &mut Report) {
    for filter in &case.view.filters {
        if filter.config.kind() != "DownstreamTlsContext" {
            continue;
        }
        let context = filter.settings();
        let common = context.get("common_tls_context");
        let verified = common.as_ref().is_some_and(verifies);
        let asks = context.flag("require_client_certificate");
        let asks = asks || common.is_some_and(|common| !contexts(&common).is_empty());
        if asks && !verified {
            report.add_named(Code::ClientCertificateUnverified, &context, "");
        }
    }
}
