/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model.h - objects for tests, made in a line each
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/model/object.h"

static inline struct addr an_addr(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		abort();
	return a;
}

static inline struct sockad a_sockad(const char *text)
{
	struct sockad s = {0};

	if (sockad_parse(text, &s) < 0)
		abort();
	return s;
}

/* A ClusterIP Service "default/NAME" with one TCP port 80 "http". */
static inline struct service *a_service(const char *name, const char *ip)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s || asprintf(&s->key, "default/%s", name) < 0)
		abort();
	s->uid = strdup(name);
	s->created_s = 1000;
	s->cluster_ips = calloc(2, sizeof(*s->cluster_ips));
	s->cluster_ips[s->cluster_ips_n++] = an_addr(ip);
	s->ports = calloc(4, sizeof(*s->ports));
	s->ports[s->ports_n++] = (struct service_port){
		.name = strdup("http"), .protocol = PROTOCOL_TCP, .port = 80};
	return s;
}

static inline void with_annotation(struct service *s, const char *key,
				   const char *value)
{
	s->annotations = realloc(s->annotations, (s->annotations_n +
						  1) * sizeof(*s->annotations));
	s->annotations[s->annotations_n++] =
		(struct annotation){strdup(key), strdup(value)};
}

/* An empty slice "default/NAME" of Service "default/SERVICE", http = 8080. */
static inline struct endpoint_slice *
a_slice(const char *name, const char *service, uint8_t family)
{
	struct endpoint_slice *s = calloc(1, sizeof(*s));

	if (!s || asprintf(&s->key, "default/%s", name) < 0 ||
	    asprintf(&s->service_key, "default/%s", service) < 0)
		abort();
	s->family = family;
	s->ports = calloc(4, sizeof(*s->ports));
	s->ports[s->ports_n++] = (struct slice_port){
		.name = strdup("http"), .protocol = PROTOCOL_TCP, .port = 8080};
	return s;
}

/* A ready endpoint; change the returned one for others. */
static inline struct slice_endpoint *
with_endpoint(struct endpoint_slice *s, const char *ip, const char *node)
{
	struct slice_endpoint *ep;

	s->endpoints = realloc(s->endpoints,
			       (s->endpoints_n + 1) * sizeof(*s->endpoints));
	ep = &s->endpoints[s->endpoints_n++];
	*ep = (struct slice_endpoint){.addr = an_addr(ip),
				      .ready = true,
				      .serving = true,
				      .node = node ? strdup(node) : NULL};
	return ep;
}

static inline void with_zone_hint(struct slice_endpoint *ep, const char *zone)
{
	ep->zone_hints = realloc(ep->zone_hints,
				 (ep->zone_hints_n + 1) * sizeof(char *));
	ep->zone_hints[ep->zone_hints_n++] = strdup(zone);
}

static inline void with_node_hint(struct slice_endpoint *ep, const char *node)
{
	ep->node_hints = realloc(ep->node_hints,
				 (ep->node_hints_n + 1) * sizeof(char *));
	ep->node_hints[ep->node_hints_n++] = strdup(node);
}
