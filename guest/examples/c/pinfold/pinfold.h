// What the author of a policy in C needs: what is asked, what is answered, and a few helpers.
//
// Names that begin with `pf_` are given; the four `policy_` functions and the two `POLICY_` strings are for
// the author to write. Memory is never given back: an instance answers one request and is gone.
#pragma once
#include "bindings/policy.h"

// What is asked and answered, field by field as in `wit/types.wit`.

typedef policy_string_t pf_text;
typedef pinfold_policy_types_request_t pf_request;
typedef pinfold_policy_types_target_t pf_target;
typedef pinfold_policy_types_answer_t pf_answer;
typedef pinfold_policy_types_terms_t pf_terms;
typedef pinfold_policy_types_decision_t pf_decision;
typedef pinfold_policy_types_verdict_t pf_verdict;

// A value in a JSON document.
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
} pf_json;

// The author writes these.

extern const char POLICY_VERSION[]; // semantic version, such as "1.0.0"
extern const char POLICY_SUMMARY[]; // one line

// Takes the settings, which fit `settings.schema.json`: the host has checked that. Called once.
void policy_configure(pf_json settings);
// Stage one: may this be looked up at all?
pf_decision policy_check_target(const pf_request *request);
// Stage two, called for each address: may it be dialled?
pf_verdict policy_check_address(const pf_request *request, const pf_answer *answer);

// `pinfold policy build` writes these: the name in `pinfold.toml`, the text of `settings.schema.json`.

extern const char POLICY_NAME[];
extern const char POLICY_SETTINGS_SCHEMA[];

// Answers.

pf_decision pf_allow(pf_terms terms);
// The code is kebab-case and stable, the message one sentence for the operator.
pf_decision pf_deny(const char *code, const char *message);
pf_verdict pf_allow_address(void);
pf_verdict pf_deny_address(const char *code, const char *message);
// A problem of the settings, at a JSON Pointer. Settings with a problem are refused.
void pf_problem(pf_text pointer, const char *message);

// The request.

// Whether the host is what the pattern means, see `pf_name_matches`; an address never is.
bool pf_host_matches(const pf_request *request, pf_text pattern);
// Whether the embedder says this, and nothing else, with this label: a key may repeat.
bool pf_label_is(const pf_request *request, const char *key, const char *value);

// An address.

bool pf_is_public_or_granted(const pf_answer *answer);
// What an address carries inside counts as much as the address: a tunnel ends there.
bool pf_wraps_only_public(const pf_answer *answer);

// Text.

pf_text pf_literal(const char *text);
// A text with a number behind it, such as "/partners/" and 7.
pf_text pf_numbered(const char *text, size_t number);
bool pf_equal(pf_text a, pf_text b);
bool pf_is(pf_text text, const char *other);
// `*.example.com` is every name below `example.com`, any other pattern that name alone.
bool pf_name_matches(pf_text pattern, pf_text name);

// JSON. A value that is not there, or is of another type, is empty or the one that stands for it: nothing
// here fails.

// The document, when it is valid and at most PF_JSON_DEPTH deep.
bool pf_json_read(pf_text document, pf_json *value);
bool pf_json_is_there(pf_json value);
// The member of an object.
pf_json pf_json_member(pf_json object, const char *key);
// The items of a list, one after the other.
pf_json pf_json_first(pf_json list);
pf_json pf_json_next(pf_json item);
// A string, its escapes resolved; empty when it is none.
pf_text pf_json_text(pf_json value);
bool pf_json_bool(pf_json value, bool otherwise);
// A whole number below 2^32; anything else is `otherwise`.
uint32_t pf_json_number(pf_json value, uint32_t otherwise);

enum { PF_JSON_DEPTH = 64 };
