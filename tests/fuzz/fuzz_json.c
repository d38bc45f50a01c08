// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whatever json_parse() takes can be walked to its end, and each value's own
 * bytes are JSON of the same type again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/source/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void look_at(struct json v)
{
	char *s = NULL;
	int64_t n;
	bool b;

	if (json_string(v, &s) == 0)
		require(json_type(v) == JSON_STRING && json_equals(v, s));
	free(s);
	if (json_integer(v, &n) == 0)
		require(json_type(v) == JSON_NUMBER);
	if (json_bool(v, &b) == 0)
		require(json_type(v) == JSON_BOOL);
}

static size_t walk(struct json v)
{
	struct json key, value;
	size_t children_n = 0, n = 1;
	int it = 0;

	look_at(v);
	while (json_next_member(v, &it, &key, &value)) {
		require(json_type(key) == JSON_STRING);
		look_at(key);
		n += 1 + walk(value);
		children_n++;
	}
	while (json_next_item(v, &it, &value)) {
		n += walk(value);
		children_n++;
	}
	require(children_n == json_size(v));
	return n;
}

/* The bytes of the root are the same document. */
static void parse_again(struct json root)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct json again;
	const char *raw;
	size_t len;

	json_raw(root, &raw, &len);
	if (json_doc_new(&doc) < 0)
		return;
	require(json_parse(doc, raw, len, &again, NULL) == 0);
	require(json_type(again) == json_type(root));
	require(walk(again) == walk(root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	/* An exact copy, so that reading behind it is seen. */
	cleanup_(freep) char *copy = malloc(size ? size : 1);
	struct errbuf e = {""};
	struct json root;
	int r;

	if (!copy || json_doc_new(&doc) < 0)
		return 0;
	memcpy(copy, data, size);
	r = json_parse(doc, copy, size, &root, &e);
	require(r == 0 || (e.text[0] && (r == -EINVAL || r == -E2BIG)));
	if (r == 0)
		parse_again(root);
	return 0;
}
