/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_list.h - the bodies of list and watch answers, cut while they arrive
 *
 * Layer: source, pure, private to it.  A list of 100,000 Services is 200 MB of
 * JSON; what is held here is one item and the list's frame.  Cutting knows
 * strings, escapes and depth, nothing else of JSON: each piece is checked by
 * json_parse() of whoever gets it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/err.h"

struct k8s_bytes {
	char *data; /* owned */
	size_t len;
	size_t room;
};

/**
 * k8s_piece_fn - One piece is complete
 * @json:	Not NUL-terminated, valid during the call; NULL: it was larger
 *		than LIMIT_OBJECT_BYTES and is not here
 * @len:	Its length in bytes
 *
 * Return: 0; another value ends the feeding with it
 */
typedef int (*k8s_piece_fn)(const char *json, size_t len, void *data);

enum k8s_list_at {
	K8S_LIST_AT_START,  /* nothing but white space so far */
	K8S_LIST_AT_FRAME,  /* inside the outer object, outside of its items */
	K8S_LIST_AT_FIRST,  /* after the "[" of items: an item or "]" */
	K8S_LIST_AT_NEXT,   /* after a "," between items: an item */
	K8S_LIST_AT_ITEM,   /* inside an item */
	K8S_LIST_AT_BEHIND, /* after an item: "," or "]" */
	K8S_LIST_AT_END,    /* the outer object is closed */
	K8S_LIST_AT_MAX_,
};

/* The frame is the body without the items: '{"metadata":{...},"items":[]}'. */
struct k8s_list_reader {
	k8s_piece_fn fn;
	void *fn_data; /* borrowed */
	struct k8s_bytes item, frame;
	enum k8s_list_at at;
	size_t item_bytes; /* of the item so far, also of what is not kept */
	uint64_t items_n;
	uint32_t depth; /* of the item or the frame, whichever is read */
	bool in_string, escaped;
	bool want_key;	 /* the next string of the outer object is a key */
	size_t key_at;	 /* where in the frame that key begins */
	bool items_next; /* the key was "items", its value comes */
};

/**
 * k8s_list_init() - Ready for the first byte of a body
 * @fn:		Called for each element of the outer object's "items"
 */
void k8s_list_init(struct k8s_list_reader *l, k8s_piece_fn fn, void *fn_data);
/* Ready for the next body; buffers are released. */
void k8s_list_reset(struct k8s_list_reader *l);

/**
 * k8s_list_feed() - The next bytes of the body, as many as there are
 *
 * Return: 0; -EINVAL: this is no object with objects as its items; -E2BIG: the
 * frame is larger than LIMIT_OBJECT_BYTES or an item than LIMIT_SKIPPED_BYTES;
 * -ENOMEM; what @fn returned.  After an error only reset is legal.
 */
int k8s_list_feed(struct k8s_list_reader *l, const char *data, size_t len,
		  struct errbuf *e);

/**
 * k8s_list_frame() - The body has ended: what was around the items
 * @ret_json:	Borrowed until k8s_list_reset()
 *
 * Return: 0; -EINVAL if the body broke off
 */
int k8s_list_frame(const struct k8s_list_reader *l, const char **ret_json,
		   size_t *ret_len, struct errbuf *e);

/* The lines of a watch: one event each. */
struct k8s_lines {
	k8s_piece_fn fn;
	void *fn_data;	       /* borrowed */
	struct k8s_bytes line; /* the beginning of an unfinished one */
};

void k8s_lines_init(struct k8s_lines *l, k8s_piece_fn fn, void *fn_data);
void k8s_lines_reset(struct k8s_lines *l);

/**
 * k8s_lines_feed() - The next bytes of the stream
 *
 * Empty lines are skipped.
 * Return: 0; -E2BIG: a line is longer than LIMIT_OBJECT_BYTES; -ENOMEM; what
 * @fn returned.  After an error only reset is legal.
 */
int k8s_lines_feed(struct k8s_lines *l, const char *data, size_t len,
		   struct errbuf *e);
