// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_rights.h"
#include "nodesplice/base/mem.h"

/* The peer's supplementary groups, as they were when it connected. */
static bool in_groups(int fd, gid_t group)
{
	cleanup_(freep) gid_t *groups = NULL;
	socklen_t bytes = 0;

	/* With no room the kernel says how much it needs. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) == 0 ||
	    errno != ERANGE || bytes == 0)
		return false;
	groups = malloc(bytes);
	if (!groups ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof(*groups); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

bool control_rights(int fd, gid_t group)
{
	const gid_t wanted = group == (gid_t)-1 ? getegid() : group;
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || peer.gid == wanted ||
	       in_groups(fd, wanted);
}
