/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json.h - a cursor over one JSON document, linear in its tokens
 *
 * Layer: source, pure.  jsmn (strict, with parent links) makes the tokens; a
 * node is an index into them.  Walking an object or array visits each child
 * once: decoders loop over the members and switch on the key, they never look
 * a key up by scanning.  Duplicate keys: the last one wins, as in Go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/err.h"
#include "nodesplice/base/mem.h"

enum json_type {
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_BOOL,
	JSON_NULL,
	JSON_TYPE_MAX_,
};

struct json_doc; /* tokens; reusable from one document to the next */

struct json {
	const struct json_doc *doc; /* borrowed */
	int token;
};

int json_doc_new(struct json_doc **ret_doc);
void json_doc_free(struct json_doc *d);
DEFINE_FREEP(struct json_doc, json_doc_free)

/**
 * json_parse() - Tokenize and check one document
 * @data:	Borrowed until the next json_parse() of @d
 * @ret_root:	The root value
 *
 * Return: 0; -EINVAL (not JSON: the text names the byte offset), -E2BIG (more
 * than LIMIT_JSON_TOKENS, or deeper than LIMIT_JSON_DEPTH), -ENOMEM
 */
int json_parse(struct json_doc *d, const char *data, size_t len,
	       struct json *ret_root, struct errbuf *e);

enum json_type json_type(struct json v);
const char *json_type_name(enum json_type t);

/* Iterate: start with *it = 0; false at the end.  @ret_key is a string node. */
bool json_next_member(struct json object, int *it, struct json *ret_key,
		      struct json *ret_value);
bool json_next_item(struct json array, int *it, struct json *ret_value);
/* Number of members or items. */
size_t json_size(struct json v);

/* Whether a string node equals @s (escapes decoded). */
bool json_equals(struct json string, const char *s);
/* Decode a string, escapes included.  0; -EINVAL (not a string, a NUL or a
 * broken surrogate pair inside); -ENOMEM.  Owned by the caller. */
int json_string(struct json v, char **ret_s);
int json_bool(struct json v, bool *ret_b);	 /* 0; -EINVAL */
int json_integer(struct json v, int64_t *ret_n); /* 0; -EINVAL; -ERANGE */
/* The bytes of a value inside the document. */
void json_raw(struct json v, const char **ret_data, size_t *ret_len);
