//! Whether certificates are looked at, of servers and of clients.

use super::Case;
use crate::envoy::check::{
    finding::{Code, Report},
    node::Node,
    view::{Cluster, SET_FILTER_STATE, View},
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
        || by_state(view, "envoy.network.upstream_subject_alt_names")
        // What comes from elsewhere may well have them.
        || common.is_some_and(|common| common.has("validation_context_sds_secret_config"))
}

/// Whether the server is told whom it is to be.
fn tells(view: &View<'_>, cluster: &Cluster<'_>, tls: &Node<'_>) -> bool {
    tls.text("sni").is_some_and(|sni| !sni.is_empty())
        || tls.flag("auto_host_sni")
        || option(cluster, "auto_sni")
        || by_state(view, "envoy.network.upstream_server_name")
        // Nobody reads names at a fixed address that is checked by its certificate alone.
        || !(cluster.is_original_dst() || view.leads_to(cluster.node.name()))
}

fn option(cluster: &Cluster<'_>, key: &str) -> bool {
    let options = cluster.options.as_ref();
    let options = options.and_then(|all| all.get("upstream_http_protocol_options"));
    options.is_some_and(|options| options.flag(key))
}

fn by_state(view: &View<'_>, key: &str) -> bool {
    let filters = view.of_kind(SET_FILTER_STATE);
    let mut states = filters.flat_map(|filter| filter.settings().items("on_request_headers"));
    states.any(|state| state.text("object_key") == Some(key))
}

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
