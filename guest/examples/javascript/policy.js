// Only these partners, only `https`, only during business hours, only public addresses.

import {
  allow, deny, domainOf, isPublicOrGranted, labelIs, nameMatches, problem, wrapsOnlyPublic,
} from "./pinfold.js";

export class Policy {
  // Called once. Problems that no schema can express are found here, all of them at once.
  configure(settings) {
    this.partners = settings.partners;
    this.outsideHours = settings.outside_hours ?? "deny";
    const message = "another partner covers this name: keep one of the two";
    const covered = [...this.partners.keys()].filter((at) => this.isCovered(at));
    return covered.map((at) => problem(`/partners/${at}`, message));
  }

  // Stage one: may this name be looked up?
  checkTarget(request) {
    const host = domainOf(request.target);
    if (request.target.scheme !== "https") {
      return deny("https-required", "only `https` is allowed");
    }
    if (!this.partners.some((partner) => nameMatches(partner, host))) {
      return deny("host-not-allowed", "the host is none of `partners`");
    }
    // A policy has no clock: the service that embeds the host says whether business hours are on.
    if (this.outsideHours === "deny" && !labelIs(request, "business-hours", "open")) {
      return deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`");
    }
    return allow({ httpsOnly: true });
  }

  // Stage two: may this address, one of those that the name resolved to, be dialled?
  checkAddress(request, answer) {
    if (!wrapsOnlyPublic(answer)) {
      return deny("address-wrapped", "an IPv4 address inside it is not public");
    }
    if (!isPublicOrGranted(answer)) {
      return deny("address-not-public", "the address is neither public nor granted");
    }
    return allow();
  }

  // A partner that another one covers would go on being allowed after it was taken out of the list.
  isCovered(at) {
    const name = this.partners[at];
    return this.partners.some((p, i) => nameMatches(p, name) && (i < at || p !== name));
  }
}
