/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_congestion.h - the congestion control of legs that stay on this node
 *
 * Layer: proxy, private.
 *
 * A node whose default is BBR has each socket send at the pace of a timer of
 * its own.  That is for the network; between a pod and the proxy there is a
 * virtual wire whose queue never fills, and the timers are all that is left of
 * it.  tests/bench/proxies with and without, 2 CPUs, BBR: 8 streams 12.0 and
 * 17.4 Gbit/s, 0.57 and 0.32 s/GB of the proxy's CPU; 1 stream 11.3 and 19.7,
 * 0.39 and 0.22.  Such legs get what does not pace; all others keep the node's
 * default.
 */
#pragma once

/**
 * px_congestion_local() - What legs inside the node should use
 *
 * Return: a name with static lifetime; NULL: the node's default is as good
 */
const char *px_congestion_local(void);

/* @name: May be NULL, which leaves the default.  Before the socket connects or
 * listens; what it accepts inherits it.  A refusal leaves the default, too. */
void px_congestion_set(int fd, const char *name);
