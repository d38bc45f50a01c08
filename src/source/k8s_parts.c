// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "k8s_parts.h"

/* Identity */

struct identity {
	char *space; /* namespace */
	char *name;
};

static void identity_free(struct identity *id)
{
	free(id->space);
	free(id->name);
}

int k8s_read_labelled_identity(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_label, AT(identity, name)},
		{"namespace", k8s_read_label, AT(identity, space)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

int k8s_read_named_identity(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_subdomain, AT(identity, name)},
		{"namespace", k8s_read_label, AT(identity, space)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/* "namespace/name"; a manifest without a namespace means "default", as for
 * kubectl.  Cluster-wide objects (@spaced false) have the name alone. */
int k8s_read_key(struct k8s_reader *r, struct json object,
		 k8s_read_fn read_metadata, bool spaced, char **ret_key)
{
	cleanup_(identity_free) struct identity id = {0};
	const struct k8s_field fields[] = {{"metadata", read_metadata, 0}};
	int error = K8S_READ_FIELDS(r, object, fields, &id);

	if (error < 0)
		return error;
	if (!id.name)
		return errf(r->e, -EINVAL, "metadata.name is missing");
	if (!spaced) {
		*ret_key = TAKE_PTR(id.name);
		return 0;
	}
	if (asprintf(ret_key, "%s/%s", id.space ? id.space : "default",
		     id.name) < 0) {
		*ret_key = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Put the object before the text of the error that k8s_refused it. */
int k8s_refused(struct errbuf *e, int error, const char *kind, const char *key)
{
	if (error == -ENOMEM)
		errf(e, error, "out of memory");
	return errf_context(e, error, "%s%s%s", kind, key ? " " : "",
			    key ? key : "");
}

int k8s_read_protocol(struct k8s_reader *r, struct json v, void *out)
{
	static const char *const names[] = {[PROTOCOL_TCP] = "TCP",
					    [PROTOCOL_UDP] = "UDP",
					    [PROTOCOL_SCTP] = "SCTP"};
	_Static_assert(ARRAY_SIZE(names) == PROTOCOL_MAX_, "a name for each");

	return k8s_read_enum(r, v, names, ARRAY_SIZE(names), out);
}

/* Old objects have "010.0.0.1": Kubernetes reads that as decimal for ever
 * (k8s.io/utils/net, ParseIPSloppy()).  Zeros of IPv6 are allowed anyhow. */
static void drop_leading_zeros(char *text)
{
	bool at_begin = true;
	char *to = text;

	if (strchr(text, ':'))
		return;
	for (const char *from = text; *from; from++) {
		if (at_begin && *from == '0' && isdigit((unsigned char)from[1]))
			continue;
		at_begin = *from == '.';
		*to++ = *from;
	}
	*to = '\0';
}

int k8s_read_ip(struct k8s_reader *r, struct json v, struct addr *ret_addr)
{
	cleanup_(freep) char *text = NULL;
	int error = json_string(v, &text);

	if (error == -ENOMEM)
		return error;
	if (error == 0)
		drop_leading_zeros(text);
	if (error < 0 || addr_parse(text, ret_addr) < 0)
		return k8s_refuse(r, v, "an IP address");
	return 0;
}

bool k8s_is_every_hosts(const struct addr *a)
{
	return addr_is_unspecified(a) || addr_is_loopback(a) ||
	       addr_is_multicast(a);
}

int k8s_read_vip(struct k8s_reader *r, struct json v, void *out)
{
	struct addr a;
	int error = k8s_read_ip(r, v, &a);

	if (error < 0)
		return error;
	if (k8s_is_every_hosts(&a))
		return k8s_refuse(
			r, v, "neither unspecified, loopback nor multicast");
	*(struct addr *)out = a;
	return 0;
}

/* validation.go, ValidateEndpointIP(): endpoints and external addresses */
int k8s_read_plain_ip(struct k8s_reader *r, struct json v, void *out)
{
	struct addr a;
	int error = k8s_read_ip(r, v, &a);

	if (error < 0)
		return error;
	if (k8s_is_every_hosts(&a) || addr_is_link_local(&a))
		return k8s_refuse(
			r, v,
			"neither unspecified, loopback, link-local nor multicast");
	*(struct addr *)out = a;
	return 0;
}

/* kube-proxy trims source ranges and skips empty ones: validation let such
 * objects in (proxy/util/utils.go, MapCIDRsByIPFamily()). */
int k8s_read_cidr(struct k8s_reader *r, struct json v, void *out)
{
	cleanup_(freep) char *text = NULL;
	int error = json_string(v, &text);
	char *start, *end;

	if (error == -ENOMEM)
		return error;
	if (error < 0)
		return k8s_refuse(r, v, "a prefix as 10.0.0.0/8");
	start = text + strspn(text, " \t\r\n");
	for (end = start + strlen(start);
	     end > start && strchr(" \t\r\n", end[-1]); end--)
		end[-1] = '\0';
	if (!*start)
		return K8S_SKIP_ITEM;
	drop_leading_zeros(start);
	return cidr_parse(start, out) < 0 ?
		       k8s_refuse(r, v, "a prefix as 10.0.0.0/8") :
		       0;
}

int k8s_read_presence(struct k8s_reader *r, struct json v, void *out)
{
	(void)r;
	(void)v;
	*(bool *)out = true;
	return 0;
}

/* Made by a controller, for a metric only: a bad one is as good as none
 * (endpointschangetracker.go, getLastChangeTriggerTime()). */
int k8s_read_change_time(struct k8s_reader *r, struct json v, void *out)
{
	cleanup_(freep) char *text = NULL;

	(void)r;
	if (json_string(v, &text) == -ENOMEM)
		return -ENOMEM;
	if (text)
		k8s_parse_time(text, out);
	return 0;
}

int k8s_default_to_empty(char **s)
{
	if (!*s)
		*s = strdup("");
	return *s ? 0 : -ENOMEM;
}
