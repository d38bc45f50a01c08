/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_client.h - the client certificate that is presented now
 *
 * Layer: source, private to it.
 */
#pragma once

#include <stdint.h>

#include "nodesplice/source/k8s_config.h"

/*
 * Who issues short-lived certificates replaces the files (kubelet, cert-manager)
 * and expects that they are read again: client-go does it for each handshake
 * and looks every five minutes (transport/cert_rotation.go).  Connections that
 * are there already stay.
 *
 * Two files cannot be replaced at one time.  A pair that does not match, or is
 * not there, is as good as none: the former one stays in use, and the files are
 * read again for each request until they match.
 */
struct k8s_client {
	char *cert_pem, *key_pem; /* owned; NULL: those of the config */
	size_t cert_pem_len, key_pem_len;
	uint64_t read_ms;    /* last tried */
	bool suspect;	     /* a request failed: read at the next one */
	struct errbuf error; /* why the files' pair is not in use; "" */
};

void k8s_client_release(struct k8s_client *c);

/**
 * k8s_client_refresh() - Read the files again where it is time for it
 * @max_age_ms:	Not before the last reading is as old, unless there is a reason
 *
 * Without files, because the certificate is inline or there is none, nothing
 * happens.
 */
void k8s_client_refresh(struct k8s_client *c, const struct k8s_config *config,
			uint64_t max_age_ms, uint64_t now_ms);
