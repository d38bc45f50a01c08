/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iptables_legacy.h - what iptables-legacy has in the kernel
 *
 * Layer: nft, private.  That is not in nf_tables: it is asked for by socket
 * options.  Reads only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * iptables_legacy_has_chain() - Whether a table has a user's chain
 * @family:	AF_INET, AF_INET6
 *
 * A table that nobody uses is not asked for, as the question would make it and
 * put its hooks in place.
 *
 * Return: 0; -EPERM, -EACCES: not privileged; -EAGAIN: it changes all the time;
 * -EFBIG: more than we read; -errno
 */
int iptables_legacy_has_chain(uint8_t family, const char *table,
			      const char *chain, bool *ret_has);
