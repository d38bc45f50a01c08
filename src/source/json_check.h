/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json_check.h - whether bytes are JSON (RFC 8259), and of how many tokens
 *
 * Layer: source, private to json.c; pure.
 */
#pragma once

#include <stddef.h>

#include "nodesplice/base/err.h"

/**
 * json_check() - Check one document, in one pass and without allocation
 * @ret_tokens_n: Scalars, keys, objects and arrays; unchanged on error
 *
 * Return: 0; -EINVAL with the byte offset; -E2BIG (LIMIT_JSON_DEPTH,
 * LIMIT_JSON_TOKENS)
 */
int json_check(const char *data, size_t len, size_t *ret_tokens_n,
	       struct errbuf *e);

/* The value of a hexadecimal digit; -1: it is none. */
int json_hex_digit(char c);
