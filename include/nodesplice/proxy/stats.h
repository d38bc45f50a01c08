/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - the counters of the data path
 *
 * Layer: proxy; read by observe.  Written by one worker each with relaxed
 * atomics, summed by the reader.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PX_COUNTERS(X)                                                         \
	X(accepted, "connections accepted")                                    \
	X(closed, "connections ended in order")                                \
	X(reset, "connections ended by a reset from either side")              \
	X(not_redirected, "connections to the listener itself, refused")       \
	X(no_frontend, "connections to an address that is no frontend")        \
	X(no_endpoint, "connections to a frontend without endpoints")          \
	X(accept_failed, "accept() failed for lack of resources")              \
	X(limit_refused, "connections above max-node-connections")             \
	X(service_limit_refused, "connections above max-connections")          \
	X(endpoint_limit_refused,                                              \
	  "connections refused: endpoints left have max-endpoint-connections") \
	X(connects, "connect attempts to endpoints")                           \
	X(connect_refused, "connect attempts refused by the endpoint")         \
	X(connect_timeouts, "connect attempts that timed out")                 \
	X(connect_unreachable, "connect attempts without a route")             \
	X(connect_failed_local, "connect attempts that failed on this node")   \
	X(connect_retries, "attempts after the first of a connection")         \
	X(connect_exhausted, "connections refused after the last attempt")     \
	X(connect_total_timeouts,                                              \
	  "connections refused by connect-total-timeout")                      \
	X(transparent_failed, "binds to the client's address that failed")     \
	X(idle_timeouts, "connections ended by idle-timeout")                  \
	X(half_close_timeouts, "connections ended by half-close-timeout")      \
	X(aged_out, "connections ended by max-connection-age")                 \
	X(endpoint_closed, "connections ended by close-connections")           \
	X(silent_peers, "connections ended by tcp-user-timeout")               \
	X(dead_peers, "connections ended by tcp-keepalive")                    \
	X(ejections, "endpoints ejected")                                      \
	X(ejections_capped, "ejections not made: max-ejection-percent")        \
	X(ejections_last, "ejections not made: last endpoint")                 \
	X(probes, "connections to an ejected endpoint after its time")         \
	X(affinity_moved, "clients that got another endpoint than they kept")  \
	X(affinity_lost,                                                       \
	  "clients forgotten or not remembered for lack of room")              \
	X(bytes_in, "bytes from clients to endpoints")                         \
	X(bytes_out, "bytes from endpoints to clients")                        \
	X(spliced_bytes, "bytes moved by splice")                              \
	X(copied_bytes, "bytes moved by copy")                                 \
	X(pipe_failed, "pipes not to be had; copied instead")                  \
	X(peeked, "reads without a spare buffer; peeked at instead")

struct px_stats {
#define X(name, help) uint64_t name;
	PX_COUNTERS(X)
#undef X
	/* Gauges. */
	uint64_t open;	     /* client connections */
	uint64_t connecting; /* of these, still without an endpoint */
	uint64_t pipes;	     /* in use and pooled */
	uint64_t heartbeat_ms;
};

enum px_endpoint_state {
	PX_ENDPOINT_IN, /* in rotation */
	PX_ENDPOINT_EJECTED,
	PX_ENDPOINT_PROBING, /* its time is over; one connection at a time */
	PX_ENDPOINT_STATE_MAX_,
};

struct px_endpoint_stats {
	enum px_endpoint_state state;
	bool full;		/* has max-endpoint-connections */
	uint32_t share_percent; /* below 100 in its slow start */
	uint64_t open;
	uint64_t connections;	     /* established, ever */
	uint64_t failures;	     /* connect failures, ever */
	uint32_t affinity_clients_n; /* that keep it */
	uint32_t consecutive_failures;
	uint32_t ejections_n;	   /* the present multiplier of the base time */
	uint64_t ejected_until_ms; /* monotonic; 0: not ejected */
	const char *not_ejected_why; /* static text; NULL: nothing to say */
};

struct px_service_stats {
	uint64_t open, connections, failures, retries, exhausted, ejections;
	uint64_t ejections_capped, limit_refused, bytes_in, bytes_out;
	uint32_t endpoints_n, ejected_n;
	uint32_t slow_start_n;	     /* endpoints in their slow start */
	uint32_t affinity_clients_n; /* that keep an endpoint */
};
