// Between the bindings and the author's functions: answers, helpers, and the exports of the component.

#include "pinfold.h"

#include <stdlib.h>
#include <string.h>

// Answers.

static pinfold_policy_types_denial_t denial(const char *code, const char *message) {
  return (pinfold_policy_types_denial_t){pf_literal(code), pf_literal(message)};
}

pf_decision pf_allow(pf_terms terms) {
  return (pf_decision){.tag = PINFOLD_POLICY_TYPES_DECISION_ALLOW, .val.allow = terms};
}

pf_decision pf_deny(const char *code, const char *message) {
  return (pf_decision){.tag = PINFOLD_POLICY_TYPES_DECISION_DENY, .val.deny = denial(code, message)};
}

pf_verdict pf_allow_address(void) { return (pf_verdict){.tag = PINFOLD_POLICY_TYPES_VERDICT_ALLOW}; }

pf_verdict pf_deny_address(const char *code, const char *message) {
  return (pf_verdict){.tag = PINFOLD_POLICY_TYPES_VERDICT_DENY, .val.deny = denial(code, message)};
}

// The host reads no more of them.
enum { MAX_PROBLEMS = 64 };
static exports_pinfold_policy_settings_problem_t problems[MAX_PROBLEMS];
static size_t problem_count;

void pf_problem(pf_text pointer, const char *message) {
  if (problem_count == MAX_PROBLEMS) return;
  problems[problem_count++] = (exports_pinfold_policy_settings_problem_t){pointer, pf_literal(message)};
}

// The request and the addresses.

bool pf_host_matches(const pf_request *request, pf_text pattern) {
  return request->target.host.tag == PINFOLD_POLICY_TYPES_TARGET_HOST_DOMAIN &&
         pf_name_matches(pattern, request->target.host.val.domain);
}

bool pf_label_is(const pf_request *request, const char *key, const char *value) {
  bool said = false;
  for (size_t i = 0; i < request->labels.len; i++) {
    if (!pf_is(request->labels.ptr[i].f0, key)) continue;
    if (!pf_is(request->labels.ptr[i].f1, value)) return false;
    said = true;
  }
  return said;
}

bool pf_is_public_or_granted(const pf_answer *answer) {
  return answer->granted || answer->class_ == PINFOLD_POLICY_TYPES_ADDRESS_CLASS_PUBLIC;
}

bool pf_wraps_only_public(const pf_answer *answer) {
  for (size_t i = 0; i < answer->embedded.len; i++) {
    if (answer->embedded.ptr[i].class_ != PINFOLD_POLICY_TYPES_ADDRESS_CLASS_PUBLIC) return false;
  }
  return true;
}

// Text.

pf_text pf_literal(const char *text) { return (pf_text){(uint8_t *)text, strlen(text)}; }

pf_text pf_numbered(const char *text, size_t number) {
  enum { DIGITS = 20 };
  uint8_t digits[DIGITS];
  size_t first = DIGITS;
  do digits[--first] = '0' + number % 10;
  while (number /= 10);
  size_t length = strlen(text);
  pf_text whole = {malloc(length + DIGITS - first), length + DIGITS - first};
  memcpy(whole.ptr, text, length);
  memcpy(whole.ptr + length, digits + first, DIGITS - first);
  return whole;
}

bool pf_equal(pf_text a, pf_text b) { return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0; }

bool pf_is(pf_text text, const char *other) { return pf_equal(text, pf_literal(other)); }

bool pf_name_matches(pf_text pattern, pf_text name) {
  // A star that stands for more than labels (`*example.com`, `*`) means nothing, rather than too much.
  if (pattern.len < 2 || pattern.ptr[0] != '*' || pattern.ptr[1] != '.') return pf_equal(pattern, name);
  pf_text end = {pattern.ptr + 1, pattern.len - 1};
  return name.len > end.len && memcmp(name.ptr + name.len - end.len, end.ptr, end.len) == 0;
}

// The exports.

static bool configured;

void exports_pinfold_policy_settings_describe(exports_pinfold_policy_settings_description_t *ret) {
  ret->name = pf_literal(POLICY_NAME);
  ret->version = pf_literal(POLICY_VERSION);
  ret->summary = pf_literal(POLICY_SUMMARY);
  ret->settings_schema = pf_literal(POLICY_SETTINGS_SCHEMA);
}

bool exports_pinfold_policy_settings_configure(pf_text *document, exports_pinfold_policy_settings_list_problem_t *err) {
  pf_json settings;
  if (configured) pf_problem(pf_literal(""), "`configure` was called before");
  else if (!pf_json_read(*document, &settings)) pf_problem(pf_literal(""), "the settings are no JSON, or nested too deep");
  else policy_configure(settings);
  err->ptr = problems;
  err->len = problem_count;
  configured = problem_count == 0;
  return configured;
}

void exports_pinfold_policy_decide_check_target(exports_pinfold_policy_decide_request_t *request,
                                                pf_decision *ret) {
  *ret = configured ? policy_check_target(request) : pf_deny("not-configured", "the policy has no settings");
}

void exports_pinfold_policy_decide_check_addresses(exports_pinfold_policy_decide_request_t *request,
                                                   exports_pinfold_policy_decide_resolution_t *resolution,
                                                   exports_pinfold_policy_decide_list_verdict_t *ret) {
  ret->len = resolution->answers.len;
  ret->ptr = malloc(ret->len * sizeof *ret->ptr);
  for (size_t i = 0; i < ret->len; i++) {
    ret->ptr[i] = configured ? policy_check_address(request, &resolution->answers.ptr[i])
                             : pf_deny_address("not-configured", "the policy has no settings");
  }
}
