// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "nodesplice/base/mem.h"

#include "config_value.h"

size_t config_line(const char *text, struct json v)
{
	const char *at;
	size_t len, line = 1;

	json_raw(v, &at, &len);
	for (const char *s = text; s < at; s++)
		line += *s == '\n';
	return line;
}

static int add_scalar(struct json value, struct text *t)
{
	cleanup_(freep) char *s = NULL;
	const char *raw;
	size_t len;
	int r;

	switch (json_type(value)) {
	case JSON_STRING:
		r = json_string(value, &s);
		if (r == 0)
			text_add(t, s);
		return r;
	case JSON_NUMBER:
	case JSON_BOOL:
		json_raw(value, &raw, &len);
		text_addf(t, "%.*s", (int)len, raw);
		return 0;
	case JSON_OBJECT:
	case JSON_ARRAY:
	case JSON_NULL:
	case JSON_TYPE_MAX_:
		break;
	}
	return -EINVAL;
}

int config_value(struct json value, struct text *t)
{
	struct json item;
	int it = 0, r = 0;
	bool first = true;

	if (json_type(value) != JSON_ARRAY)
		return add_scalar(value, t);
	while (r == 0 && json_next_item(value, &it, &item)) {
		text_add(t, first ? "" : ",");
		first = false;
		r = add_scalar(item, t);
	}
	return r < 0 ? r : t->failed ? -ENOMEM : 0;
}
