// SPDX-License-Identifier: GPL-2.0-or-later
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"
#include "px_congestion.h"

#define NAME_BYTES 16 /* TCP_CA_NAME_MAX */

static bool accepts(int fd, const char *name)
{
	return setsockopt(fd, SOL_TCP, TCP_CONGESTION, name, strlen(name)) == 0;
}

/* "bbr", and its out-of-tree successors "bbr2" and "bbr3". */
static bool paces(const char *name)
{
	return strncmp(name, "bbr", 3) == 0;
}

const char *px_congestion_local(void)
{
	/* The kernel's usual default; what every kernel has. */
	static const char *const names[] = {"cubic", "reno"};
	cleanup_(closep) int fd =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char name[NAME_BYTES] = "";
	socklen_t len = sizeof(name) - 1;

	if (fd < 0 || getsockopt(fd, SOL_TCP, TCP_CONGESTION, name, &len) < 0 ||
	    !paces(name))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (accepts(fd, names[i]))
			return names[i];
	}
	return NULL;
}

void px_congestion_set(int fd, const char *name)
{
	if (name)
		accepts(fd, name);
}
