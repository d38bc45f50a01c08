/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commands.h - one function for each command of the program
 *
 * Layer: app.  Each prints what it was asked for on standard output and
 * returns the exit code; a failure's sentence is left in @e for main().
 */
#pragma once

#include "options.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DAEMON = 3,
	EXIT_NOT_FOUND = 4,
};

int command_run(const struct options *o, struct errbuf *e);
int command_init(const struct options *o, struct errbuf *e);
int command_plan(const struct options *o, struct errbuf *e);
int command_ask(const struct options *o,
		struct errbuf *e); /* status, explain */
int command_cleanup(const struct options *o, struct errbuf *e);
int command_check(const struct options *o, struct errbuf *e);
