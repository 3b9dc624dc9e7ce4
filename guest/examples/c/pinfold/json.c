// A reader of JSON. The whole document is checked once; values are then places in it, and are read where
// they are asked for.

#include <stdlib.h>
#include <string.h>

#include "pinfold.h"

static const pf_json NOTHING = {NULL, NULL};

// Walking over values. Each function stands at its first octet and moves behind it; false is malformed.

static bool eat(pf_json *rest, uint8_t wanted) {
  if (rest->at == rest->end || *rest->at != wanted) return false;
  rest->at++;
  return true;
}

static void skip_space(pf_json *rest) {
  while (eat(rest, ' ') || eat(rest, '\n') || eat(rest, '\t') || eat(rest, '\r')) continue;
}

static bool skip_word(pf_json *rest, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(rest->end - rest->at) < length || memcmp(rest->at, word, length) != 0) return false;
  rest->at += length;
  return true;
}

static bool is_digit(uint8_t octet) { return octet >= '0' && octet <= '9'; }

static bool skip_digits(pf_json *rest) {
  const uint8_t *first = rest->at;
  while (rest->at != rest->end && is_digit(*rest->at)) rest->at++;
  return rest->at != first;
}

static bool skip_number(pf_json *rest) {
  eat(rest, '-');
  if (!eat(rest, '0') && !skip_digits(rest)) return false;
  if (eat(rest, '.') && !skip_digits(rest)) return false;
  if (!eat(rest, 'e') && !eat(rest, 'E')) return true;
  if (!eat(rest, '+')) eat(rest, '-');
  return skip_digits(rest);
}

// The value of a hexadecimal digit, 16 for anything else.
static uint32_t hex(uint8_t octet) {
  if (is_digit(octet)) return octet - '0';
  octet |= 0x20;
  return octet >= 'a' && octet <= 'f' ? octet - 'a' + 10u : 16;
}

static bool skip_escape(pf_json *rest) {
  if (!eat(rest, 'u')) {
    if (rest->at == rest->end) return false;
    for (const char *known = "\"\\/bfnrt"; *known != 0; known++) {
      if (eat(rest, *known)) return true;
    }
    return false;
  }
  for (int i = 0; i < 4; i++, rest->at++) {
    if (rest->at == rest->end || hex(*rest->at) > 15) return false;
  }
  return true;
}

static bool skip_string(pf_json *rest) {
  if (!eat(rest, '"')) return false;
  while (!eat(rest, '"')) {
    if (rest->at == rest->end || *rest->at < ' ') return false;
    if (!eat(rest, '\\')) rest->at++;
    else if (!skip_escape(rest)) return false;
  }
  return true;
}

static bool skip_value(pf_json *rest, unsigned depth);

static bool skip_member(pf_json *rest, unsigned depth) {
  if (!skip_string(rest)) return false;
  skip_space(rest);
  if (!eat(rest, ':')) return false;
  skip_space(rest);
  return skip_value(rest, depth);
}

static bool skip_inside(pf_json *rest, uint8_t close, unsigned depth, bool (*skip)(pf_json *, unsigned)) {
  rest->at++;
  skip_space(rest);
  if (eat(rest, close)) return true;
  do {
    skip_space(rest);
    if (!skip(rest, depth + 1)) return false;
    skip_space(rest);
  } while (eat(rest, ','));
  return eat(rest, close);
}

static bool skip_value(pf_json *rest, unsigned depth) {
  if (rest->at == rest->end || depth > PF_JSON_DEPTH) return false;
  switch (*rest->at) {
  case '{': return skip_inside(rest, '}', depth, skip_member);
  case '[': return skip_inside(rest, ']', depth, skip_value);
  case '"': return skip_string(rest);
  case 't': return skip_word(rest, "true");
  case 'f': return skip_word(rest, "false");
  case 'n': return skip_word(rest, "null");
  default: return skip_number(rest);
  }
}

bool pf_json_read(pf_text document, pf_json *value) {
  pf_json rest = {document.ptr, document.ptr + document.len};
  skip_space(&rest);
  *value = rest;
  if (!skip_value(&rest, 0)) return false;
  skip_space(&rest);
  return rest.at == rest.end;
}

// Finding values. From here on the document is known to be well-formed.

static bool begins(pf_json value, uint8_t first) { return value.at != value.end && *value.at == first; }

// The first thing inside of an object or list, nothing when it is empty.
static pf_json inside(pf_json value, uint8_t open, uint8_t close) {
  if (!begins(value, open)) return NOTHING;
  value.at++;
  skip_space(&value);
  return begins(value, close) ? NOTHING : value;
}

