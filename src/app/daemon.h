/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon.h - the run command
 *
 * Layer: app.
 */
#pragma once

#include "options.h"

/**
 * daemon_run() - Serve until SIGTERM or SIGINT
 *
 * Return: 0 after an orderly end; -errno if it can't start or can't go on,
 * with a text
 */
int daemon_run(const struct options *o, struct errbuf *e);
