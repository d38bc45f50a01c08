// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/model/policy.h"

enum unit {
	UNIT_COUNT,
	UNIT_PERCENT,
	UNIT_DURATION, /* milliseconds; ms, s, m, h */
	UNIT_SWITCH,   /* on, off */
	UNIT_NAME,
};

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

static const char *const modes[] = {
	[POLICY_MODE_AUTO] = "auto",
	[POLICY_MODE_PROXY] = "proxy",
	[POLICY_MODE_KERNEL] = "kernel",
};
static_assert(ARRAY_SIZE(modes) == POLICY_MODE_MAX_, "each has a name");

static const char *const balancings[] = {
	[POLICY_LEAST_CONNECTIONS] = "least-connections",
	[POLICY_ROUND_ROBIN] = "round-robin",
	[POLICY_RANDOM] = "random",
	[POLICY_SOURCE_HASH] = "source-hash",
};
static_assert(ARRAY_SIZE(balancings) == POLICY_BALANCING_MAX_, "the same");

static const char *const closings[] = {
	[POLICY_CLOSE_NEVER] = "never",
	[POLICY_CLOSE_EJECTED] = "ejected",
	[POLICY_CLOSE_REMOVED] = "removed",
	[POLICY_CLOSE_EJECTED_OR_REMOVED] = "ejected-or-removed",
};
static_assert(ARRAY_SIZE(closings) == POLICY_CLOSING_MAX_, "the same");

/*
 * Defaults: Envoy's where Envoy has the setting (connect_timeout 5s,
 * idle_timeout 1h, outlier_detection 5 / 10s / 30s / 300s), but for
 * max_ejection_percent: Envoy's 10 % never ejects anybody from a service of
 * fewer than ten endpoints (envoyproxy/envoy#3263, #17504).  Keepalive and user
 * timeout: the kernel's 2 h and 15 min leave clients of a dead node hanging
 * (kubernetes/kubernetes#77903).  No total of the attempts: it is bounded by
 * connect-attempts times connect-timeout.  No age: Envoy's
 * max_downstream_connection_duration has none either.  No limits of connections:
 * Envoy's 1024 is a surprise to whoever has not set it.
 */
static const struct setting {
	const char *name;
	enum unit unit;
	bool zero_is_off; /* "off" and 0 are allowed below min */
	uint32_t value, min, max;
	const char *const *names; /* of UNIT_NAME, by value */
} settings[] = {
	[POLICY_MODE] = {"mode", UNIT_NAME, false, POLICY_MODE_AUTO, 0,
			 POLICY_MODE_MAX_ - 1, modes},
	[POLICY_CONNECT_TIMEOUT] = {"connect-timeout", UNIT_DURATION, false,
				    5 * SECOND, 10, 5 * MINUTE},
	[POLICY_CONNECT_ATTEMPTS] = {"connect-attempts", UNIT_COUNT, false, 3,
				     1, 10},
	[POLICY_CONNECT_TOTAL_TIMEOUT] = {"connect-total-timeout",
					  UNIT_DURATION, true, 0, 10, HOUR},
	[POLICY_IDLE_TIMEOUT] = {"idle-timeout", UNIT_DURATION, true, HOUR, 100,
				 168 * HOUR},
	[POLICY_HALF_CLOSE_TIMEOUT] = {"half-close-timeout", UNIT_DURATION,
				       true, 5 * MINUTE, 100, 168 * HOUR},
	[POLICY_MAX_CONNECTION_AGE] = {"max-connection-age", UNIT_DURATION,
				       true, 0, SECOND, 720 * HOUR},
	[POLICY_MAX_CONNECTIONS] = {"max-connections", UNIT_COUNT, true, 0, 1,
				    LIMIT_CONNECTIONS},
	[POLICY_MAX_ENDPOINT_CONNECTIONS] = {"max-endpoint-connections",
					     UNIT_COUNT, true, 0, 1,
					     LIMIT_CONNECTIONS},
	[POLICY_LOAD_BALANCING] = {"load-balancing", UNIT_NAME, false,
				   POLICY_LEAST_CONNECTIONS, 0,
				   POLICY_BALANCING_MAX_ - 1, balancings},
	[POLICY_SLOW_START] = {"slow-start", UNIT_DURATION, true, 0, 100, HOUR},
	[POLICY_CLOSE_CONNECTIONS] = {"close-connections", UNIT_NAME, false,
				      POLICY_CLOSE_NEVER, 0,
				      POLICY_CLOSING_MAX_ - 1, closings},
	[POLICY_TCP_KEEPALIVE] = {"tcp-keepalive", UNIT_DURATION, true,
				  30 * SECOND, SECOND, 2 * HOUR},
	[POLICY_TCP_USER_TIMEOUT] = {"tcp-user-timeout", UNIT_DURATION, true,
				     60 * SECOND, SECOND, HOUR},
	[POLICY_OUTLIER_CONSECUTIVE_FAILURES] = {"outlier-consecutive-failures",
						 UNIT_COUNT, true, 5, 1, 1000},
	[POLICY_OUTLIER_INTERVAL] = {"outlier-interval", UNIT_DURATION, false,
				     10 * SECOND, 100, HOUR},
	[POLICY_OUTLIER_BASE_EJECTION_TIME] = {"outlier-base-ejection-time",
					       UNIT_DURATION, false,
					       30 * SECOND, 100, 24 * HOUR},
	[POLICY_OUTLIER_MAX_EJECTION_TIME] = {"outlier-max-ejection-time",
					      UNIT_DURATION, false,
					      300 * SECOND, 100, 24 * HOUR},
	[POLICY_OUTLIER_MAX_EJECTION_PERCENT] = {"outlier-max-ejection-percent",
						 UNIT_PERCENT, false, 50, 0,
						 100},
	[POLICY_OUTLIER_PROBE] = {"outlier-probe", UNIT_SWITCH, false, 1, 0, 1},
};
static_assert(ARRAY_SIZE(settings) == POLICY_SETTING_MAX_, "one row each");

