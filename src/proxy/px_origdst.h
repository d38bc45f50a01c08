/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_origdst.h - where a redirected client really wanted to go
 *
 * Layer: proxy, private.
 */
#pragma once

#include "nodesplice/base/addr.h"

/**
 * px_origdst() - The destination before the intercept's translation
 * @fd:		Accepted socket
 * @family:	Of its listener
 * @listener_port: Likewise
 *
 * Return: 0; -ENOTCONN: the connection was not redirected, it was made to the
 * listener itself; -errno of getsockopt(2) or getsockname(2)
 */
int px_origdst(int fd, uint8_t family, uint16_t listener_port,
	       struct sockad *ret_dst);
