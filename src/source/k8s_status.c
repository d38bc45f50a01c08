// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "k8s_status.h"

/* A string member cut to @buf; anything else leaves it. */
static void copy_string(struct json value, char *buf, size_t buf_bytes)
{
	cleanup_(freep) char *s = NULL;

	if (json_string(value, &s) == 0)
		snprintf(buf, buf_bytes, "%s", s);
}

static void decode_causes(struct json causes, struct k8s_status *s)
{
	struct json cause, key, value;

	if (json_type(causes) != JSON_ARRAY)
		return;
	for (int it = 0; json_next_item(causes, &it, &cause);) {
		if (json_type(cause) != JSON_OBJECT)
			continue;
		for (int at = 0; json_next_member(cause, &at, &key, &value);) {
			if (json_equals(key, "reason") &&
			    json_type(value) == JSON_STRING &&
			    json_equals(value, "ResourceVersionTooLarge"))
				s->version_too_large = true;
		}
	}
}

static void decode_details(struct json details, struct k8s_status *s)
{
	struct json key, value;
	int64_t n;

	if (json_type(details) != JSON_OBJECT)
		return;
	for (int it = 0; json_next_member(details, &it, &key, &value);) {
		if (json_equals(key, "causes"))
			decode_causes(value, s);
		else if (json_equals(key, "retryAfterSeconds") &&
			 json_integer(value, &n) == 0 && n > 0)
			s->retry_after_s = n < UINT32_MAX ? (uint32_t)n :
							    UINT32_MAX;
	}
}

void k8s_status_decode(struct json object, struct k8s_status *s)
{
	struct json key, value;
	int64_t n;

	if (json_type(object) != JSON_OBJECT)
		return;
	for (int it = 0; json_next_member(object, &it, &key, &value);) {
		if (json_equals(key, "code") && json_integer(value, &n) == 0)
			s->code = n;
		else if (json_equals(key, "reason"))
			copy_string(value, s->reason, sizeof(s->reason));
		else if (json_equals(key, "message"))
			copy_string(value, s->message, sizeof(s->message));
		else if (json_equals(key, "details"))
			decode_details(value, s);
	}
}
