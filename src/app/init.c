// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * init.c - what needs more privileges than the daemon has
 *
 * Runs once before the daemon: as a privileged init container (a pod's
 * /proc/sys is read-only), or as ExecStartPre= of the systemd unit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/log.h"
#include "nodesplice/base/mem.h"

#include "commands.h"

/* kube-proxy's conntrack defaults (KubeProxyConntrackConfiguration), doubled:
 * a proxied connection has two entries. */
#define CONNTRACK_PER_CPU (2ul * 32768)
#define CONNTRACK_MIN	  (2ul * 131072)

struct sysctl {
	const char *path;
	unsigned long value;
	bool only_raise; /* an operator's larger value stays */
};

static int read_number(const char *path, unsigned long *ret_value)
{
	cleanup_(freep) char *data = NULL;
	int r = fd_read_file(path, 64, &data, NULL, NULL);

	if (r == 0)
		*ret_value = strtoul(data, NULL, 10);
	return r;
}

static int write_number(const char *path, unsigned long value)
{
	cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[24];
	int n = snprintf(text, sizeof(text), "%lu", value);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return -errno;
	return 0;
}

/* Return: whether the node is as it should be. */
static bool apply_sysctl(const struct sysctl *s)
{
	unsigned long now = 0;
	int r = read_number(s->path, &now);

	if (r == 0 && (now == s->value || (s->only_raise && now > s->value))) {
		printf("%s is %lu\n", s->path, now);
		return true;
	}
	if (r == 0)
		r = write_number(s->path, s->value);
	if (r < 0) {
		log_warn("%s is not %lu: %s", s->path, s->value, strerror(-r));
		return false;
	}
	printf("%s was %lu, is now %lu\n", s->path, now, s->value);
	return true;
}

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
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long max = CONNTRACK_PER_CPU * (cpus > 0 ? (size_t)cpus : 1);
	const struct sysctl sysctls[] = {
		{"/proc/sys/net/netfilter/nf_conntrack_max",
		 max > CONNTRACK_MIN ? max : CONNTRACK_MIN, true},
		{"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
		 24 * 3600, true},
		{"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
		 3600, true},
		/* Out-of-window packets of a DNATed flow would be INVALID and
		 * reset it (kubernetes/kubernetes#74839). */
		{"/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", 1,
		 false},
	};
	bool complete = true;

	if (make_run_directory(o->control_socket, e) < 0)
		return EXIT_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++)
		complete &= apply_sysctl(&sysctls[i]);
	if (!complete) {
		errf(e, -EPERM,
		     "not every sysctl could be set: init needs "
		     "root and a writable /proc/sys; Services are "
		     "served all the same");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
