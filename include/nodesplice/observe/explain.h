/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * explain.h - what happens to connections to one Service, and why
 *
 * Layer: observe, pure.
 *
 * A target is one of
 *   namespace/name, namespace/name:port	a Service, one of its ports
 *   10.96.0.10:80, [fd00::1]:80		a frontend
 *   :30080					a node port
 * the last two optionally with /tcp, /udp or /sctp; without, whatever protocol
 * serves the port.
 *
 * JSON: {"target", "services": [...]}; names are stable, further ones may be
 * added.  A service has
 *   name, type, internalTrafficPolicy, externalTrafficPolicy
 *   mode, modeReason ("proxy" or "kernel"), problems[]
 *   settings  name: value, source ("built-in", "node", "annotation")
 *   ports[]   name, protocol, port, family
 *     frontends[]  address, kind, firewalled; inside, outside: verdict, and of
 *                  "pick": scope, masquerade, proxied
 *     endpoints[]  address, node, local; clusterSet, localSet: chosen, reason;
 *                  proxy: null, or state ("in-rotation", "ejected", "probing"),
 *                  openConnections, connections, failures,
 *                  consecutiveFailures, ejections, ejectedForSeconds (null:
 *                  not ejected), ejectedUntil, notEjectedBecause
 * A Service that is not served has notServedBecause instead of mode, settings
 * and ports.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"

/**
 * explain_text() - Explain a target to people
 *
 * Return: 0; -EINVAL (not a target), -ENOENT (unknown), -ENOMEM; with text
 */
int explain_text(const struct observed *o, const char *target, uint64_t now_ms,
		 struct text *t, struct errbuf *e);
int explain_json(const struct observed *o, const char *target, uint64_t now_ms,
		 uint64_t realtime_ms, struct text *t, struct errbuf *e);
