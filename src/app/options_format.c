// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options_format.c - the values of options as a file has them
 */
#include "nodesplice/base/duration.h"

#include "options_format.h"

void options_write_number(const void *field, uint32_t min, struct text *t)
{
	const uint32_t *n = field;

	/* Below the least: chosen at the start. */
	if (*n >= min)
		text_addf(t, "%u", *n);
}

void options_write_string(const void *field, uint32_t min, struct text *t)
{
	char *const *s = field;

	(void)min;
	if (*s)
		text_add_json(t, *s);
}

void options_write_switch(const void *field, uint32_t min, struct text *t)
{
	const bool *b = field;

	(void)min;
	text_add(t, *b ? "true" : "false");
}

void options_write_duration(const void *field, uint32_t min, struct text *t)
{
	char buf[DURATION_STRLEN];

	(void)min;
	text_add(t, duration_format(*(const uint32_t *)field, buf));
}

void options_write_oom_score(const void *field, uint32_t min, struct text *t)
{
	(void)min;
	text_addf(t, "%d", *(const int32_t *)field);
}

void options_write_log_level(const void *field, uint32_t min, struct text *t)
{
	(void)min;
	text_add(t, log_level_name(*(const enum log_level *)field));
}

void options_write_address(const void *field, uint32_t min, struct text *t)
{
	const struct sockad *at = field;
	char buf[SOCKAD_STRLEN];

	(void)min;
	text_add_json(t, at->port ? sockad_format(at, buf) : "off");
}

void options_write_bind_address(const void *field, uint32_t min, struct text *t)
{
	const struct addr *a = field;
	char buf[ADDR_STRLEN];

	(void)min;
	if (a->family != AF_UNSPEC)
		text_add_json(t, addr_format(a, buf));
}

void options_write_cidrs(const void *field, uint32_t min, struct text *t)
{
	const struct cidr_list *list = field;
	char buf[CIDR_STRLEN];

	(void)min;
	for (size_t i = 0; i < list->n; i++) {
		text_add(t, i ? ", " : "[");
		text_add_json(t, cidr_format(&list->items[i], buf));
	}
	text_add(t, list->n ? "]" : "");
}

void options_write_seconds(const void *field, uint32_t min, struct text *t)
{
	(void)min;
	text_addf(t, "%us", *(const uint32_t *)field);
}

/* The default depends on other options. */
void options_write_detect_local(const void *field, uint32_t min, struct text *t)
{
	(void)min;
	text_add(t,
		 options_detect_local_name(*(const enum detect_local *)field));
}

static void write_word(struct text *t, size_t start, const char *word)
{
	text_add(t, t->len == start ? "[" : ", ");
	text_add_json(t, word);
}

void options_write_node_ports(const void *field, uint32_t min, struct text *t)
{
	const struct node_ports *np = field;
	const size_t start = t->len;
	char buf[CIDR_STRLEN];

	(void)min;
	if (np->primary)
		write_word(t, start, "primary");
	if (np->localhost)
		write_word(t, start, "localhost");
	if (np->all)
		write_word(t, start, "all");
	for (size_t i = 0; i < np->cidrs_n; i++)
		write_word(t, start, cidr_format(&np->cidrs[i], buf));
	text_add(t, "]");
}

void options_write_endpoints_api(const void *field, uint32_t min,
				 struct text *t)
{
	(void)min;
	text_add(t, *(const bool *)field ? "endpoints" : "endpointslices");
}
