// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   { "kind": ..., "metadata": {...}, "items": [ {...} , {...} ], ... }
 *   |--------------- frame ---------------------| item    item  |-frame-|
 *
 * Each byte belongs to the frame, to an item, or to the white space and commas
 * between items, which are dropped.  The position (enum k8s_list_at) and three
 * lexical facts (in a string, after a backslash, depth) are all the state, so
 * a body may be cut anywhere.  "metadata" may come before or behind the items:
 * it is in the frame either way, and read when the body has ended.
 *
 * Brackets are counted, not matched: '{]' ends an item as '{}' does, and then
 * the parser of the item refuses it.
 *
 * Invariants: item and frame hold at most LIMIT_OBJECT_BYTES each; an item
 * that is larger is dropped as it arrives, told to the owner with its length,
 * and the list goes on.
 */
#include <errno.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

#include "k8s_list.h"

static void bytes_free(struct k8s_bytes *b)
{
	free(b->data);
	*b = (struct k8s_bytes){0};
}

static int bytes_add(struct k8s_bytes *b, const char *data, size_t len)
{
	int r = array_reserve(&b->data, &b->room, b->len + len, 1);

	if (r < 0)
		return r;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void k8s_list_init(struct k8s_list_reader *l, k8s_piece_fn fn, void *fn_data)
{
	*l = (struct k8s_list_reader){.fn = fn, .fn_data = fn_data};
}

void k8s_list_reset(struct k8s_list_reader *l)
{
	bytes_free(&l->item);
	bytes_free(&l->frame);
	k8s_list_init(l, l->fn, l->fn_data);
}

/* Follow one byte; whether it closed the outermost bracket. */
static bool lexical_step(struct k8s_list_reader *l, char c)
{
	if (l->in_string) {
		if (l->escaped)
			l->escaped = false;
		else if (c == '\\')
			l->escaped = true;
		else if (c == '"')
			l->in_string = false;
		return false;
	}
	if (c == '"')
		l->in_string = true;
	else if (c == '{' || c == '[')
		l->depth++;
	else if (c == '}' || c == ']')
		return --l->depth == 0;
	return false;
}

static int item_end(struct k8s_list_reader *l)
{
	bool whole = l->item_bytes <= LIMIT_OBJECT_BYTES;
	int r;

	/* The outer object, of which we are one level inside. */
	l->depth = 1;
	l->at = K8S_LIST_AT_BEHIND;
	l->items_n++;
	r = l->fn(whole ? l->item.data : NULL, l->item_bytes, l->fn_data);
	l->item.len = 0;
	l->item_bytes = 0;
	return r;
}

/* Take bytes of the item until it ends. */
static int item_feed(struct k8s_list_reader *l, const char *data, size_t len,
		     size_t *ret_used, struct errbuf *e)
{
	bool ended = false;
	size_t used = 0;
	int r;

	while (used < len && !ended)
		ended = lexical_step(l, data[used++]);
	*ret_used = used;
	l->item_bytes += used;
	if (l->item_bytes > LIMIT_SKIPPED_BYTES)
		return errf(e, -E2BIG, "items[%llu] has no end within %u bytes",
			    (unsigned long long)l->items_n,
			    LIMIT_SKIPPED_BYTES);
	if (l->item_bytes > LIMIT_OBJECT_BYTES) {
		bytes_free(&l->item);
	} else {
		r = bytes_add(&l->item, data, used);
		if (r < 0)
			return errf(e, r, "out of memory");
	}
	return ended ? item_end(l) : 0;
}

/* Whether the string that ended just now is the key "items". */
static bool key_is_items(const struct k8s_list_reader *l)
{
	static const char items[] = "\"items\"";
	size_t n = l->frame.len - l->key_at;

	return n == strlen(items) &&
	       memcmp(l->frame.data + l->key_at, items, n) == 0;
}

/* What a byte on the level of the outer object says about its members. */
static void member_step(struct k8s_list_reader *l, char c, bool string_ended)
{
	if (string_ended) {
		l->items_next = l->want_key && key_is_items(l);
		l->want_key = false;
	} else if (c == ',') {
		l->want_key = true;
		l->items_next = false;
	} else if (c != ':' && !is_space(c) && !l->in_string) {
		l->items_next = false;
	}
}

static int frame_step(struct k8s_list_reader *l, char c, struct errbuf *e)
{
	bool was_in_string = l->in_string;
	int r;

	if (l->frame.len >= LIMIT_OBJECT_BYTES)
		return errf(e, -E2BIG, "more than %u bytes outside of items",
			    LIMIT_OBJECT_BYTES);
	r = bytes_add(&l->frame, &c, 1);
	if (r < 0)
		return errf(e, r, "out of memory");
	if (!was_in_string && l->depth == 1 && l->items_next && c == '[') {
		l->at = K8S_LIST_AT_FIRST;
		return 0;
	}
	if (lexical_step(l, c)) {
		l->at = K8S_LIST_AT_END;
		return 0;
	}
	if (l->depth != 1)
		return 0;
	if (!was_in_string && l->in_string)
		l->key_at = l->frame.len - 1;
	else
		member_step(l, c, was_in_string && !l->in_string);
	return 0;
}

static int between_step(struct k8s_list_reader *l, char c, struct errbuf *e)
{
	if (is_space(c))
		return 0;
	if (c == ']' && l->at != K8S_LIST_AT_NEXT) {
		l->at = K8S_LIST_AT_FRAME;
		l->items_next = false;
		return bytes_add(&l->frame, &c, 1);
	}
	if (c == ',' && l->at == K8S_LIST_AT_BEHIND) {
		l->at = K8S_LIST_AT_NEXT;
		return 0;
	}
	return errf(e, -EINVAL, "items[%llu] is no object of a list",
		    (unsigned long long)l->items_n);
}

static int start_step(struct k8s_list_reader *l, char c, struct errbuf *e)
{
	if (is_space(c))
		return 0;
	if (c != '{')
		return errf(e, -EINVAL, "not a JSON object");
	l->at = K8S_LIST_AT_FRAME;
	l->want_key = true;
	l->depth = 1;
	return bytes_add(&l->frame, &c, 1);
}

static int step(struct k8s_list_reader *l, const char *data, size_t len,
		size_t *ret_used, struct errbuf *e)
{
	*ret_used = 1;
	switch (l->at) {
	case K8S_LIST_AT_START:
		return start_step(l, *data, e);
	case K8S_LIST_AT_FRAME:
		return frame_step(l, *data, e);
	case K8S_LIST_AT_FIRST:
	case K8S_LIST_AT_NEXT:
	case K8S_LIST_AT_BEHIND:
		if (*data != '{' || l->at == K8S_LIST_AT_BEHIND)
			return between_step(l, *data, e);
		l->at = K8S_LIST_AT_ITEM;
		l->depth = 0;
		return item_feed(l, data, len, ret_used, e);
	case K8S_LIST_AT_ITEM:
		return item_feed(l, data, len, ret_used, e);
	case K8S_LIST_AT_END:
		if (is_space(*data))
			return 0;
		return errf(e, -EINVAL, "something follows the list");
	case K8S_LIST_AT_MAX_:
		break;
	}
	return -EINVAL;
}

int k8s_list_feed(struct k8s_list_reader *l, const char *data, size_t len,
		  struct errbuf *e)
{
	size_t used;
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += used)
		r = step(l, data + i, len - i, &used, e);
	return r;
}

