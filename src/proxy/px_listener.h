/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_listener.h - a listening socket of one worker
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stdint.h>

/**
 * px_listener_open() - Listen on the wildcard address of one family
 * @family:	AF_INET or AF_INET6 (IPv6 alone, never IPv4 mapped into it)
 * @port:	Shared by the workers through SO_REUSEPORT
 * @congestion:	Of px_congestion_local(); NULL: the node's default
 * @ret_fd:	Non-blocking; what accepted sockets inherit is set on it
 *
 * Return: 0; -EAFNOSUPPORT: this host is without the family; -errno
 */
int px_listener_open(uint8_t family, uint16_t port, const char *congestion,
		     int *ret_fd);

/**
 * px_listener_probe() - Whether nobody listens on the port yet
 *
 * SO_REUSEPORT would let a second process of the same user join in silence
 * and take its share of our connections.
 *
 * Return: 0; -EADDRINUSE; -EAFNOSUPPORT; -errno
 */
int px_listener_probe(uint8_t family, uint16_t port);
