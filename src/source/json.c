// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   bytes --json_check()--> grammar, depth, number of tokens --jsmn--> tokens
 *         --link_tokens()--> each token knows where its subtree ends
 *
 * jsmn, even when strict, takes much that is not JSON ("{"a"}", "[1 2]",
 * "-x") and needs to be told how many tokens to expect.  So one pass over the
 * bytes comes first, with a stack of LIMIT_JSON_DEPTH brackets and no other
 * memory: it refuses everything that RFC 8259 refuses, and counts.  jsmn then
 * sees nothing but JSON, and an array of the right size.
 *
 * jsmn walks from a closing bracket up the parents of the last token; the
 * bounded depth bounds that walk, so the whole is linear in the bytes.
 *
 * After link_tokens(), the parent field of a token holds the index of the first token
 * behind its subtree.  A key is the parent of its value, thus the end of a
 * key's subtree is the next key: walking members touches one token each.
 *
 * Not here: what keys mean (k8s_decode.c), UTF-8 (a broken sequence is passed
 * on as it is; whoever prints a string replaces it).
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "json_check.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/json.h"

/* Tokens that stay allocated from one document to the next: 1.3 MB. */
#define TOKENS_KEPT 65536

struct json_doc {
	const char *data; /* borrowed */
	jsmntok_t *tokens;
	size_t room;
};

/* Room for @n tokens, but not for the largest document ever seen. */
static int reserve_tokens(struct json_doc *d, size_t n)
{
	if (d->room > TOKENS_KEPT && n <= TOKENS_KEPT) {
		free(d->tokens);
		d->tokens = NULL;
		d->room = 0;
	}
	return array_reserve(&d->tokens, &d->room, n, sizeof(*d->tokens));
}

/* Turn each parent link into the index behind the token's subtree. */
static void link_tokens(jsmntok_t *tokens, int n)
{
	int open[2 * LIMIT_JSON_DEPTH + 1]; /* containers and their keys */
	int open_n = 0;

	for (int i = 0; i < n; i++) {
		int parent = tokens[i].parent;

		while (open_n > 0 && open[open_n - 1] != parent)
			tokens[open[--open_n]].parent = i;
		assert(open_n < (int)ARRAY_SIZE(open)); /* by json_check() */
		open[open_n++] = i;
	}
	while (open_n > 0)
		tokens[open[--open_n]].parent = n;
}

/* The root is a word or a number: jsmn wants a delimiter behind it. */
static void single_token(jsmntok_t *token, const char *data, size_t len)
{
	size_t start = 0, end = len;

	while (strchr(" \t\r\n", data[start]))
		start++;
	while (strchr(" \t\r\n", data[end - 1]))
		end--;
	*token = (jsmntok_t){.type = JSMN_PRIMITIVE,
			     .start = (int)start,
			     .end = (int)end,
			     .parent = -1};
}

int json_doc_new(struct json_doc **ret_doc)
{
	struct json_doc *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*ret_doc = d;
	return 0;
}

void json_doc_free(struct json_doc *d)
{
	if (!d)
		return;
	free(d->tokens);
	free(d);
}

int json_parse(struct json_doc *d, const char *data, size_t len,
	       struct json *ret_root, struct errbuf *e)
{
	size_t tokens_n = 0;
	jsmn_parser parser;
	int r, n;

	_Static_assert(LIMIT_MANIFEST_BYTES < INT_MAX,
		       "jsmn's offsets are int");
	if (len > LIMIT_MANIFEST_BYTES)
		return errf(e, -E2BIG, "JSON is longer than %u bytes",
			    LIMIT_MANIFEST_BYTES);
	r = json_check(data, len, &tokens_n, e);
	if (r < 0)
		return r;
	if (reserve_tokens(d, tokens_n) < 0)
		return errf(e, -ENOMEM, "out of memory");
	jsmn_init(&parser);
	n = jsmn_parse(&parser, data, len, d->tokens, (unsigned int)tokens_n);
	if (n == JSMN_ERROR_PART && tokens_n == 1) {
		single_token(d->tokens, data, len);
		n = 1;
	}
	if (n != (int)tokens_n)
		return errf(e, -EINVAL, "not JSON: the tokenizer says %d", n);
	link_tokens(d->tokens, n);
	d->data = data;
	*ret_root = (struct json){.doc = d, .token = 0};
	return 0;
}

static const jsmntok_t *token_of(struct json v)
{
	return &v.doc->tokens[v.token];
}

enum json_type json_type(struct json v)
{
	const jsmntok_t *t = token_of(v);

	switch (t->type) {
	case JSMN_OBJECT:
		return JSON_OBJECT;
	case JSMN_ARRAY:
		return JSON_ARRAY;
	case JSMN_STRING:
		return JSON_STRING;
	case JSMN_PRIMITIVE:
	case JSMN_UNDEFINED:
		break;
	}
	switch (v.doc->data[t->start]) {
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

const char *json_type_name(enum json_type t)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",
		[JSON_STRING] = "a string",  [JSON_NUMBER] = "a number",
		[JSON_BOOL] = "a boolean",   [JSON_NULL] = "null",
	};
	_Static_assert(ARRAY_SIZE(names) == JSON_TYPE_MAX_, "a name for each");

