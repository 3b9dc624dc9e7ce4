// The settings of the policy "partners", and how they are read.
#pragma once
#include "bindings/policy.h"

enum { MAX_PARTNERS = 256 };

typedef struct {
  policy_string_t partners[MAX_PARTNERS];
  size_t count;
  bool allow_outside_hours;
} settings_t;

bool equal(policy_string_t a, policy_string_t b);
bool is(policy_string_t text, const char *other);

// Reads settings that fit `settings.schema.json`, which the host has checked. The strings of the result
// lie in `json`. Anything else is false.
bool read_settings(policy_string_t json, settings_t *settings);
