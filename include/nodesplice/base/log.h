/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - lines for the operator
 *
 * Layer: base.  Called only by app/ and by the top of a worker's thread.
 * err:   a service is affected now
 * warn:  degraded, carried on, says how
 * info:  state changed
 * debug: per object
 * trace: per event
 * Thread-safe: one write(2) per line to standard error, with the priority
 * prefix of sd-daemon(3) when the journal reads us.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE,
	LOG_LEVEL_MAX_,
};

/* One call site's allowance: LIMIT_LOG_BURST lines in LIMIT_LOG_WINDOW_MS. */
struct log_limit {
	uint64_t window_start_ms;
	uint32_t lines_n;
	uint32_t suppressed_n;
};

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/**
 * log_level_parse() - Read a level's name (err, warn, info, debug, trace)
 *
 * Return: 0; -EINVAL (@ret_level unchanged)
 */
int log_level_parse(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level level);

/* Write one line.  @fmt has no newline. */
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * log_allowed() - Spend one line of a call site's allowance
 * @limit:	The call site's own state; single-threaded
 * @now_ms:	Monotonic
 *
 * Return: whether the line may be written; the first line of a new window
 * tells how many were suppressed in the last one.
 */
bool log_allowed(struct log_limit *limit, uint64_t now_ms);

#define log_err(...)   log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_line(LOG_LEVEL_TRACE, __VA_ARGS__)
