// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * k8s_decode_service(): the order of the functions is that of the document,
 * the public one is last.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "k8s_parts.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/k8s_decode.h"

/* core/v1 types.go: DefaultClientIPServiceAffinitySeconds and its maximum */
#define AFFINITY_TIMEOUT_DEFAULT_S 10800
#define AFFINITY_TIMEOUT_MAX_S	   86400

#define ANNOTATION_PREFIX "nodesplice.io/"

/*
 * Entries that are none.  One of them must not cost the rest of the Service:
 * it is left out and told, as by kube-proxy (util/utils.go, MapIPsByIPFamily()
 * and MapCIDRsByIPFamily()).
 */

static int note_bad_entry(struct k8s_reader *r)
{
	struct service *s = r->owner;
	char **grown, *sentence;

	if (s->bad_entries_n == LIMIT_BAD_ENTRIES_TOLD) {
		s->bad_entries_more_n++;
		return 0;
	}
	grown = reallocarray(s->bad_entries, s->bad_entries_n + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->bad_entries = grown;
	sentence = strdup(r->e->text);
	if (!sentence)
		return -ENOMEM;
	grown[s->bad_entries_n++] = sentence;
	r->e->text[0] = '\0';
	return 0;
}

/* The item that @error was met at is still zero. */
static int leave_out(struct k8s_reader *r, int error)
{
	if (error != -EINVAL && error != -E2BIG)
		return error;
	error = note_bad_entry(r);
	return error < 0 ? error : K8S_SKIP_ITEM;
}

/* What is above the limit is told. */
static int read_entries(struct k8s_reader *r, struct json v,
			const struct k8s_list *list, void *ret_items,
			size_t *ret_n)
{
	size_t n = json_type(v) == JSON_ARRAY ? json_size(v) : 0;
	int error = k8s_read_list_begin(r, v, list, ret_items, ret_n);
	char text[96];

	if (error < 0 || n <= list->items_max)
		return error;
	snprintf(text, sizeof(text), "of %zu entries the first %zu count", n,
		 list->items_max);
	k8s_refuse_at(r, -E2BIG, text);
	return note_bad_entry(r);
}

/* metadata */

static int read_service_labels(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"service.kubernetes.io/service-proxy-name", k8s_read_string,
		 AT(service, proxy_name)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/* The annotation of a key, a new one if the Service has none yet. */
static int find_annotation(struct k8s_reader *r, struct service *s,
			   const char *key, struct annotation **ret_found)
{
	struct annotation *grown;
	char *copy;

	for (size_t i = 0; i < s->annotations_n; i++) {
		if (strcmp(s->annotations[i].key, key) == 0) {
			*ret_found = &s->annotations[i];
			return 0;
		}
	}
	if (s->annotations_n == LIMIT_ANNOTATIONS_PER_SERVICE)
		return k8s_refuse_at(r, -E2BIG, "more than 64 of its prefix");
	grown = reallocarray(s->annotations, s->annotations_n + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->annotations = grown;
	copy = strdup(key);
	if (!copy)
		return -ENOMEM;
	grown[s->annotations_n] = (struct annotation){.key = copy};
	*ret_found = &grown[s->annotations_n++];
	return 0;
}

static int read_annotation(struct k8s_reader *r, struct json value,
			   struct service *s, const char *key)
{
	cleanup_(freep) char *text = NULL;
	struct annotation *a = NULL;
	int error = k8s_read_string(r, value, &text);

	if (error == 0)
		error = find_annotation(r, s, key, &a);
	if (error < 0)
		return error;
	free(a->value);
	a->value = TAKE_PTR(text);
	return 0;
}

static int read_service_annotations(struct k8s_reader *r, struct json v,
				    void *out)
{
	const size_t prefix_n = strlen(ANNOTATION_PREFIX);
	struct json key, value;
	int it = 0, error = 0;

	if (json_type(v) != JSON_OBJECT)
		return k8s_refuse(r, v, "an object");
	while (error == 0 && json_next_member(v, &it, &key, &value)) {
		cleanup_(freep) char *name = NULL;

		error = json_string(key, &name);
		if (error == -ENOMEM)
			return error;
		/* A key that is no text is none of ours. */
		if (error < 0 ||
		    strncmp(name, ANNOTATION_PREFIX, prefix_n) != 0 ||
		    json_type(value) == JSON_NULL) {
			error = 0;
			continue;
		}
		k8s_enter(r, name, 0);
		error = leave_out(r, read_annotation(r, value, out,
						     name + prefix_n));
		k8s_leave(r);
		if (error == K8S_SKIP_ITEM)
			error = 0;
	}
	return error;
}

static int read_service_metadata(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"uid", k8s_read_string, AT(service, uid)},
		{"creationTimestamp", k8s_read_time, AT(service, created_s)},
		{"labels", read_service_labels, 0},
		{"annotations", read_service_annotations, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/* spec */

static int read_type(struct k8s_reader *r, struct json v, void *out)
{
	static const char *const names[] = {
		[SERVICE_TYPE_CLUSTER_IP] = "ClusterIP",
		[SERVICE_TYPE_NODE_PORT] = "NodePort",
		[SERVICE_TYPE_LOAD_BALANCER] = "LoadBalancer",
		[SERVICE_TYPE_EXTERNAL_NAME] = "ExternalName",
	};
	_Static_assert(ARRAY_SIZE(names) == SERVICE_TYPE_MAX_,
		       "a name for each");

	return k8s_read_enum(r, v, names, ARRAY_SIZE(names), out);
}

static int read_traffic_policy(struct k8s_reader *r, struct json v, void *out)
{
	static const char *const names[] = {
		[TRAFFIC_POLICY_CLUSTER] = "Cluster",
		[TRAFFIC_POLICY_LOCAL] = "Local",
	};
	_Static_assert(ARRAY_SIZE(names) == TRAFFIC_POLICY_MAX_,
		       "a name for each");

	return k8s_read_enum(r, v, names, ARRAY_SIZE(names), out);
}

static int read_affinity(struct k8s_reader *r, struct json v, void *out)
{
	static const char *const names[] = {
		[SESSION_AFFINITY_NONE] = "None",
		[SESSION_AFFINITY_CLIENT_IP] = "ClientIP",
	};
	_Static_assert(ARRAY_SIZE(names) == SESSION_AFFINITY_MAX_,
		       "a name for each");

	return k8s_read_enum(r, v, names, ARRAY_SIZE(names), out);
}

static int read_affinity_timeout(struct k8s_reader *r, struct json v, void *out)
{
	int64_t n;

	if (json_integer(v, &n) < 0 || n < 1 || n > AFFINITY_TIMEOUT_MAX_S)
		return k8s_refuse(r, v, "1..86400 seconds");
	*(uint32_t *)out = (uint32_t)n;
	return 0;
}

static int read_affinity_client_ip(struct k8s_reader *r, struct json v,
				   void *out)
{
	static const struct k8s_field fields[] = {
		{"timeoutSeconds", read_affinity_timeout, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_affinity_config(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"clientIP", read_affinity_client_ip, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_vip_or_skip(struct k8s_reader *r, struct json v, void *out)
{
	return json_equals(v, "") ? K8S_SKIP_ITEM : k8s_read_vip(r, v, out);
}

static int read_cluster_ips(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {
		sizeof(struct addr), LIMIT_ADDRS_PER_SERVICE, read_vip_or_skip};
	struct service *s = out;
	struct json first;
	int it = 0;

	if (json_next_item(v, &it, &first) && json_equals(first, "None")) {
		s->headless = true;
		return 0;
	}
	return k8s_read_list(r, v, &list, &s->cluster_ips, &s->cluster_ips_n);
}

/* The field from before dual stack; clusterIPs, read before it, has the say. */
static int read_cluster_ip(struct k8s_reader *r, struct json v, void *out)
{
	struct service *s = out;

	if (s->headless || s->cluster_ips_n || json_equals(v, ""))
		return 0;
	if (json_equals(v, "None")) {
		s->headless = true;
		return 0;
	}
	free(s->cluster_ips); /* of a list of empty strings */
	s->cluster_ips = calloc(1, sizeof(*s->cluster_ips));
	if (!s->cluster_ips)
		return -ENOMEM;
	s->cluster_ips_n = 1;
	return k8s_read_vip(r, v, s->cluster_ips);
}

/* Validation has let empty ones in (proxy/util/utils.go, MapIPsByIPFamily()). */
static int read_external_ip(struct k8s_reader *r, struct json v, void *out)
{
	return json_equals(v, "") ? K8S_SKIP_ITEM :
				    leave_out(r, k8s_read_plain_ip(r, v, out));
}

static int read_external_ips(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {
		sizeof(struct addr), LIMIT_ADDRS_PER_SERVICE, read_external_ip};
	struct service *s = out;

	return read_entries(r, v, &list, &s->external_ips, &s->external_ips_n);
}

static int read_source_range(struct k8s_reader *r, struct json v, void *out)
{
	struct service *s = r->owner;
	int error = k8s_read_cidr(r, v, out);

	s->lost_ranges |= error < 0;
	return leave_out(r, error);
}

static int read_source_ranges(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct cidr),
					     LIMIT_RANGES_PER_SERVICE,
					     read_source_range};
	struct service *s = out;

	return read_entries(r, v, &list, &s->source_ranges,
			    &s->source_ranges_n);
}

static int read_service_port(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_label_or_empty, AT(service_port, name)},
		{"protocol", k8s_read_protocol, AT(service_port, protocol)},
		{"port", k8s_read_port, AT(service_port, port)},
		{"nodePort", k8s_read_port_or_none,
		 AT(service_port, node_port)},
	};
	struct service_port *p = out;
	int error = K8S_READ_FIELDS(r, v, fields, p);

	if (error < 0)
		return error;
	if (!p->port)
		return k8s_refuse_at(r, -EINVAL, "port is missing (1..65535)");
	return k8s_default_to_empty(&p->name);
}

/* validation.go, ValidateService(): names, and protocol with port, are unique */
static int check_port_is_new(struct k8s_reader *r, const struct service *s,
			     size_t n)
{
	const struct service_port *p = &s->ports[n];
	char text[192];

	for (size_t i = 0; i < n; i++) {
		const struct service_port *o = &s->ports[i];

		if (strcmp(o->name, p->name) == 0)
			snprintf(text, sizeof(text),
				 "name \"%s\" is that of ports[%zu] already",
				 p->name, i);
		else if (o->port == p->port && o->protocol == p->protocol)
			snprintf(text, sizeof(text),
				 "%s port %u is that of ports[%zu] already",
				 protocol_name(p->protocol), p->port, i);
		else
			continue;
		k8s_enter(r, NULL, n);
		k8s_refuse_at(r, -EINVAL, text);
		k8s_leave(r);
		return -EINVAL;
	}
	return 0;
}

static int read_service_ports(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct service_port),
					     LIMIT_PORTS_PER_SERVICE,
					     read_service_port};
	struct service *s = out;
	int error = k8s_read_list(r, v, &list, &s->ports, &s->ports_n);

	for (size_t i = 0; i < s->ports_n && error == 0; i++)
		error = check_port_is_new(r, s, i);
	return error;
}

static int read_service_spec(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"type", read_type, AT(service, type)},
		{"clusterIPs", read_cluster_ips, 0},
		{"clusterIP", read_cluster_ip, 0},
		{"externalIPs", read_external_ips, 0},
		{"loadBalancerSourceRanges", read_source_ranges, 0},
		{"internalTrafficPolicy", read_traffic_policy,
		 AT(service, internal_policy)},
		{"externalTrafficPolicy", read_traffic_policy,
		 AT(service, external_policy)},
		{"sessionAffinity", read_affinity, AT(service, affinity)},
		{"sessionAffinityConfig", read_affinity_config,
		 AT(service, affinity_timeout_s)},
		{"healthCheckNodePort", k8s_read_port_or_none,
		 AT(service, health_check_node_port)},
		{"ports", read_service_ports, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/* status */

static int read_ip_mode(struct k8s_reader *r, struct json v, void *out)
{
	static const char *const names[] = {"VIP", "Proxy"};
	unsigned int mode = 0;
	int error = k8s_read_enum(r, v, names, ARRAY_SIZE(names), &mode);

	*(bool *)out = mode == 1;
	return error;
}

/* Some load balancers of one machine say 127.0.0.1: theirs, not ours. */
static int read_ingress_ip(struct k8s_reader *r, struct json v, void *out)
{
	struct addr a = {0};
	int error = json_equals(v, "") ? 0 : k8s_read_ip(r, v, &a);

	if (error == 0 && !k8s_is_every_hosts(&a))
		*(struct addr *)out = a;
	return error;
}

static int read_ingress_item(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"ip", read_ingress_ip, AT(service_ingress, addr)},
		{"ipMode", read_ip_mode,
		 AT(service_ingress, proxied_elsewhere)},
	};
	struct service_ingress *ingress = out;
	int error = K8S_READ_FIELDS(r, v, fields, out);

	if (error == 0 && ingress->addr.family != AF_UNSPEC)
		return 0;
	*ingress = (struct service_ingress){0};
	return error < 0 ? leave_out(r, error) : K8S_SKIP_ITEM;
}

static int read_ingress(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct service_ingress),
					     LIMIT_ADDRS_PER_SERVICE,
					     read_ingress_item};
	struct service *s = out;

	return read_entries(r, v, &list, &s->ingress, &s->ingress_n);
}