int k8s_list_frame(const struct k8s_list_reader *l, const char **ret_json,
		   size_t *ret_len, struct errbuf *e)
{
	if (l->at != K8S_LIST_AT_END)
		return errf(e, -EINVAL, "the answer broke off");
	*ret_json = l->frame.data;
	*ret_len = l->frame.len;
	return 0;
}

void k8s_lines_init(struct k8s_lines *l, k8s_piece_fn fn, void *fn_data)
{
	*l = (struct k8s_lines){.fn = fn, .fn_data = fn_data};
}

void k8s_lines_reset(struct k8s_lines *l)
{
	bytes_free(&l->line);
}

/* A large object must not keep its room for the life of the stream. */
static void line_used(struct k8s_lines *l)
{
	const size_t usual_bytes = 64u << 10;

	if (l->line.room > usual_bytes)
		bytes_free(&l->line);
	l->line.len = 0;
}

int k8s_lines_feed(struct k8s_lines *l, const char *data, size_t len,
		   struct errbuf *e)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		int r = 0;

		if (n > LIMIT_OBJECT_BYTES - l->line.len)
			return errf(e, -E2BIG, "a line has more than %u bytes",
				    LIMIT_OBJECT_BYTES);
		/* A whole line inside of one chunk needs no copy. */
		if (end && l->line.len == 0) {
			r = n ? l->fn(data, n, l->fn_data) : 0;
		} else {
			r = bytes_add(&l->line, data, n);
			if (r < 0)
				return errf(e, r, "out of memory");
			if (end) {
				r = l->fn(l->line.data, l->line.len,
					  l->fn_data);
				line_used(l);
			}
		}
		if (r != 0)
			return r;
		n += end ? 1 : 0;
		data += n;
		len -= n;
	}
	return 0;
}
