// The policy "partners": only these hosts, only `https`, only during business hours, only public addresses.

#include <stdlib.h>
#include <string.h>

#include "build/schema.h" // SCHEMA, the text of settings.schema.json
#include "settings.h"

typedef exports_pinfold_policy_decide_decision_t decision_t;
typedef exports_pinfold_policy_decide_request_t request_t;
typedef exports_pinfold_policy_decide_verdict_t verdict_t;
typedef exports_pinfold_policy_settings_problem_t problem_t;

// Filled by `configure`; until then there are no partners, and all is denied.
static settings_t settings;

static policy_string_t text(const char *literal) { return (policy_string_t){(uint8_t *)literal, strlen(literal)}; }

static pinfold_policy_types_denial_t denial(const char *code, const char *message) {
  return (pinfold_policy_types_denial_t){text(code), text(message)};
}

static decision_t deny(const char *code, const char *message) {
  return (decision_t){.tag = PINFOLD_POLICY_TYPES_DECISION_DENY, .val.deny = denial(code, message)};
}

static bool is_pattern(policy_string_t partner) { return partner.len > 0 && partner.ptr[0] == '*'; }

// `*.example.com` covers what ends in `.example.com`; any other partner covers itself.
static bool matches(policy_string_t partner, policy_string_t host) {
  if (!is_pattern(partner)) return equal(partner, host);
  size_t end = partner.len - 1;
  return host.len >= end && memcmp(host.ptr + host.len - end, partner.ptr + 1, end) == 0;
}

static bool is_partner(pinfold_policy_types_target_host_t *host) {
  if (host->tag != PINFOLD_POLICY_TYPES_TARGET_HOST_DOMAIN) return false;
  for (size_t i = 0; i < settings.count; i++) {
    if (matches(settings.partners[i], host->val.domain)) return true;
  }
  return false;
}

// The embedder says so, and says nothing else: a label may repeat.
static bool is_open(policy_list_tuple2_string_string_t labels) {
  bool open = false;
  for (size_t i = 0; i < labels.len; i++) {
    if (!is(labels.ptr[i].f0, "business-hours")) continue;
    if (!is(labels.ptr[i].f1, "open")) return false;
    open = true;
  }
  return open;
}

static decision_t decide(request_t *request) {
  if (!is(request->target.scheme, "https")) return deny("https-required", "only `https` is allowed");
  if (!is_partner(&request->target.host)) return deny("host-not-allowed", "the host is none of `partners`");
  if (!settings.allow_outside_hours && !is_open(request->labels)) {
    return deny("outside-hours", "`business-hours` is not `open` and `outside_hours` is `deny`");
  }
  return (decision_t){.tag = PINFOLD_POLICY_TYPES_DECISION_ALLOW, .val.allow.https_only = true};
}

static bool wraps_non_public(pinfold_policy_types_list_embedded_t embedded) {
  for (size_t i = 0; i < embedded.len; i++) {
    if (embedded.ptr[i].class_ != PINFOLD_POLICY_TYPES_ADDRESS_CLASS_PUBLIC) return true;
  }
  return false;
}

static verdict_t judge(pinfold_policy_types_answer_t *answer) {
  verdict_t deny = {.tag = PINFOLD_POLICY_TYPES_VERDICT_DENY};
  if (wraps_non_public(answer->embedded)) {
    deny.val.deny = denial("address-wrapped", "an IPv4 address inside it is not public");
    return deny;
  }
  if (answer->class_ != PINFOLD_POLICY_TYPES_ADDRESS_CLASS_PUBLIC && !answer->granted) {
    deny.val.deny = denial("address-not-public", "the address is neither public nor granted");
    return deny;
  }
  return (verdict_t){.tag = PINFOLD_POLICY_TYPES_VERDICT_ALLOW};
}

// A partner that another one covers would go on being allowed after it was taken out of the list.
static bool is_covered(size_t at) {
  policy_string_t name = settings.partners[at];
  for (size_t i = 0; i < settings.count; i++) {
    if (matches(settings.partners[i], name) && (i < at || !equal(settings.partners[i], name))) return true;
  }
  return false;
}

// `/partners/` and a number below MAX_PARTNERS.
static policy_string_t pointer(size_t at) {
  static const char prefix[] = "/partners/";
  policy_string_t path = {malloc(sizeof prefix + 3), sizeof prefix - 1};
  memcpy(path.ptr, prefix, path.len);
  if (at >= 100) path.ptr[path.len++] = '0' + at / 100;
  if (at >= 10) path.ptr[path.len++] = '0' + at / 10 % 10;
  path.ptr[path.len++] = '0' + at % 10;
  return path;
}

static problem_t covered(size_t at) {
  return (problem_t){pointer(at), text("another partner covers this name: keep one of the two")};
}

void exports_pinfold_policy_settings_describe(exports_pinfold_policy_settings_description_t *ret) {
  ret->name = text("partners");
  ret->version = text("1.0.0");
  ret->summary = text("only these partners, by https, during business hours");
  ret->settings_schema = text(SCHEMA);
}

bool exports_pinfold_policy_settings_configure(policy_string_t *json, exports_pinfold_policy_settings_list_problem_t *err) {
  err->ptr = malloc(MAX_PARTNERS * sizeof *err->ptr);
  err->len = 0;
  if (!read_settings(*json, &settings)) {
    err->ptr[err->len++] = (problem_t){text(""), text("the settings do not fit the schema")};
  }
  for (size_t at = 0; at < settings.count; at++) {
    if (is_covered(at)) err->ptr[err->len++] = covered(at);
  }
  return err->len == 0;
}

void exports_pinfold_policy_decide_check_target(request_t *request, decision_t *ret) { *ret = decide(request); }

void exports_pinfold_policy_decide_check_addresses(request_t *request,
                                                   exports_pinfold_policy_decide_resolution_t *resolution,
                                                   exports_pinfold_policy_decide_list_verdict_t *ret) {
  (void)request;
  ret->len = resolution->answers.len;
  ret->ptr = malloc(ret->len * sizeof *ret->ptr);
  for (size_t i = 0; i < ret->len; i++) ret->ptr[i] = judge(&resolution->answers.ptr[i]);
}
