// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ask_command.c - status and explain: the command line's end of the socket
 */
#include <errno.h>
#include <stdio.h>

#include "nodesplice/observe/control.h"

#include "commands.h"

static int exit_code_of(int r)
{
	switch (r) {
	case 0:
		return EXIT_DONE;
	case -ECONNREFUSED:
		return EXIT_NO_DAEMON;
	case -ENOENT:
		return EXIT_NOT_FOUND;
	default:
		return EXIT_FAILED;
	}
}

int command_ask(const struct options *o, struct errbuf *e)
{
	cleanup_(text_free) struct text line = {0}, answer = {0};
	int r;

	text_addf(&line, "%s %s", command_name(o->command),
		  o->json ? "json" : "text");
	if (o->target)
		text_addf(&line, " %s", o->target);
	if (line.failed)
		return EXIT_FAILED;
	r = control_request(o->control_socket, line.data, &answer, e);
	if (r == 0)
		fputs(answer.data ? answer.data : "", stdout);
	return exit_code_of(r);
}
