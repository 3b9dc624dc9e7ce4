// A reader of JSON for one schema: objects with known keys, lists of strings, strings without escapes.

#include "settings.h"

#include <string.h>

bool equal(policy_string_t a, policy_string_t b) { return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0; }

bool is(policy_string_t text, const char *other) {
  return equal(text, (policy_string_t){(uint8_t *)other, strlen(other)});
}

// What is left to read.
typedef policy_string_t rest_t;

static void skip(rest_t *rest, size_t octets) {
  rest->ptr += octets;
  rest->len -= octets;
}

static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool eat(rest_t *rest, uint8_t wanted) {
  while (rest->len > 0 && is_space(*rest->ptr)) skip(rest, 1);
  if (rest->len == 0 || *rest->ptr != wanted) return false;
  skip(rest, 1);
  return true;
}

static bool read_string(rest_t *rest, policy_string_t *text) {
  if (!eat(rest, '"')) return false;
  size_t length = 0;
  // No text of the schema needs an escape.
  while (length < rest->len && rest->ptr[length] != '"' && rest->ptr[length] != '\\') length++;
  *text = (policy_string_t){rest->ptr, length};
  skip(rest, length);
  return eat(rest, '"');
}

static bool read_partners(rest_t *rest, settings_t *settings) {
  if (!eat(rest, '[')) return false;
  do {
    if (settings->count == MAX_PARTNERS) return false;
    if (!read_string(rest, &settings->partners[settings->count])) return false;
    settings->count++;
  } while (eat(rest, ','));
  return eat(rest, ']');
}

static bool read_outside_hours(rest_t *rest, settings_t *settings) {
  policy_string_t value;
  if (!read_string(rest, &value)) return false;
  settings->allow_outside_hours = is(value, "allow");
  return settings->allow_outside_hours || is(value, "deny");
}

static bool read_member(rest_t *rest, settings_t *settings) {
  policy_string_t key;
  if (!read_string(rest, &key) || !eat(rest, ':')) return false;
  if (is(key, "partners")) return read_partners(rest, settings);
  return is(key, "outside_hours") && read_outside_hours(rest, settings);
}

bool read_settings(policy_string_t json, settings_t *settings) {
  rest_t rest = json;
  settings->count = 0;
  settings->allow_outside_hours = false;
  if (!eat(&rest, '{')) return false;
  do {
    if (!read_member(&rest, settings)) return false;
  } while (eat(&rest, ','));
  return eat(&rest, '}') && rest.len == 0;
}
