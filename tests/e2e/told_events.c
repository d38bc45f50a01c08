// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * told_events KUBECONFIG NODE - the writing of Events with a clock that jumps
 *
 * For test_events.py: our k8s_events beside a real API server, where a series
 * that is written every five minutes at most can be seen.  Of each line of
 * stdin, done at once:
 *
 *   tell NAMESPACE/NAME SENTENCE	one more note on a Service
 *   skip MS				let that much time pass
 *   settle				write what is due, print "WRITTEN FAILED WAITING"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/source/k8s_config.h"

#include "../../src/source/k8s_events.h"

#define SETTLE_MS 10000

static uint64_t skipped_ms;

uint64_t __real_clock_now_ms(void);
uint64_t __wrap_clock_now_ms(void);
uint64_t __real_clock_realtime_ms(void);
uint64_t __wrap_clock_realtime_ms(void);

uint64_t __wrap_clock_now_ms(void)
{
	return __real_clock_now_ms() + skipped_ms;
}

uint64_t __wrap_clock_realtime_ms(void)
{
	return __real_clock_realtime_ms() + skipped_ms;
}

static void on_changed(void *data)
{
	(void)data;
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	(void)kind;
	(void)data;
	fprintf(stderr, "%s\n", sentence);
}

static void tell(struct k8s_events *ke, char *rest)
{
	const char *key = strsep(&rest, " ");
	const struct source_note n = {
		.service_key = key,
		.uid = "",
		.warning = true,
		.reason = "Tried",
		.action = "Try",
		.note = rest ? rest : "",
	};

	k8s_events_tell(ke, &n);
}

static uint64_t tried_n(const struct source_note_stats *s)
{
	return s->written_n + s->failed_n;
}

/* Until a request is answered, or nothing is due. */
static void settle(struct loop *l, struct k8s_events *ke)
{
	uint64_t until_ms = clock_now_ms() + SETTLE_MS;
	struct source_note_stats before, now;

	k8s_events_stats(ke, &before);
	now = before;
	while (now.waiting_n > 0 && tried_n(&now) == tried_n(&before) &&
	       clock_now_ms() < until_ms) {
		loop_turn(l, 20);
		k8s_events_stats(ke, &now);
	}
	printf("%llu %llu %llu\n", (unsigned long long)now.written_n,
	       (unsigned long long)now.failed_n,
	       (unsigned long long)now.waiting_n);
	fflush(stdout);
}

static void obey(struct loop *l, struct k8s_events *ke, char *line)
{
	char *rest = line;
	const char *verb = strsep(&rest, " ");

	if (strcmp(verb, "tell") == 0 && rest)
		tell(ke, rest);
	else if (strcmp(verb, "skip") == 0 && rest)
		skipped_ms += strtoull(rest, NULL, 10);
	else if (strcmp(verb, "settle") == 0)
		settle(l, ke);
	else
		fprintf(stderr, "no such line: %s\n", verb);
	loop_turn(l, 0);
}

int main(int argc, char **argv)
{
	const struct source_callbacks cb = {on_changed, on_event, NULL};
	cleanup_(k8s_config_freep) struct k8s_config *config = NULL;
	cleanup_(loop_freep) struct loop *l = NULL;
	cleanup_(k8s_http_freep) struct k8s_http *http = NULL;
	cleanup_(k8s_events_freep) struct k8s_events *ke = NULL;
	struct errbuf e = {""};
	char line[1024];

	if (argc != 3 || k8s_config_load(argv[1], NULL, &config, &e) < 0 ||
	    loop_new(&l) < 0 || k8s_http_new(l, config, 0, &http, &e) < 0 ||
	    k8s_events_new(l, http, argv[2], &cb, &ke) < 0) {
		fprintf(stderr, "told_events: %s\n", e.text);
		return 1;
	}
	k8s_events_begin(ke);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(l, ke, line);
	}
	return 0;
}
