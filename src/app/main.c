// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nodesplice - Services of a Kubernetes node: an nftables floor, and a splicing
 * TCP proxy in front of it
 */
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/log.h"

#include "commands.h"

static int dispatch(const struct options *o, struct errbuf *e)
{
	switch (o->command) {
	case COMMAND_RUN:
		return command_run(o, e);
	case COMMAND_INIT:
		return command_init(o, e);
	case COMMAND_PLAN:
		return command_plan(o, e);
	case COMMAND_STATUS:
	case COMMAND_EXPLAIN:
		return command_ask(o, e);
	case COMMAND_CLEANUP:
		return command_cleanup(o, e);
	case COMMAND_CHECK:
		return command_check(o, e);
	case COMMAND_VERSION:
		puts("nodesplice " NODESPLICE_VERSION);
		return EXIT_DONE;
	case COMMAND_MAX_:
		break;
	}
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct options o;
	struct errbuf e = {0};
	int code = EXIT_USAGE;

	if (options_parse(argc, argv, &o, &e) == 0) {
		log_set_level(o.log_level);
		if (o.help) {
			options_help(o.command);
			code = EXIT_DONE;
		} else {
			code = dispatch(&o, &e);
		}
	}
	if (code != EXIT_DONE && *e.text)
		fprintf(stderr, "nodesplice: %s\n", e.text);
	options_free(&o);
	return code;
}
