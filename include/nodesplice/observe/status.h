/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status.h - how the whole node is doing
 *
 * Layer: observe, pure.
 *
 * JSON: one object; names are stable, further ones may be added.  Times are
 * RFC 3339 or null for never, durations are seconds with a fraction.
 *
 *   version, node, startedAt, uptimeSeconds
 *   health    healthz, livez, nodeEligible (bool); reasons[] (sentences)
 *   gate      state ("open", "closed", "off"), reason, forSeconds, closings
 *   sync      IPv4, IPv6: lastSyncedAt, queuedForSeconds (null: nothing is
 *             queued), failures
 *   sources[] kind, listed, watching, heardSecondsAgo, objects, badObjects,
 *             relists, errors, resourceVersion, lastError
 *   counts    services, servedServices, endpointSlices, frontends, endpoints,
 *             openConnections, refusedObjects
 *   proxy     null, or openConnections, connecting, shortOf (null or why) and
 *             counters: each of proxy/stats.h by its name
 *   workers[] worker, heartbeatSecondsAgo, openConnections
 *   floor     null, or transactions, transactionsFailed, fullSyncs, repairs,
 *             elements, lastTransactionSeconds
 *   options   name: value
 *   problems[] subject, sentence, firstAt, lastAt, times
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"

/* For people: aligned lines. */
void status_text(const struct observed *o, uint64_t now_ms, struct text *t);
void status_json(const struct observed *o, uint64_t now_ms, struct text *t);
