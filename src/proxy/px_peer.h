/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_peer.h - whether the far end of a leg is still there
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * px_peer_keepalive() - Let the kernel probe a peer while nothing is sent
 * @keepalive_ms:	POLICY_TCP_KEEPALIVE; 0: off
 *
 * A kernel that refuses a value goes on with its own.
 */
void px_peer_keepalive(int fd, uint32_t keepalive_ms);

/**
 * px_peer_silent() - Whether a peer has left bytes unacknowledged for too long
 * @since_ms:	Kept by the caller between calls, 0 at first: since when bytes
 *		are known to wait without any answer
 * @timeout_ms:	POLICY_TCP_USER_TIMEOUT
 *
 * Never true before @timeout_ms of silence; called every half of it, true
 * after one and a half at the latest.
 */
bool px_peer_silent(int fd, uint64_t *since_ms, uint32_t timeout_ms,
		    uint64_t now_ms);
