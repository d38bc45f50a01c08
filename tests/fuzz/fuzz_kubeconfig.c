// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_kubeconfig.c - a kubeconfig of any content
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nodesplice/source/k8s_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_(closep) int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
	struct k8s_config *c = NULL;
	struct errbuf e = {""};
	char path[64];
	int r;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = k8s_config_load(path, NULL, &c, &e);
	/* Either a whole configuration or a sentence that names the file. */
	if (r == 0 ? !c->server || !c->context ||
			     !c->client_cert_pem != !c->client_key_pem :
		     c || strncmp(e.text, path, strlen(path)) != 0)
		abort();
	k8s_config_free(c);
	return 0;
}
