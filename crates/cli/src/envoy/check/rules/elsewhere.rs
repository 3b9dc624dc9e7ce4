//! What a file alone cannot tell.

use super::Case;
use crate::envoy::check::{finding::Report, view::Routing};

/// What is named, and is not in the file.
pub(super) fn absent(case: &Case<'_, '_>, report: &mut Report) {
    let view = case.view;
    for manager in &view.managers {
        if view.routes(manager).is_none() {
            let name = manager.name();
            report.unjudged(match manager.table {
                Routing::Named(table) => {
                    format!("routes `{table}` of `{name}` are not in this file")
                }
                _ => format!("the routes of `{name}` are chosen elsewhere"),
            });
        }
    }
    for name in view.destinations() {
        match view.cluster(name) {
            None => report.unjudged(format!("cluster `{name}` is not in this file")),
            Some(cluster) if cluster.node.is("type", "EDS", 3) => {
                report.unjudged(format!(
                    "the addresses of cluster `{name}` come from elsewhere"
                ));
            }
            Some(_) => {}
        }
    }
    for (_, route) in view.all_routes() {
        let action = route.action.as_ref();
        let chooses = [
            "cluster_header",
            "cluster_specifier_plugin",
            "inline_cluster_specifier_plugin",
        ];
        if action.is_some_and(|action| chooses.iter().any(|key| action.has(key))) {
            report.unjudged(format!(
                "where route `{}` leads is known at run time",
                route.name()
            ));
        }
    }
}

/// What a control plane is asked for.
pub(super) fn asked_for(case: &Case<'_, '_>, report: &mut Report) {
    for dynamic in &case.view.dynamic {
        for (key, what) in [("lds_config", "listeners"), ("cds_config", "clusters")] {
            if dynamic.has(key) {
                report.unjudged(format!(
                    "{what} of a control plane are not in this file, unless it is a dump"
                ));
            }
        }
    }
}
