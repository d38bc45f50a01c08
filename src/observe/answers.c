// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "human.h"
#include "nodesplice/observe/answers.h"
#include "nodesplice/observe/explain.h"
#include "nodesplice/observe/status.h"

/* What follows @word in @line, or NULL. */
static const char *after(const char *line, const char *word)
{
	size_t n = strlen(word);

	return strncmp(line, word, n) == 0 ? line + n : NULL;
}

int answers_request(const char *line, uint64_t now_ms, uint64_t realtime_ms,
		    struct text *out, struct errbuf *e, void *data)
{
	const struct observed *o = data;
	const char *target;
	int r = 0;

	if (strcmp(line, "status text") == 0)
		status_text(o, now_ms, out);
	else if (strcmp(line, "status json") == 0)
		status_json(o, now_ms, out);
	else if ((target = after(line, "explain text ")))
		r = explain_text(o, target, now_ms, out, e);
	else if ((target = after(line, "explain json ")))
		r = explain_json(o, target, now_ms, realtime_ms, out, e);
	else
		r = errf(e, -EINVAL, "unknown request \"%.80s\"", line);
	if (r < 0)
		return r;
	if (out->failed)
		return errf(e, -ENOMEM, "out of memory");
	human_defuse(out->data, true);
	return 0;
}
