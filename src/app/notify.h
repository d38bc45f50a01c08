/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify.h - readiness and watchdog of systemd
 *
 * Layer: app.  The documented protocol of sd_notify(3): one datagram of
 * "KEY=VALUE" lines to the socket that $NOTIFY_SOCKET names.
 */
#pragma once

#include <stdint.h>

/* Nothing if systemd did not start us. */
void notify_send(const char *state);
