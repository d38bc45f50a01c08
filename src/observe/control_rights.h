/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control_rights.h - who may ask
 *
 * Layer: observe, private.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether the peer of a unix socket is root, our own user or a member of
 * @group ((gid_t)-1: our own group). */
bool control_rights(int fd, gid_t group);
