//! Single values that contradict one another.

use super::Scene;
use crate::{
    rules::Origin,
    schemes::Schemes,
    settings::{Literals, Switch},
};

pub(super) fn zeros(scene: &mut Scene<'_>) {
    let limits = &scene.rules.limits;
    let values = [
        ("connect_timeout_ms", limits.value.connect_timeout_ms),
        ("total_timeout_ms", limits.value.total_timeout_ms),
        ("response_kib", limits.value.response_kib),
    ];
    let zeros = values.iter().filter(|(_, value)| *value == Some(0));
    for (member, _) in zeros.filter(|_| scene.is_own(limits)).collect::<Vec<_>>() {
        let message = "0 lets no request succeed; leave it out for the host's own limit";
        scene.refuse(&format!("/limits/{member}"), message);
    }
}

pub(super) fn connect_longer_than_all(scene: &mut Scene<'_>) {
    let limits = &scene.rules.limits;
    if let (Some(connect), Some(total)) = (
        limits.value.connect_timeout_ms,
        limits.value.total_timeout_ms,
    ) && connect > total
        && scene.is_own(limits)
    {
        let message = format!("{connect} is more than `limits.total_timeout_ms`, which is {total}");
        scene.refuse("/limits/connect_timeout_ms", message);
    }
}

pub(super) fn https_only_without_tls(scene: &mut Scene<'_>) {
    let (limits, schemes) = (&scene.rules.limits, &scene.rules.schemes);
    if scene.schemes.is_empty() {
        let message = format!(
            "`{}` refuses every scheme of `{}` ({})",
            limits.name("limits.https_only"),
            schemes.name("schemes"),
            schemes.value
        );
        let sections = [
            (limits.origin, "limits/https_only"),
            (schemes.origin, "schemes"),
        ];
        scene.refuse_at_first(&sections, message);
    }
}

/// `schemes` lists some that can never be fetched. A subject may narrow what the document lists.
pub(super) fn schemes_that_https_only_refuses(scene: &mut Scene<'_>) {
    let (limits, schemes) = (&scene.rules.limits, &scene.rules.schemes);
    let refused = schemes.value.without(Schemes::tls());
    let is_partial = limits.value.https_only && !scene.schemes.is_empty() && !refused.is_empty();
    if is_partial && scene.is_own(schemes) {
        let rule = limits.name("limits.https_only");
        scene.refuse(
            "/schemes",
            format!("`{rule}` refuses {refused}, which it lists"),
        );
    }
}

pub(super) fn literals_normalised_and_denied(scene: &mut Scene<'_>) {
    let (literals, all) = (&scene.rules.literals, &scene.rules.ip_literals);
    if literals.value == Literals::Normalise && all.value == Switch::Deny {
        let message = format!(
            "`{}` is `normalise` and `{}` is `deny`: no literal is ever judged",
            literals.name("literals"),
            all.name("ip_literals")
        );
        // A subject that refuses all literals narrows what the document permits.
        let ip_literals = match literals.origin {
            Origin::Document if scene.origin != Origin::Document => Origin::Default,
            _ => all.origin,
        };
        let sections = [(literals.origin, "literals"), (ip_literals, "ip_literals")];
        scene.refuse_at_first(&sections, message);
    }
}
