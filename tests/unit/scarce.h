/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scarce.h - memory that runs out when a test says so
 *
 * For a test of the list scarce_tests in meson.build, which link with --wrap:
 * of what the program under test asks for, the first scarce_left allocations
 * succeed, and all others fail.
 */
#pragma once

#include <limits.h>
#include <stdlib.h>

static unsigned int scarce_left = UINT_MAX; /* UINT_MAX: for ever */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);

static bool scarce_grant(void)
{
	if (scarce_left == 0)
		return false;
	if (scarce_left != UINT_MAX)
		scarce_left--;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return scarce_grant() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return scarce_grant() ? __real_calloc(n, size) : NULL;
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return scarce_grant() ? __real_reallocarray(old, n, size) : NULL;
}