	return names[t];
}

bool json_next_member(struct json object, int *it, struct json *ret_key,
		      struct json *ret_value)
{
	int key = *it ? *it : object.token + 1;

	if (token_of(object)->type != JSMN_OBJECT ||
	    key >= token_of(object)->parent)
		return false;
	*ret_key = (struct json){.doc = object.doc, .token = key};
	*ret_value = (struct json){.doc = object.doc, .token = key + 1};
	*it = object.doc->tokens[key].parent;
	return true;
}

bool json_next_item(struct json array, int *it, struct json *ret_value)
{
	int item = *it ? *it : array.token + 1;

	if (token_of(array)->type != JSMN_ARRAY ||
	    item >= token_of(array)->parent)
		return false;
	*ret_value = (struct json){.doc = array.doc, .token = item};
	*it = array.doc->tokens[item].parent;
	return true;
}

size_t json_size(struct json v)
{
	const jsmntok_t *t = token_of(v);

	if (t->type != JSMN_OBJECT && t->type != JSMN_ARRAY)
		return 0;
	return (size_t)t->size;
}

/* The four digits of a checked \uXXXX at @p, which points at the first. */
static uint32_t hex4(const char *p)
{
	uint32_t code = 0;

	for (int i = 0; i < 4; i++)
		code = code << 4 | (uint32_t)json_hex_digit(p[i]);
	return code;
}

/* UTF-8 (RFC 3629) of a code point; returns its length. */
static size_t utf8_encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/*
 * Decode the \u escape at **@p (behind the 'u'), with the low surrogate that a
 * high one needs.  Returns the bytes written; 0: NUL or a broken pair.
 */
static size_t decode_unicode(const char **p, const char *end, char out[4])
{
	uint32_t code = hex4(*p);

	*p += 4;
	if (code >= 0xd800 && code < 0xdc00) {
		uint32_t low;

		if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
			return 0;
		low = hex4(*p + 2);
		if (low < 0xdc00 || low > 0xdfff)
			return 0;
		*p += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	} else if (code == 0 || (code >= 0xdc00 && code <= 0xdfff)) {
		return 0;
	}
	return utf8_encode(code, out);
}

/*
 * Decode one character of a checked string at **@p.  Returns the bytes
 * written; 0: NUL or a broken surrogate pair.
 */
static size_t decode_char(const char **p, const char *end, char out[4])
{
	static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char c = *(*p)++;

	if (c == '\\') {
		c = *(*p)++;
		if (c == 'u')
			return decode_unicode(p, end, out);
		c = meant[strchr(escapes, c) - escapes];
	}
	out[0] = c;
	return 1;
}

bool json_equals(struct json string, const char *s)
{
	const jsmntok_t *t = token_of(string);
	const char *p = string.doc->data + t->start;
	const char *end = string.doc->data + t->end;
	char c[4];
	size_t n;

	if (t->type != JSMN_STRING)
		return false;
	while (p < end) {
		n = decode_char(&p, end, c);
		if (n == 0 || strncmp(s, c, n) != 0)
			return false;
		s += n;
	}
	return *s == '\0';
}

int json_string(struct json v, char **ret_s)
{
	const jsmntok_t *t = token_of(v);
	const char *p = v.doc->data + t->start, *end = v.doc->data + t->end;
	cleanup_(freep) char *s = NULL;
	size_t len = 0, n;
	char c[4];

	if (t->type != JSMN_STRING)
		return -EINVAL;
	/* No escape is shorter than what it stands for. */
	s = malloc((size_t)(end - p) + 1);
	if (!s)
		return -ENOMEM;
	while (p < end) {
		n = decode_char(&p, end, c);
		if (n == 0)
			return -EINVAL;
		memcpy(s + len, c, n);
		len += n;
	}
	s[len] = '\0';
	*ret_s = TAKE_PTR(s);
	return 0;
}

int json_bool(struct json v, bool *ret_b)
{
	if (json_type(v) != JSON_BOOL)
		return -EINVAL;
	*ret_b = v.doc->data[token_of(v)->start] == 't';
	return 0;
}

int json_integer(struct json v, int64_t *ret_n)
{
	const jsmntok_t *t = token_of(v);
	const char *p = v.doc->data + t->start, *end = v.doc->data + t->end;
	bool negative = *p == '-';
	int64_t value = 0;

	if (json_type(v) != JSON_NUMBER)
		return -EINVAL;
	/* Downwards: the smallest number has no positive twin. */
	for (p += negative; p < end; p++) {
		if (*p < '0' || *p > '9') /* a fraction or an exponent */
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, *p - '0', &value))
			return -ERANGE;
	}
	if (!negative && __builtin_mul_overflow(value, -1, &value))
		return -ERANGE;
	*ret_n = value;
	return 0;
}

void json_raw(struct json v, const char **ret_data, size_t *ret_len)
{
	const jsmntok_t *t = token_of(v);
	int quote = t->type == JSMN_STRING; /* jsmn leaves the quotes out */

	*ret_data = v.doc->data + t->start - quote;
	*ret_len = (size_t)(t->end - t->start + 2 * quote);
}
