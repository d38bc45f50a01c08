/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest.h - the objects of one manifest file
 *
 * Layer: source, private to file_source; pure.  A manifest is one JSON
 * document, or a stream of YAML documents; kind List and the lists of our
 * kinds are unpacked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "nodesplice/base/err.h"
#include "nodesplice/model/object.h"
#include "nodesplice/source/k8s_decode.h"

struct manifest_object {
	enum k8s_kind kind; /* K8S_SERVICE, K8S_ENDPOINT_SLICE, K8S_ENDPOINTS,
			       K8S_NODE or K8S_SERVICE_CIDR */
	char *key;	    /* owned; NULL: refused before it had a name */
	char *problem;	    /* owned; why it was refused; NULL: it is good */
	union {		    /* owned; NULL if refused, or taken */
		struct service *service;
		struct endpoint_slice *slice; /* of Endpoints: some */
		struct node *node;
		struct service_cidr *service_cidr;
	};
};

struct manifest {
	struct manifest_object *objects; /* in the order of the file */
	size_t objects_n, objects_room;
	size_t ignored_n;	/* of kinds that we don't use */
	char ignored_kind[128]; /* of the first of them: "apps/v1 Deployment" */
};

/**
 * manifest_parse() - Decode a file
 * @json:	One JSON document; else YAML
 * @ret_manifest: Holds what was decoded before the error, if any
 *
 * A refused object is an entry of the manifest and no error; an error means
 * that the file is broken as a whole.  Slices of no Service are left out.
 *
 * Return: 0; -EINVAL, -E2BIG with text; -ENOMEM
 */
int manifest_parse(const char *data, size_t len, bool json,
		   struct manifest *ret_manifest, struct errbuf *e);
void manifest_free(struct manifest *m); /* leaves it empty */

/* Free the object and leave the entry's name. */
void manifest_object_drop(struct manifest_object *o);
