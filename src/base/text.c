// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/base/text.h"

void text_free(struct text *t)
{
	free(t->data);
	*t = (struct text){0};
}

void text_add_n(struct text *t, const char *s, size_t n)
{
	if (t->failed)
		return;
	if (array_reserve(&t->data, &t->room, t->len + n + 1, 1) < 0) {
		t->failed = true;
		return;
	}
	memcpy(t->data + t->len, s, n);
	t->len += n;
	t->data[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
	text_add_n(t, s, strlen(s));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (t->failed)
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 ||
	    array_reserve(&t->data, &t->room, t->len + (size_t)n + 1, 1) < 0) {
		t->failed = true;
	} else {
		vsnprintf(t->data + t->len, (size_t)n + 1, fmt, again);
		t->len += (size_t)n;
	}
	va_end(again);
}

/* Length of the valid UTF-8 sequence at @s (RFC 3629), or 0. */
static size_t utf8_sequence(const unsigned char *s)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max, n;
	} rows[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (s[0] < rows[i].first_min || s[0] > rows[i].first_max)
			continue;
		if (s[1] < rows[i].second_min || s[1] > rows[i].second_max)
			return 0;
		for (size_t k = 2; k < rows[i].n; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		}
		return rows[i].n;
	}
	return 0;
}

void text_add_json(struct text *t, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	text_add(t, "\"");
	while (*p) {
		size_t n = 1;

		if (*p == '"' || *p == '\\') {
			text_addf(t, "\\%c", *p);
		} else if (*p < 0x20 || *p == 0x7f) {
			text_addf(t, "\\u%04x", *p);
		} else if (*p < 0x80) {
			text_add_n(t, (const char *)p, 1);
		} else if ((n = utf8_sequence(p)) > 0) {
			text_add_n(t, (const char *)p, n);
		} else {
			text_add(t, "\\ufffd");
			n = 1;
		}
		p += n;
	}
	text_add(t, "\"");
}

void text_add_label(struct text *t, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			text_add(t, "\\n");
		else if (*s == '"' || *s == '\\')
			text_addf(t, "\\%c", *s);
		else
			text_add_n(t, s, 1);
	}
}

int text_take(struct text *t, char **ret_data)
{
	if (!t->failed && !t->data)
		text_add(t, "");
	if (t->failed) {
		text_free(t);
		return -ENOMEM;
	}
	*ret_data = t->data;
	*t = (struct text){0};
	return 0;
}