static int read_load_balancer(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"ingress", read_ingress, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_service_status(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"loadBalancer", read_load_balancer, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/*
 * Fields that the type gives no meaning get their default, as kube-proxy reads
 * them (api/v1/service/util.go, ExternalPolicyLocal() and NeedsHealthCheck()).
 */
static void drop_what_has_no_meaning(struct service *s)
{
	bool accessible =
		s->type == SERVICE_TYPE_LOAD_BALANCER ||
		s->type == SERVICE_TYPE_NODE_PORT ||
		(s->type == SERVICE_TYPE_CLUSTER_IP && s->external_ips_n > 0);

	if (!accessible)
		s->external_policy = TRAFFIC_POLICY_CLUSTER;
	if (s->type != SERVICE_TYPE_LOAD_BALANCER ||
	    s->external_policy != TRAFFIC_POLICY_LOCAL)
		s->health_check_node_port = 0;
	if (s->affinity == SESSION_AFFINITY_NONE)
		s->affinity_timeout_s = AFFINITY_TIMEOUT_DEFAULT_S;
}

int k8s_decode_service(struct json object, struct service **ret_service,
		       struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"metadata", read_service_metadata, 0},
		{"spec", read_service_spec, 0},
		{"status", read_service_status, 0},
	};
	cleanup_(service_freep) struct service *s = calloc(1, sizeof(*s));
	struct errbuf own;
	struct k8s_reader r = {.e = e ? e : &own, .owner = s};
	int error;

	if (!s)
		return k8s_refused(e, -ENOMEM, "Service", NULL);
	s->affinity_timeout_s = AFFINITY_TIMEOUT_DEFAULT_S;
	error = k8s_read_key(&r, object, k8s_read_labelled_identity, true,
			     &s->key);
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, fields, s);
	if (error == 0)
		error = k8s_default_to_empty(&s->uid);
	if (error < 0)
		return k8s_refused(e, error, "Service", s->key);
	drop_what_has_no_meaning(s);
	*ret_service = TAKE_PTR(s);
	return 0;
}
