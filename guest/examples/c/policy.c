// Only these partners, only `https`, only during business hours, only public addresses.

#include "pinfold.h"

const char POLICY_VERSION[] = "1.0.0";
const char POLICY_SUMMARY[] = "only these partners, by https, during business hours";

// The settings, as `settings.schema.json` describes them.
enum { MAX_PARTNERS = 256 };
static pf_text partners[MAX_PARTNERS];
static size_t count;
static bool allow_outside_hours;

// A partner that another one covers would go on being allowed after it was taken out of the list.
static bool is_covered(size_t at) {
  for (size_t i = 0; i < count; i++) {
    bool other = i < at || !pf_equal(partners[i], partners[at]);
    if (other && pf_name_matches(partners[i], partners[at])) return true;
  }
  return false;
}

static bool is_partner(const pf_request *request) {
  for (size_t i = 0; i < count; i++) {
    if (pf_host_matches(request, partners[i])) return true;
  }
  return false;
}

// Called once. Problems that no schema can express are found here, all of them at once.
void policy_configure(pf_json settings) {
  allow_outside_hours = pf_is(pf_json_text(pf_json_member(settings, "outside_hours")), "allow");
  pf_json list = pf_json_member(settings, "partners");
  for (pf_json each = pf_json_first(list); pf_json_is_there(each); each = pf_json_next(each)) {
    if (count == MAX_PARTNERS) return pf_problem(pf_literal("/partners"), "too many partners");
    partners[count++] = pf_json_text(each);
  }
  for (size_t at = 0; at < count; at++) {
    if (is_covered(at)) pf_problem(pf_numbered("/partners/", at), "another partner covers this name: keep one of the two");
  }
}

// Stage one: may this name be looked up?
pf_decision policy_check_target(const pf_request *request) {
  if (!pf_is(request->target.scheme, "https")) return pf_deny("https-required", "only `https` is allowed");
  if (!is_partner(request)) return pf_deny("host-not-allowed", "the host is none of `partners`");
  // A policy has no clock: the service that embeds the host says whether business hours are on.
  if (!allow_outside_hours && !pf_label_is(request, "business-hours", "open")) {
    return pf_deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`");
  }
  return pf_allow((pf_terms){.https_only = true});
}

// Stage two: may this address be dialled?
pf_verdict policy_check_address(const pf_request *request, const pf_answer *answer) {
  (void)request;
  if (!pf_wraps_only_public(answer)) return pf_deny_address("address-wrapped", "an IPv4 address inside it is not public");
  if (!pf_is_public_or_granted(answer)) return pf_deny_address("address-not-public", "the address is neither public nor granted");
  return pf_allow_address();
}
