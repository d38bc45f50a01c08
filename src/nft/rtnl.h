/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnl.h - requests to rtnetlink: one message, its answer
 *
 * Layer: nft, private.  A socket of its own for each request or dump: nothing
 * of an interrupted one can be taken for the answer to the next.
 */
#pragma once

#include <libmnl/libmnl.h>

/* Room for any request of ours. */
#define RTNL_REQUEST_BYTES 512

/**
 * rtnl_request() - Send a message, hand each answer to a callback
 * @nlh:	Flags as wanted; NLM_F_REQUEST and, but for dumps, NLM_F_ACK are
 *		added
 * @header_n:	Bytes of the header that @cb reads; shorter answers are skipped
 * @cb:		May be NULL; MNL_CB_OK to go on, MNL_CB_ERROR with errno to stop
 *
 * Return: 0; -EINTR: what was dumped changed meanwhile; -errno
 */
int rtnl_request(struct nlmsghdr *nlh, size_t header_n, mnl_cb_t cb,
		 void *data);
