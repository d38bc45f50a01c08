/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_field.h - reading the fields of an API object by tables
 *
 * Layer: source, private to the decoders.  A table names the fields of one
 * JSON object, how each is read, and where its value goes.  The reader knows
 * the path of what is being read, so that every refusal names the field, its
 * value and what is allowed.
 *
 * null is the same as absent.  Of duplicate keys the last one counts.  Fields
 * are read in the order of the table, not of the document.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/err.h"
#include "nodesplice/source/json.h"

#define K8S_FIELDS_MAX 16 /* of one table */
#define K8S_PATH_MAX   10 /* levels of the tables below one another */

struct k8s_reader {
	struct errbuf *e;    /* may be NULL */
	const void *context; /* of the decoder, for its read functions */
	void *owner;	     /* the object, where they note more than a value */
	size_t path_n;
	struct {
		const char *name; /* NULL: a list's item */
		size_t index;
	} path[K8S_PATH_MAX];
};

/*
 * Read one value.  @out is the field's place in the object, which is zero or
 * holds the default.  What it stored before it failed is owned by the object.
 */
typedef int (*k8s_read_fn)(struct k8s_reader *r, struct json v, void *out);

struct k8s_field {
	const char *name;
	k8s_read_fn read;
	size_t offset; /* of @out in the object */
};

/**
 * k8s_read_fields() - Read an object by its table
 * @out:	Base of the offsets
 *
 * Return: 0; -EINVAL, -E2BIG with text; -ENOMEM; what a read function returned
 */
int k8s_read_fields(struct k8s_reader *r, struct json v,
		    const struct k8s_field *fields, size_t fields_n, void *out);

/* As a k8s_read_fn body: the table is an array in scope. */
#define K8S_READ_FIELDS(r, v, fields, out)                                     \
	({                                                                     \
		_Static_assert(ARRAY_SIZE(fields) <= K8S_FIELDS_MAX,           \
			       "see K8S_FIELDS_MAX");                          \
		k8s_read_fields(r, v, fields, ARRAY_SIZE(fields), out);        \
	})

struct k8s_list {
	size_t item_bytes;
	size_t items_max;
	/* Returns K8S_SKIP_ITEM to leave a (still zero) item out. */
	k8s_read_fn read;
};
#define K8S_SKIP_ITEM 1

/**
 * k8s_read_list() - Read a list into an array of its exact size; -E2BIG above
 *		     its maximum
 * @ret_items:	Address of the array's pointer, which is NULL before
 * @ret_n:	Counts an item before it is read, so that the object's free
 *		function finds what a failed item holds
 */
int k8s_read_list(struct k8s_reader *r, struct json v,
		  const struct k8s_list *list, void *ret_items, size_t *ret_n);

/* The same; of more than its maximum the first ones count. */
int k8s_read_list_begin(struct k8s_reader *r, struct json v,
			const struct k8s_list *list, void *ret_items,
			size_t *ret_n);

/* One step down the path (@name NULL: item @index), and up again. */
void k8s_enter(struct k8s_reader *r, const char *name, size_t index);
void k8s_leave(struct k8s_reader *r);

/* -EINVAL: "spec.ports[1].port: 0 is not allowed (1..65535)" */
int k8s_refuse(struct k8s_reader *r, struct json v, const char *allowed);
/* The path before a text that is already there. */
int k8s_refuse_at(struct k8s_reader *r, int error, const char *text);

/* Read functions; @out in the comment. */
int k8s_read_string(struct k8s_reader *r, struct json v,
		    void *out);					   /* char ** */
int k8s_read_bool(struct k8s_reader *r, struct json v, void *out); /* bool * */
/* uint16_t *: 1..65535 */
int k8s_read_port(struct k8s_reader *r, struct json v, void *out);
/* uint16_t *: 0..65535 */
int k8s_read_port_or_none(struct k8s_reader *r, struct json v, void *out);
/* char **: RFC 1123 label or subdomain, which is safe in comments and paths */
int k8s_read_label(struct k8s_reader *r, struct json v, void *out);
int k8s_read_subdomain(struct k8s_reader *r, struct json v, void *out);
/* char **: a label, or "" */
int k8s_read_label_or_empty(struct k8s_reader *r, struct json v, void *out);
/* uint64_t *: seconds since the epoch, of an RFC 3339 time */
int k8s_read_time(struct k8s_reader *r, struct json v, void *out);

/**
 * k8s_read_enum() - Read one of some words
 * @names:	By value; an empty string in the document is "absent"
 * @ret_value:	Unchanged if absent
 */
int k8s_read_enum(struct k8s_reader *r, struct json v, const char *const *names,
		  unsigned int names_n, unsigned int *ret_value);

/**
 * k8s_parse_time() - RFC 3339 with an optional fraction
 * @ret_ms:	Milliseconds since the epoch
 *
 * Return: 0; -EINVAL, also before 1970
 */
int k8s_parse_time(const char *text, uint64_t *ret_ms);
