// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/log.h"
#include "nodesplice/base/mem.h"

static const struct {
	const char *name;
	char priority; /* sd-daemon(3) */
} levels[] = {
	[LOG_LEVEL_ERR] = {"err", '3'},	    [LOG_LEVEL_WARN] = {"warn", '4'},
	[LOG_LEVEL_INFO] = {"info", '6'},   [LOG_LEVEL_DEBUG] = {"debug", '7'},
	[LOG_LEVEL_TRACE] = {"trace", '7'},
};
static_assert(ARRAY_SIZE(levels) == LOG_LEVEL_MAX_, "a name for each level");

static _Atomic int log_max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_max_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <=
	       atomic_load_explicit(&log_max_level, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[2048];
	size_t n = 0;
	va_list ap;
	int r;

	if (!log_enabled(level))
		return;
	if (getenv("JOURNAL_STREAM"))
		n = (size_t)snprintf(line, sizeof(line), "<%c>",
				     levels[level].priority);
	n += (size_t)snprintf(line + n, sizeof(line) - n,
			      "%s: ", levels[level].name);
	va_start(ap, fmt);
	r = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (r > 0)
		n += (size_t)r;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	/* What comes from outside cannot forge a second line. */
	for (size_t i = 0; i < n; i++) {
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	}
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nowhere left to tell it */
}

bool log_allowed(struct log_limit *limit, uint64_t now_ms)
{
	if (limit->window_start_ms == 0 ||
	    now_ms - limit->window_start_ms >= LIMIT_LOG_WINDOW_MS) {
		if (limit->suppressed_n)
			log_warn("%u similar lines were suppressed",
				 limit->suppressed_n);
		*limit = (struct log_limit){.window_start_ms = now_ms};
	}
	if (limit->lines_n >= LIMIT_LOG_BURST) {
		limit->suppressed_n++;
		return false;
	}
	limit->lines_n++;
	return true;
}
