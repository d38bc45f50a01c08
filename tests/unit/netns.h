/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netns.h - a network namespace of the test's own, and commands in it
 */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/base/text.h"

/* A fresh, empty namespace for this process, loopback up; needs root. */
static inline void netns_enter(void)
{
	if (geteuid() != 0) {
		print_message("not root: skipped\n");
		skip();
	}
	if (unshare(CLONE_NEWNET) < 0)
		fail_msg("unshare(CLONE_NEWNET): %s", strerror(errno));
	assert_int_equal(system("ip link set lo up"), 0);
}

/* The output of a shell command that must succeed; the caller's to free(). */
static inline char *netns_run(const char *command)
{
	struct text t = {0};
	FILE *f = popen(command, "re");
	char part[4096], *out = NULL;
	size_t n;

	assert_non_null(f);
	while ((n = fread(part, 1, sizeof(part) - 1, f)) > 0) {
		part[n] = '\0';
		text_add(&t, part);
	}
	n = (size_t)pclose(f);
	assert_int_equal(text_take(&t, &out), 0);
	if (n != 0)
		fail_msg("%s: status %zu\n%s", command, n, out);
	return out;
}

/* Equal texts, or a failure that shows from where on they differ. */
static inline void assert_text_equal(const char *got, const char *want)
{
	size_t same = 0;

	for (size_t i = 0; got[i] && got[i] == want[i]; i++) {
		if (got[i] == '\n')
			same = i + 1;
	}
	if (strcmp(got, want) != 0)
		fail_msg("got:\n%.400s\nwant:\n%.400s", got + same,
			 want + same);
}
