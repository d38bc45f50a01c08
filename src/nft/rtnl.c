// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>

#include "nodesplice/base/mem.h"
#include "rtnl.h"

/* A dump's parts are at most 32 KiB (NLMSG_GOODSIZE of netlink_dump()). */
#define ANSWER_BYTES 32768

static void socket_closep(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}

struct reader {
	size_t header_n;
	mnl_cb_t cb;
	void *data;
};

static int read_answer(const struct nlmsghdr *nlh, void *data)
{
	const struct reader *reader = data;

	if (!reader->cb || mnl_nlmsg_get_payload_len(nlh) < reader->header_n)
		return MNL_CB_OK;
	return reader->cb(nlh, reader->data);
}

int rtnl_request(struct nlmsghdr *nlh, size_t header_n, mnl_cb_t cb, void *data)
{
	struct reader reader = {header_n, cb, data};
	cleanup_(socket_closep) struct mnl_socket *nl =
		mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	cleanup_(freep) uint8_t *answer = malloc(ANSWER_BYTES);
	bool dump = (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	ssize_t n;
	int r = MNL_CB_OK;

	if (!answer)
		return -ENOMEM;
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	nlh->nlmsg_flags |= NLM_F_REQUEST | (dump ? 0 : NLM_F_ACK);
	nlh->nlmsg_seq = 1;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, answer, ANSWER_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = mnl_cb_run(answer, (size_t)n, 1, mnl_socket_get_portid(nl),
			       read_answer, &reader);
	}
	return r < 0 ? -errno : 0;
}
