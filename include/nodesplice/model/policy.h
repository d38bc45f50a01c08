/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.h - the resilience settings of a Service
 *
 * Layer: model, pure.  One table (policy.c) holds for each setting its name,
 * unit, default and range; annotations, node-wide defaults, explain and the
 * documentation come from it.  Names and meanings are Envoy's where Envoy has
 * the setting.
 */
#pragma once

#include <stdint.h>

#include "nodesplice/base/err.h"
#include "nodesplice/base/text.h"
#include "nodesplice/model/object.h"

enum policy_mode {
	POLICY_MODE_AUTO,
	POLICY_MODE_PROXY,
	POLICY_MODE_KERNEL,
	POLICY_MODE_MAX_,
};

enum policy_balancing {
	POLICY_LEAST_CONNECTIONS,
	POLICY_ROUND_ROBIN,
	POLICY_RANDOM,
	POLICY_SOURCE_HASH,
	POLICY_BALANCING_MAX_,
};

/* Bits. */
enum policy_closing {
	POLICY_CLOSE_NEVER,
	POLICY_CLOSE_EJECTED,
	POLICY_CLOSE_REMOVED,
	POLICY_CLOSE_EJECTED_OR_REMOVED,
	POLICY_CLOSING_MAX_,
};

enum policy_setting {
	POLICY_MODE,		      /* enum policy_mode */
	POLICY_CONNECT_TIMEOUT,	      /* ms, per attempt */
	POLICY_CONNECT_ATTEMPTS,      /* count, the first included */
	POLICY_CONNECT_TOTAL_TIMEOUT, /* ms, all attempts; 0: none */
	POLICY_IDLE_TIMEOUT,	      /* ms; 0: none */
	POLICY_HALF_CLOSE_TIMEOUT,    /* ms; 0: none */
	POLICY_MAX_CONNECTION_AGE,    /* ms; 0: none */
	POLICY_MAX_CONNECTIONS,	      /* of the Service; count; 0: no limit */
	POLICY_MAX_ENDPOINT_CONNECTIONS, /* count; 0: no limit */
	POLICY_LOAD_BALANCING,		 /* enum policy_balancing */
	POLICY_SLOW_START,		 /* ms; 0: off */
	POLICY_CLOSE_CONNECTIONS,	 /* enum policy_closing */
	POLICY_TCP_KEEPALIVE,		 /* ms until the first probe; 0: off */
	POLICY_TCP_USER_TIMEOUT,	 /* ms; 0: the kernel's */
	POLICY_OUTLIER_CONSECUTIVE_FAILURES, /* count; 0: never eject */
	POLICY_OUTLIER_INTERVAL,	     /* ms */
	POLICY_OUTLIER_BASE_EJECTION_TIME,   /* ms */
	POLICY_OUTLIER_MAX_EJECTION_TIME,    /* ms */
	POLICY_OUTLIER_MAX_EJECTION_PERCENT, /* 0..100 */
	POLICY_OUTLIER_PROBE,		     /* 0, 1 */
	POLICY_SETTING_MAX_,
};

enum policy_source {
	POLICY_SOURCE_BUILT_IN,
	POLICY_SOURCE_NODE,
	POLICY_SOURCE_ANNOTATION,
	POLICY_SOURCE_MAX_,
};

struct policy {
	uint32_t value[POLICY_SETTING_MAX_];
	uint8_t source[POLICY_SETTING_MAX_]; /* enum policy_source */
};

/* The built-in defaults. */
void policy_init(struct policy *p);

/**
 * policy_set() - Read one setting as a person writes it
 * @key:	"connect-timeout"
 * @value:	"5s", "3", "50", "on", "proxy"; durations take ms, s, m, h
 *
 * Return: 0; -ENOENT (no such setting), -EINVAL, -ERANGE, each with a text
 * that names the key, the value and what is allowed; @p unchanged then
 */
int policy_set(struct policy *p, const char *key, const char *value,
	       enum policy_source source, struct errbuf *e);

typedef void (*policy_problem_fn)(const char *problem, void *data);

/**
 * policy_of_service() - Node-wide settings overlaid by a Service's annotations
 * @problem:	Called for each bad annotation, whose setting keeps what
 *		@defaults says; may be NULL
 */
void policy_of_service(const struct policy *defaults, const struct service *s,
		       struct policy *ret_policy, policy_problem_fn problem,
		       void *data);

const char *policy_setting_name(enum policy_setting s);
const char *policy_source_name(enum policy_source s);
/* Print a value with its unit: "5s", "50%", "on", "auto". */
void policy_format(const struct policy *p, enum policy_setting s,
		   struct text *t);
/* What is allowed: "10ms to 5m", "auto, proxy, kernel". */
void policy_format_allowed(enum policy_setting s, struct text *t);
