// The policy "partners": only these hosts, only `https`, only during business hours, only public addresses.
/* global SCHEMA: build.mjs puts settings.schema.json in front of this file */

let partners = [];
let outsideHours = "deny";

export const settings = {
  describe() {
    const summary = "only these partners, by https, during business hours";
    return { name: "partners", version: "1.0.0", summary, settingsSchema: SCHEMA };
  },

  configure(json) {
    const given = JSON.parse(json);
    partners = given.partners;
    outsideHours = given.outside_hours ?? "deny";
    const covered = [...partners.keys()].filter(isCovered);
    const message = "another partner covers this name: keep one of the two";
    // What is thrown is the error of the `result`.
    if (covered.length > 0) throw covered.map((at) => ({ path: `/partners/${at}`, message }));
  },
};

export const decide = {
  checkTarget({ target: { scheme, host }, labels }) {
    if (scheme !== "https") return deny("https-required", "only `https` is allowed");
    if (host.tag !== "domain" || !partners.some((partner) => matches(partner, host.val))) {
      return deny("host-not-allowed", "the host is none of `partners`");
    }
    if (outsideHours !== "allow" && !isOpen(labels)) {
      return deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`");
    }
    return { tag: "allow", val: { httpsOnly: true } };
  },

  checkAddresses(_request, { answers }) {
    return answers.map(judge);
  },
};

// A partner that another one covers would go on being allowed after it was taken out of the list.
function isCovered(at) {
  const name = partners[at];
  return partners.some((partner, i) => matches(partner, name) && (i < at || partner !== name));
}

// `*.example.com` covers what ends in `.example.com`; any other partner covers itself.
function matches(partner, host) {
  return partner.startsWith("*") ? host.endsWith(partner.slice(1)) : partner === host;
}

// The embedder says so, and says nothing else: a label may repeat.
function isOpen(labels) {
  const hours = labels.filter(([key]) => key === "business-hours");
  return hours.length > 0 && hours.every(([, value]) => value === "open");
}

function judge(answer) {
  if (answer.embedded.some((inner) => inner.class !== "public")) {
    return deny("address-wrapped", "an IPv4 address inside it is not public");
  }
  if (answer.class !== "public" && !answer.granted) {
    return deny("address-not-public", "the address is neither public nor granted");
  }
  return { tag: "allow" };
}

function deny(code, message) {
  return { tag: "deny", val: { code, message } };
}
