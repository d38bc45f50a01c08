/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_peer.h - whether the far end of a leg is still there
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tcp_info;

/**
 * px_peer_keepalive() - Let the kernel probe a peer while nothing is sent
 * @keepalive_ms:	POLICY_TCP_KEEPALIVE; 0: off
 *
 * A kernel that refuses a value goes on with its own.
 */
void px_peer_keepalive(int fd, uint32_t keepalive_ms);

/* What is remembered of a peer between looks at it; 0 at first. */
struct px_silence {
	uint64_t since_ms : 63; /* a question waits without any answer */
	uint64_t again : 1;	/* and another one did, at the last look */
};

/**
 * px_peer_judge() - Whether a peer has left questions unanswered for too long
 * @i:		What the kernel knows at @now_ms
 * @timeout_ms:	POLICY_TCP_USER_TIMEOUT
 *
 * A question is what a living peer acknowledges: bytes, also those sent again,
 * or the probe of a closed window.  Pure.  Never true before @timeout_ms of
 * silence, nor for one question alone, nor for one that was only just put;
 * called every half of @timeout_ms, true after two of it at the latest.  Only
 * a peer whose window has been closed for longer than that is asked more
 * seldom: it has until the second question.
 */
bool px_peer_judge(const struct tcp_info *i, struct px_silence *s,
		   uint32_t timeout_ms, uint64_t now_ms);

/**
 * px_peer_silent() - px_peer_judge() of a socket; false for what is none
 */
bool px_peer_silent(int fd, struct px_silence *s, uint32_t timeout_ms,
		    uint64_t now_ms);
