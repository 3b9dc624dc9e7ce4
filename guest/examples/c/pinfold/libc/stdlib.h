// What the bindings take from a C library; `libc.c` has it.
#pragma once
#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *unused);
_Noreturn void abort(void);
