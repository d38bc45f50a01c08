/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * object.h - Service, EndpointSlice, Node and ServiceCIDR as Kubernetes means
 * them
 *
 * Layer: model, pure; knows no JSON, no nft, no socket.  Objects are decoded
 * once, then immutable; every pointer in them is owned by the object.
 * Defaults of the API (core/v1, discovery/v1) are applied by the decoder, so
 * that an absent field and its default are equal here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/addr.h"
#include "nodesplice/base/mem.h"

enum protocol {
	PROTOCOL_TCP,
	PROTOCOL_UDP,
	PROTOCOL_SCTP,
	PROTOCOL_MAX_,
};

enum service_type {
	SERVICE_TYPE_CLUSTER_IP,
	SERVICE_TYPE_NODE_PORT,
	SERVICE_TYPE_LOAD_BALANCER,
	SERVICE_TYPE_EXTERNAL_NAME,
	SERVICE_TYPE_MAX_,
};

enum traffic_policy {
	TRAFFIC_POLICY_CLUSTER,
	TRAFFIC_POLICY_LOCAL,
	TRAFFIC_POLICY_MAX_,
};

enum session_affinity {
	SESSION_AFFINITY_NONE,
	SESSION_AFFINITY_CLIENT_IP,
	SESSION_AFFINITY_MAX_,
};

struct service_port {
	char *name; /* "" if the port has none */
	enum protocol protocol;
	uint16_t port;
	uint16_t node_port; /* 0: none */
};

struct service_ingress {
	struct addr addr;
	bool proxied_elsewhere; /* ipMode Proxy: not ours to capture */
};

/* Only keys under "nodesplice.io/"; the prefix is cut off. */
struct annotation {
	char *key;
	char *value;
};

struct service {
	char *key; /* "namespace/name" */
	char *uid;
	uint64_t created_s; /* creationTimestamp; 0: unknown */
	enum service_type type;
	bool headless; /* clusterIP None */
	char *proxy_name; /* label service.kubernetes.io/service-proxy-name or NULL */
	struct addr *cluster_ips;
	size_t cluster_ips_n;
	struct addr *external_ips;
	size_t external_ips_n;
	struct service_ingress *ingress; /* entries with a usable ip only */
	size_t ingress_n;
	struct cidr *source_ranges;
	size_t source_ranges_n;
	bool lost_ranges; /* some could not be read: they admit nobody */
	enum traffic_policy internal_policy;
	enum traffic_policy external_policy;
	enum session_affinity affinity;
	uint32_t affinity_timeout_s;
	uint16_t health_check_node_port; /* 0: none */
	struct service_port *ports;
	size_t ports_n;
	struct annotation *annotations;
	size_t annotations_n;
	/* Sentences about entries that could not be read and are left out. */
	char **bad_entries; /* at most LIMIT_BAD_ENTRIES_TOLD */
	size_t bad_entries_n;
	size_t bad_entries_more_n; /* without a sentence */
};

struct slice_port {
	char *name; /* "" if it has none */
	enum protocol protocol;
	uint16_t port; /* 0: "all ports" of the API; never matched */
};

struct slice_endpoint {
	struct addr addr; /* addresses[0]; the API calls further ones opaque */
	bool ready, serving, terminating;
	char *node; /* nodeName or NULL */
	char **zone_hints;
	size_t zone_hints_n;
	char **node_hints;
	size_t node_hints_n;
};

struct endpoint_slice {
	char *key;	   /* "namespace/name" of the slice */
	char *service_key; /* "namespace/" + label kubernetes.io/service-name */
	uint8_t family; /* AF_INET or AF_INET6; addressType FQDN is refused */
	uint64_t changed_ms; /* endpoints.kubernetes.io/last-change-trigger-time,
				since the epoch; 0: absent */
	struct slice_port *ports;
	size_t ports_n;
	struct slice_endpoint *endpoints;
	size_t endpoints_n;
	size_t left_out_n; /* endpoints above a limit of its kind */
	/* Owned: the others that were made of the same object (Endpoints).
	 * Only the first one's key counts. */
	struct endpoint_slice *next;
};

struct node {
	char *name;
	char *zone;	  /* label topology.kubernetes.io/zone or NULL */
	struct addr *ips; /* InternalIPs, then ExternalIPs */
	size_t ips_n;
	struct cidr *pod_cidrs;
	size_t pod_cidrs_n;
	bool being_deleted; /* deletionTimestamp is set */
	bool to_be_deleted; /* taint ToBeDeletedByClusterAutoscaler */
};

/* networking.k8s.io/v1: what cluster IPs are taken from. */
struct service_cidr {
	char *name;
	struct cidr *cidrs; /* one, or one of each family */
	size_t cidrs_n;
};

void service_free(struct service *s);
DEFINE_FREEP(struct service, service_free)
void endpoint_slice_free(struct endpoint_slice *s);
DEFINE_FREEP(struct endpoint_slice, endpoint_slice_free)
void node_free(struct node *n);
DEFINE_FREEP(struct node, node_free)
void service_cidr_free(struct service_cidr *c);
DEFINE_FREEP(struct service_cidr, service_cidr_free)

/* Whether two objects mean the same to us. */
bool service_equal(const struct service *a, const struct service *b);
bool endpoint_slice_equal(const struct endpoint_slice *a,
			  const struct endpoint_slice *b);
bool node_equal(const struct node *a, const struct node *b);
bool service_cidr_equal(const struct service_cidr *a,
			const struct service_cidr *b);

const char *protocol_name(enum protocol p);		/* "tcp" */
int protocol_number(enum protocol p);			/* IPPROTO_TCP */
const char *service_type_name(enum service_type t);	/* "ClusterIP" */
const char *traffic_policy_name(enum traffic_policy p); /* "Cluster" */
