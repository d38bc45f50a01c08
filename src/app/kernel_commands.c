// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernel_commands.c - cleanup: remove what is ours from the kernel
 */
#include <stdio.h>

#include "nodesplice/nft/cleanup.h"

#include "commands.h"
#include "dataplane.h"

int command_cleanup(const struct options *o, struct errbuf *e)
{
	struct nfp_options no;

	dataplane_static(o, &no);
	return nfp_cleanup(&no, e) < 0 ? EXIT_FAILED : EXIT_DONE;
}
