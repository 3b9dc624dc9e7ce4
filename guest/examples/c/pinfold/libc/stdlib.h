// What the bindings take from a C library; `memory.c` has it.
#pragma once
#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *unused);
_Noreturn void abort(void);
