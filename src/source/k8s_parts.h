/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_parts.h - what Services, EndpointSlices and Nodes have in common
 *
 * Layer: source, private to the decoders.
 */
#pragma once

#include "k8s_field.h"
#include "nodesplice/model/object.h"

/* An offset for a table. */
#define AT(type, member) offsetof(struct type, member)

/* Read "metadata" into what k8s_read_key() wants: the name is a DNS label; a
 * DNS subdomain. */
int k8s_read_labelled_identity(struct k8s_reader *r, struct json v, void *out);
int k8s_read_named_identity(struct k8s_reader *r, struct json v, void *out);

/**
 * k8s_read_key() - The identity of an object, before anything else of it
 * @read_metadata: One of the two above
 * @spaced:	Whether the kind lives in namespaces
 * @ret_key:	"namespace/name" or "name"
 *
 * A manifest without a namespace means "default", as for kubectl.
 */
int k8s_read_key(struct k8s_reader *r, struct json object,
		 k8s_read_fn read_metadata, bool spaced, char **ret_key);

/* Put the object before the text of the error that refused it; @key may be
 * NULL.  Return: @error */
int k8s_refused(struct errbuf *e, int error, const char *kind, const char *key);

/* An address that every host uses for itself: unspecified, loopback or
 * multicast.  As a VIP it would be taken away from the node. */
bool k8s_is_every_hosts(const struct addr *a);

/* Read functions; @out in the comment. */
int k8s_read_protocol(struct k8s_reader *r, struct json v,
		      void *out); /* enum protocol * */
int k8s_read_ip(struct k8s_reader *r, struct json v,
		struct addr *ret_addr); /* any address */
/* struct addr *: a cluster IP */
int k8s_read_vip(struct k8s_reader *r, struct json v, void *out);
/* struct addr *: an address that may be an endpoint */
int k8s_read_plain_ip(struct k8s_reader *r, struct json v, void *out);
/* struct cidr *; K8S_SKIP_ITEM for an empty text */
int k8s_read_cidr(struct k8s_reader *r, struct json v, void *out);

/* bool *: that it is there says it, whatever its value */
int k8s_read_presence(struct k8s_reader *r, struct json v, void *out);
/* uint64_t *: milliseconds since the epoch; unchanged if it makes no sense */
int k8s_read_change_time(struct k8s_reader *r, struct json v, void *out);

/* An owned "" for a field that was absent. */
int k8s_default_to_empty(char **s);
