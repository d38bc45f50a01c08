// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Without bytes on the way, keepalive finds a dead peer.  With bytes on the
 * way the kernel retransmits them for a quarter of an hour (tcp_retries2),
 * which is what clients of a dead node wait for (kubernetes #77903).
 *
 * TCP_USER_TIMEOUT would shorten that, but it ends connections to a living
 * peer as well, one that reads nothing for that long and says so with a zero
 * window (tests/kernel/user_timeout.c): a pager at the end of a download, a
 * cursor over a large result.  kube-proxy never ends those.  So the question is
 * put to TCP_INFO, now and then: was something sent, or sent again, after the
 * last acknowledgement came, and has none come since that was first seen?
 *
 * One question without an answer says nothing, however long ago it was: the
 * answer may be lost, Linux answers no two probes within half a second
 * (tcp_invalid_ratelimit), and to a window that has been closed for long the
 * next question comes only after up to two minutes (TCP_RTO_MAX).  So it takes
 * two, and two looks at the second one: its answer may be on the way.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "px_peer.h"

#define KEEPALIVE_PROBES 3
#define KEEPALIVE_MAX_S	 32767 /* MAX_TCP_KEEPIDLE, net/tcp.h */

static void set_number(int fd, int level, int option, uint32_t value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* Whole seconds, upwards, within what the kernel takes. */
static uint32_t keepalive_s(uint32_t ms)
{
	uint32_t s = ms / 1000 + (ms % 1000 != 0);

	return s > KEEPALIVE_MAX_S ? KEEPALIVE_MAX_S : s;
}

void px_peer_keepalive(int fd, uint32_t keepalive_ms)
{
	if (!keepalive_ms)
		return;
	set_number(fd, SOL_TCP, TCP_KEEPIDLE, keepalive_s(keepalive_ms));
	set_number(fd, SOL_TCP, TCP_KEEPINTVL,
		   keepalive_s(keepalive_ms / KEEPALIVE_PROBES + 1));
	set_number(fd, SOL_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Whether an answer is due.  A peer with a closed window may leave bytes
 * unacknowledged while it answers each retransmission. */
static bool answer_due(const struct tcp_info *i)
{
	return i->tcpi_probes > 0 ||
	       (i->tcpi_unacked > 0 &&
		i->tcpi_last_data_sent < i->tcpi_last_ack_recv);
}

/* Whether another question followed the one that was first seen unanswered. */
static bool asked_again(const struct tcp_info *i, uint64_t since_ms,
			uint64_t now_ms)
{
	return i->tcpi_probes > 1 ||
	       (i->tcpi_unacked > 0 &&
		now_ms - i->tcpi_last_data_sent > since_ms);
}

bool px_peer_judge(const struct tcp_info *i, struct px_silence *s,
		   uint32_t timeout_ms, uint64_t now_ms)
{
	bool again = s->again;

	if (!answer_due(i)) {
		*s = (struct px_silence){0};
		return false;
	}
	if (s->since_ms == 0 || now_ms - i->tcpi_last_ack_recv > s->since_ms) {
		*s = (struct px_silence){.since_ms = now_ms};
		return false;
	}
	s->again = asked_again(i, s->since_ms, now_ms);
	return again && s->again && now_ms - s->since_ms >= timeout_ms;
}

bool px_peer_silent(int fd, struct px_silence *s, uint32_t timeout_ms,
		    uint64_t now_ms)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len) < 0)
		return false;
	return px_peer_judge(&info, s, timeout_ms, now_ms);
}
