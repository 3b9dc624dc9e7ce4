// The few functions of a C library that a policy needs. A whole one would import WASI.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 65536, ALIGN = 16 };

extern uint8_t __heap_base;
static uintptr_t next = 0;

// Memory is taken and never given back: an instance answers one request and is gone.
void *malloc(size_t size) {
  if (next == 0) next = ((uintptr_t)&__heap_base + ALIGN - 1) / ALIGN * ALIGN;
  if (size > SIZE_MAX / 2) abort();
  size_t whole = ALIGN + (size + ALIGN - 1) / ALIGN * ALIGN;
  size_t room = __builtin_wasm_memory_size(0) * PAGE - next;
  if (whole > room) {
    size_t pages = (whole - room + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) abort();
  }
  // The size stands in front, for `realloc`.
  *(size_t *)next = size;
  void *block = (void *)(next + ALIGN);
  next += whole;
  return block;
}

void *realloc(void *old, size_t size) {
  void *block = malloc(size);
  if (old == NULL) return block;
  size_t before = *(size_t *)((uintptr_t)old - ALIGN);
  return memcpy(block, old, before < size ? before : size);
}

void free(void *unused) { (void)unused; }

// A trap: the host denies the request.
_Noreturn void abort(void) { __builtin_trap(); }

void *memcpy(void *to, const void *from, size_t size) {
  for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
  return to;
}

int memcmp(const void *a, const void *b, size_t size) {
  for (size_t i = 0; i < size; i++) {
    int difference = ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
    if (difference != 0) return difference;
  }
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

// The bindings ask for an object file that names the world; `pinfold policy build` adds that itself.
void __component_type_object_force_link_policy(void) {}
