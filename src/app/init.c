// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * init.c - what needs more privileges than the daemon has
 *
 * Runs once before the daemon: as a privileged init container (a pod's
 * /proc/sys is read-only), or as ExecStartPre= of the systemd unit.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nodesplice/base/log.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/nft/conntrack.h"

#include "commands.h"
#include "conntrack_sysctls.h"

static int make_run_directory(const char *socket_path, struct errbuf *e)
{
	cleanup_(freep) char *dir = strdup(socket_path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0750) < 0 && errno != EEXIST)
		return errf(e, -errno, "%s: %s", dir, strerror(errno));
	printf("%s is there\n", dir);
	return 0;
}

int command_init(const struct options *o, struct errbuf *e)
{
	cleanup_(text_free) struct text done = {0}, missing = {0};
	int r;

	if (make_run_directory(o->control_socket, e) < 0)
		return EXIT_FAILED;
	r = conntrack_load();
	if (r < 0)
		log_warn("the connection tracking of this kernel does not "
			 "answer: %s",
			 strerror(-r));
	r = conntrack_sysctls_set(o, "", &done, &missing);
	if (done.len)
		printf("%s\n", done.data);
	if (r < 0) {
		errf(e, r,
		     "%s: init needs root and a writable /proc/sys; Services "
		     "are served all the same",
		     missing.len ? missing.data : strerror(-r));
		return EXIT_FAILED;
	}
	printf("the conntrack sysctls are as they should be\n");
	return EXIT_DONE;
}