// What stands behind a comma, when there is one.
static pf_json after_comma(pf_json rest) {
  skip_space(&rest);
  if (!eat(&rest, ',')) return NOTHING;
  skip_space(&rest);
  return rest;
}

bool pf_json_is_there(pf_json value) { return value.at != NULL; }

pf_json pf_json_first(pf_json list) { return inside(list, '[', ']'); }

pf_json pf_json_next(pf_json item) { return skip_value(&item, 0) ? after_comma(item) : NOTHING; }

pf_json pf_json_member(pf_json object, const char *key) {
  pf_json rest = inside(object, '{', '}');
  while (pf_json_is_there(rest)) {
    bool found = pf_is(pf_json_text(rest), key);
    if (!skip_string(&rest)) return NOTHING;
    skip_space(&rest);
    if (!eat(&rest, ':')) return NOTHING;
    skip_space(&rest);
    if (found) return rest;
    rest = pf_json_next(rest);
  }
  return NOTHING;
}

// Reading values.

bool pf_json_bool(pf_json value, bool otherwise) {
  if (begins(value, 't')) return true;
  return begins(value, 'f') ? false : otherwise;
}

uint32_t pf_json_number(pf_json value, uint32_t otherwise) {
  pf_json rest = value;
  if (!pf_json_is_there(value) || !skip_number(&rest)) return otherwise;
  uint64_t number = 0;
  for (; value.at != rest.at; value.at++) {
    if (!is_digit(*value.at)) return otherwise;
    number = number * 10 + (*value.at - '0');
    if (number > UINT32_MAX) return otherwise;
  }
  return (uint32_t)number;
}

static uint32_t four_digits(const uint8_t *at) {
  return hex(at[0]) << 12 | hex(at[1]) << 8 | hex(at[2]) << 4 | hex(at[3]);
}

// The character of `\uXXXX`, at its first digit; two of them make a character beyond the first plane.
static uint32_t character(const uint8_t **at, const uint8_t *end) {
  uint32_t first = four_digits(*at);
  *at += 4;
  bool is_half = first >= 0xd800 && first < 0xe000;
  if (!is_half) return first;
  const uint32_t replacement = 0xfffd;
  if (first >= 0xdc00 || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') return replacement;
  uint32_t second = four_digits(*at + 2);
  if (second < 0xdc00 || second >= 0xe000) return replacement;
  *at += 6;
  return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

static void append_utf8(pf_text *text, uint32_t c) {
  uint8_t *to = text->ptr + text->len;
  if (c < 0x80) {
    to[0] = c;
    text->len += 1;
  } else if (c < 0x800) {
    to[0] = 0xc0 | c >> 6, to[1] = 0x80 | (c & 0x3f);
    text->len += 2;
  } else if (c < 0x10000) {
    to[0] = 0xe0 | c >> 12, to[1] = 0x80 | (c >> 6 & 0x3f), to[2] = 0x80 | (c & 0x3f);
    text->len += 3;
  } else {
    to[0] = 0xf0 | c >> 18, to[1] = 0x80 | (c >> 12 & 0x3f);
    to[2] = 0x80 | (c >> 6 & 0x3f), to[3] = 0x80 | (c & 0x3f);
    text->len += 4;
  }
}

static uint32_t escaped(const uint8_t **at, const uint8_t *end) {
  uint8_t kind = *(*at)++;
  switch (kind) {
  case 'b': return '\b';
  case 'f': return '\f';
  case 'n': return '\n';
  case 'r': return '\r';
  case 't': return '\t';
  case 'u': return character(at, end);
  default: return kind;
  }
}

pf_text pf_json_text(pf_json value) {
  pf_text text = {(uint8_t *)"", 0};
  pf_json rest = value;
  if (!begins(value, '"') || !skip_string(&rest)) return text;
  const uint8_t *at = value.at + 1, *end = rest.at - 1;
  text.ptr = (uint8_t *)at;
  // As it stands in the document, unless it holds an escape: that is never shorter than what it means.
  while (at != end && *at != '\\') at++;
  text.len = at - text.ptr;
  if (at == end) return text;
  uint8_t *copy = malloc(end - text.ptr);
  memcpy(copy, text.ptr, text.len);
  text.ptr = copy;
  while (at != end) {
    if (*at != '\\') text.ptr[text.len++] = *at++;
    else at++, append_utf8(&text, escaped(&at, end));
  }
  return text;
}
