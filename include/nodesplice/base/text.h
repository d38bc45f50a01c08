/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * text.h - a growing text buffer for everything that is printed
 *
 * Layer: base.  Used by plan text, status, explain, metrics and JSON output.
 * An allocation failure is remembered and told once at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *data; /* owned, NUL-terminated once anything was added */
	size_t len;
	size_t room;
	bool failed; /* an allocation failed; what follows is dropped */
};

void text_free(struct text *t); /* leaves an empty text */
void text_add(struct text *t, const char *s);
void text_add_n(struct text *t, const char *s, size_t n);
void text_addf(struct text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void text_add_json(struct text *t, const char *s);
/* A Prometheus label value without quotes: backslash, quote, newline. */
void text_add_label(struct text *t, const char *s);

/**
 * text_take() - Hand the buffer over
 * @ret_data:	Owned by the caller; "" if nothing was added
 *
 * Return: 0; -ENOMEM if any addition failed (text is freed)
 */
int text_take(struct text *t, char **ret_data);
