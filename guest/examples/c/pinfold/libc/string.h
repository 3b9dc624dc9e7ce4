// What the bindings take from a C library; `memory.c` has it.
#pragma once
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
