// A policy that tests the support files: what it finds wrong is a problem of its settings.

#include "pinfold.h"

const char POLICY_VERSION[] = "1.0.0";
const char POLICY_SUMMARY[] = "tests the reader of JSON";

static void expect(bool good, const char *what) {
  if (!good) pf_problem(pf_literal("/"), what);
}

static pf_json read(const char *text) {
  pf_json value = {NULL, NULL};
  expect(pf_json_read(pf_literal(text), &value), text);
  return value;
}

static void reads(const char *text, const char *meaning) { expect(pf_is(pf_json_text(read(text)), meaning), text); }

static void refuses(const char *text) {
  pf_json value;
  expect(!pf_json_read(pf_literal(text), &value), text);
}

static void documents(void) {
  const char *good[] = {"{}",   "[]",    " [ 1 , {\"a\" : [ ] } ]\n", "0",      "-0.5e+10", "1E2",
                        "true", "false", "null",                      "\"\\\"\"", "[[[]]]",   "{\"\":{}}"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) read(good[i]);
  const char *bad[] = {"",      " ",     "{",       "[1,]",  "[1 2]",      "{1:2}",    "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
                       "01",    "1.",    ".5",      "-",     "1e",         "+1",       "tru",     "nulls",    "\"",
                       "\"\\",  "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\n\"",   "[] []",    "]",       "[}",       "'a'"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuses(bad[i]);
}

static void depth(void) {
  enum { DEEP = 200 };
  static char text[2 * DEEP + 1];
  for (size_t deep = 1; deep <= DEEP; deep++) {
    for (size_t i = 0; i < deep; i++) text[i] = '[', text[deep + i] = ']';
    pf_json value;
    bool read = pf_json_read((pf_text){(uint8_t *)text, 2 * deep}, &value);
    expect(read == (deep <= PF_JSON_DEPTH + 1), "depth");
  }
}

static void texts(void) {
  reads("\"plain\"", "plain");
  reads("\"\"", "");
  reads("\"a\\n\\t\\r\\b\\f\\\\\\/\\\"z\"", "a\n\t\r\b\f\\/\"z");
  reads("\"\\u0041\\u00e4\\u20ac\"", "A\xc3\xa4\xe2\x82\xac");
  reads("\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!");
  reads("\"\\ud83d\"", "\xef\xbf\xbd");
  reads("\"\\ud83d\\u0041\"", "\xef\xbf\xbd" "A");
  reads("\"\\ude00\"", "\xef\xbf\xbd");
  reads("7", "");
}

static void numbers(void) {
  struct { const char *text; uint32_t number; } rows[] = {
      {"0", 0}, {"443", 443}, {"4294967295", UINT32_MAX}, {"4294967296", 7}, {"99999999999999999999999", 7},
      {"-1", 7}, {"1.5", 7}, {"1e3", 7}, {"\"1\"", 7}, {"[1]", 7}, {"null", 7},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    expect(pf_json_number(read(rows[i].text), 7) == rows[i].number, rows[i].text);
  }
  expect(pf_json_bool(read("true"), false) && !pf_json_bool(read("false"), true), "true and false");
  expect(pf_json_bool(read("0"), true), "no bool");
}

static void members(void) {
  pf_json object = read("{\"a\": [1, \"two\", {\"b\": 3}], \"\\u0062\": {\"c\": true}, \"d\": \"}\"}");
  pf_json list = pf_json_member(object, "a");
  pf_json item = pf_json_first(list);
  expect(pf_json_number(item, 0) == 1, "first item");
  item = pf_json_next(item);
  expect(pf_is(pf_json_text(item), "two"), "second item");
  item = pf_json_next(item);
  expect(pf_json_number(pf_json_member(item, "b"), 0) == 3, "third item");
  expect(!pf_json_is_there(pf_json_next(item)), "no fourth item");
  expect(pf_json_bool(pf_json_member(pf_json_member(object, "b"), "c"), false), "a key with an escape");
  expect(pf_is(pf_json_text(pf_json_member(object, "d")), "}"), "a value behind others");
  expect(!pf_json_is_there(pf_json_member(object, "c")), "a member of a member is none of the object");
  expect(!pf_json_is_there(pf_json_member(list, "a")), "a list has no members");
  expect(!pf_json_is_there(pf_json_first(object)), "an object has no items");
  expect(!pf_json_is_there(pf_json_first(read("[]"))), "an empty list");
  pf_json nothing = pf_json_member(object, "nothing");
  expect(!pf_json_is_there(pf_json_member(nothing, "a")), "a member of nothing");
  expect(pf_is(pf_json_text(nothing), "") && pf_json_number(nothing, 7) == 7, "nothing is empty");
}

static void names(void) {
  struct { const char *pattern, *name; bool matches; } rows[] = {
      {"a.example", "a.example", true},    {"a.example", "b.a.example", false}, {"*.a.example", "b.a.example", true},
      {"*.a.example", "a.example", false}, {"*.a.example", "xa.example", false}, {"*a.example", "xa.example", false},
      {"*", "a.example", false},           {"*.a.example", "*.b.a.example", true}, {"", "", true},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    bool matches = pf_name_matches(pf_literal(rows[i].pattern), pf_literal(rows[i].name));
    expect(matches == rows[i].matches, rows[i].pattern);
  }
  expect(pf_is(pf_numbered("/a/", 0), "/a/0") && pf_is(pf_numbered("", 1234567), "1234567"), "numbered");
}

void policy_configure(pf_json settings) {
  documents();
  depth();
  texts();
  numbers();
  members();
  names();
  expect(!pf_json_bool(pf_json_member(settings, "fail"), false), "asked to fail");
}

pf_decision policy_check_target(const pf_request *request) {
  (void)request;
  return pf_allow((pf_terms){0});
}

pf_verdict policy_check_address(const pf_request *request, const pf_answer *answer) {
  (void)request;
  return pf_is_public_or_granted(answer) ? pf_allow_address() : pf_deny_address("not-public", "not public");
}