static const struct {
	const char *suffix;
	uint32_t ms;
} duration_units[] = {
	/* Largest first: the order in which a value is printed. */
	{"h", HOUR},
	{"m", MINUTE},
	{"s", SECOND},
	{"ms", 1},
};

void policy_init(struct policy *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		p->value[i] = settings[i].value;
}

static bool is_off(const char *value)
{
	return strcmp(value, "off") == 0 || strcmp(value, "0") == 0;
}

/* Digits, then one of the units; "500ms", "5s", "1h".  No sums, no fractions:
 * there is one way to write each value. */
static int parse_duration(const char *value, uint64_t *ret_ms)
{
	char *end;
	uint64_t n;

	if (*value < '0' || *value > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno)
		return -ERANGE;
	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
		if (strcmp(end, duration_units[i].suffix) == 0) {
			if (n > UINT64_MAX / duration_units[i].ms)
				return -ERANGE;
			*ret_ms = n * duration_units[i].ms;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_count(const char *value, bool percent, uint64_t *ret_n)
{
	char *end;

	if (*value < '0' || *value > '9')
		return -EINVAL;
	errno = 0;
	*ret_n = strtoull(value, &end, 10);
	if (errno)
		return -ERANGE;
	if (percent && strcmp(end, "%") == 0)
		return 0;
	return *end ? -EINVAL : 0;
}

static int parse_name(const char *value, const char *const *names, size_t n,
		      uint64_t *ret_n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(value, names[i]) == 0) {
			*ret_n = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_value(const struct setting *s, const char *value,
		       uint64_t *ret_n)
{
	static const char *const switches[] = {"off", "on"};

	if (s->zero_is_off && is_off(value)) {
		*ret_n = 0;
		return 0;
	}
	switch (s->unit) {
	case UNIT_COUNT:
		return parse_count(value, false, ret_n);
	case UNIT_PERCENT:
		return parse_count(value, true, ret_n);
	case UNIT_DURATION:
		return parse_duration(value, ret_n);
	case UNIT_SWITCH:
		return parse_name(value, switches, ARRAY_SIZE(switches), ret_n);
	case UNIT_NAME:
		return parse_name(value, s->names, s->max + 1, ret_n);
	}
	return -EINVAL;
}

static void format_value(const struct setting *s, uint32_t value,
			 struct text *t)
{
	if (s->zero_is_off && value == 0) {
		text_add(t, "off");
		return;
	}
	switch (s->unit) {
	case UNIT_COUNT:
		text_addf(t, "%u", value);
		return;
	case UNIT_PERCENT:
		text_addf(t, "%u%%", value);
		return;
	case UNIT_SWITCH:
		text_add(t, value ? "on" : "off");
		return;
	case UNIT_NAME:
		text_add(t, s->names[value]);
		return;
	case UNIT_DURATION:
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
		if (value && value % duration_units[i].ms == 0) {
			text_addf(t, "%u%s", value / duration_units[i].ms,
				  duration_units[i].suffix);
			return;
		}
	}
	text_add(t, "0ms");
}

/* "10ms to 5m, or off"; "auto, proxy, kernel". */
static void format_allowed(const struct setting *s, struct text *t)
{
	if (s->unit == UNIT_SWITCH) {
		text_add(t, "on, off");
		return;
	}
	if (s->unit == UNIT_NAME) {
		for (size_t i = 0; i <= s->max; i++)
			text_addf(t, "%s%s", i ? ", " : "", s->names[i]);
		return;
	}
	format_value(s, s->min, t);
	text_add(t, " to ");
	format_value(s, s->max, t);
	if (s->zero_is_off)
		text_add(t, ", or off");
}

static int refuse(const struct setting *s, const char *value, int r,
		  struct errbuf *e)
{
	struct text allowed = {0};

	format_allowed(s, &allowed);
	if (s->unit == UNIT_DURATION)
		text_add(&allowed, "; a whole number with ms, s, m or h");
	errf(e, r, "%s: \"%.64s\" is not allowed (%s)", s->name, value,
	     allowed.data ? allowed.data : "");
	text_free(&allowed);
	return r;
}

int policy_set(struct policy *p, const char *key, const char *value,
	       enum policy_source source, struct errbuf *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];
		uint64_t n;
		int r;

		if (strcmp(key, s->name) != 0)
			continue;
		r = parse_value(s, value, &n);
		if (r < 0)
			return refuse(s, value, r, e);
		if (n > s->max || (n < s->min && !(s->zero_is_off && n == 0)))
			return refuse(s, value, -ERANGE, e);
		p->value[i] = (uint32_t)n;
		p->source[i] = (uint8_t)source;
		return 0;
	}
	return errf(e, -ENOENT, "%.64s: \"%.64s\": there is no such setting",
		    key, value);
}

/* So that an endpoint that stays silent through all of the total has had its
 * whole connect-timeout, and is told from one that got a short rest of it. */
static void lower_connect_timeout(struct policy *p)
{
	p->value[POLICY_CONNECT_TIMEOUT] =
		p->value[POLICY_CONNECT_TOTAL_TIMEOUT];
	p->source[POLICY_CONNECT_TIMEOUT] =
		p->source[POLICY_CONNECT_TOTAL_TIMEOUT];
}

void policy_of_service(const struct policy *defaults, const struct service *s,
		       struct policy *ret_policy, policy_problem_fn problem,
		       void *data)
{
	uint32_t *v = ret_policy->value;
	char sentence[ERRBUF_BYTES + 32];
	struct errbuf e;

	*ret_policy = *defaults;
	for (size_t i = 0; i < s->annotations_n; i++) {
		const struct annotation *a = &s->annotations[i];

		if (policy_set(ret_policy, a->key, a->value,
			       POLICY_SOURCE_ANNOTATION, &e) == 0 ||
		    !problem)
			continue;
		snprintf(sentence, sizeof(sentence),
			 "annotation nodesplice.io/%s", e.text);
		problem(sentence, data);
	}
	/* Two good values that don't fit together: the larger bound holds, as
	 * Envoy's max(max_ejection_time, base_ejection_time). */
	if (v[POLICY_OUTLIER_MAX_EJECTION_TIME] <
	    v[POLICY_OUTLIER_BASE_EJECTION_TIME])
		v[POLICY_OUTLIER_MAX_EJECTION_TIME] =
			v[POLICY_OUTLIER_BASE_EJECTION_TIME];
	if (v[POLICY_CONNECT_TOTAL_TIMEOUT] &&
	    v[POLICY_CONNECT_TOTAL_TIMEOUT] < v[POLICY_CONNECT_TIMEOUT])
		lower_connect_timeout(ret_policy);
}

const char *policy_setting_name(enum policy_setting s)
{
	return settings[s].name;
}

const char *policy_source_name(enum policy_source s)
{
	static const char *const names[] = {
		[POLICY_SOURCE_BUILT_IN] = "built-in",
		[POLICY_SOURCE_NODE] = "node",
		[POLICY_SOURCE_ANNOTATION] = "annotation",
	};
	static_assert(ARRAY_SIZE(names) == POLICY_SOURCE_MAX_, "each has one");

	return names[s];
}

void policy_format(const struct policy *p, enum policy_setting s,
		   struct text *t)
{
	format_value(&settings[s], p->value[s], t);
}

void policy_format_allowed(enum policy_setting s, struct text *t)
{
	format_allowed(&settings[s], t);
}
