// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * old_kernel.c - LD_PRELOAD: a kernel before Linux 5.12
 *
 * Which knows no owner of a table, and answers a flag that it does not know
 * with EINVAL (nf_tables_newtable(); EOPNOTSUPP since the owner came).  The flag
 * is made one that no kernel knows on its way down, the error the older one on
 * its way up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define NEW_TABLE     (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE)
#define OWNER	      0x2u /* NFT_TABLE_F_OWNER, missing in older headers */
#define NOBODYS_FLAG  0x80000000u
#define HEADERS_BYTES (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg)))

static void change_flags(char *message, size_t n)
{
	for (size_t at = HEADERS_BYTES; at + NLA_HDRLEN <= n;) {
		struct nlattr a;
		__u32 flags;

		memcpy(&a, message + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN)
			return;
		memcpy(&flags, message + at + NLA_HDRLEN, sizeof(flags));
		if (a.nla_type == NFTA_TABLE_FLAGS && ntohl(flags) & OWNER) {
			flags |= htonl(NOBODYS_FLAG);
			memcpy(message + at + NLA_HDRLEN, &flags,
			       sizeof(flags));
		}
		at += NLA_ALIGN(a.nla_len);
	}
}

static void change_messages(char *data, size_t n)
{
	for (size_t at = 0; at + NLMSG_HDRLEN <= n;) {
		struct nlmsghdr h;

		memcpy(&h, data + at, sizeof(h));
		if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > n - at)
			return;
		if (h.nlmsg_type == NEW_TABLE)
			change_flags(data + at, h.nlmsg_len);
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t (*next)(int, const struct msghdr *, int) =
		dlsym(RTLD_NEXT, "sendmsg");

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		change_messages(msg->msg_iov[i].iov_base,
				msg->msg_iov[i].iov_len);
	return next(fd, msg, flags);
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
	ssize_t (*next)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");
	ssize_t got = next(fd, data, n, flags);
	struct {
		struct nlmsghdr h;
		int error;
	} answer;

	if (got < (ssize_t)sizeof(answer))
		return got;
	memcpy(&answer, data, sizeof(answer));
	if (answer.h.nlmsg_type == NLMSG_ERROR && answer.error == -EOPNOTSUPP) {
		answer.error = -EINVAL;
		memcpy(data, &answer, sizeof(answer));
	}
	return got;
}
