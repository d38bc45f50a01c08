// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * One table has a row for each field, by its path.  The document is walked
 * once; a member's path is looked up, its value is judged by the row's type,
 * and becomes the text of an option.  The mode decides which of the sections
 * iptables, ipvs and nftables count (as kube-proxy's conversion to its internal
 * type does), so it is read before the walk.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/duration.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"

#include "config_value.h"
#include "kube_proxy_config.h"

#define PATH_BYTES 128
#define GATES_MAX  1000 /* Kubernetes has some 200 */

enum mode {
	MODE_IPTABLES = 1, /* also "" */
	MODE_IPVS = 2,
	MODE_NFTABLES = 4,
};
#define MODES_ALL (MODE_IPTABLES | MODE_IPVS | MODE_NFTABLES)

enum field_type {
	FIELD_OBJECT,
	FIELD_STRING,
	FIELD_STRINGS,
	FIELD_BOOL,
	FIELD_INTEGER,
	FIELD_NUMBER,
	FIELD_DURATION,
	FIELD_GATES, /* names with booleans */
	FIELD_ANY,   /* nothing of it matters here */
	FIELD_TYPE_MAX_,
};

struct field {
	const char *path;
	enum field_type type;
	/* Which option it sets; NULL: none. */
	const char *option;
	unsigned int modes;  /* in which it counts; 0: in all */
	bool zero_counts;    /* a pointer in Go */
	int64_t min, max;    /* FIELD_INTEGER */
	const char *allowed; /* FIELD_STRING: "a, b"; NULL: any */
	const char *usual;   /* says nothing new, like a zero */
};

#define INT32_FROM_0 .min = 0, .max = INT32_MAX

#define F(path_, type_, ...)                                                   \
	{                                                                      \
		.path = path_, .type = FIELD_##type_, ##__VA_ARGS__            \
	}

/* Ranges as in pkg/proxy/apis/config/validation/validation.go. */
static const struct field fields[] = {
	F("featureGates", GATES),
	F("clientConnection", OBJECT),
	F("clientConnection.kubeconfig", STRING, .option = "kubeconfig"),
	F("clientConnection.acceptContentTypes", STRING),
	F("clientConnection.contentType", STRING,
	  .usual = "application/vnd.kubernetes.protobuf"),
	F("clientConnection.qps", NUMBER, .usual = "5"),
	F("clientConnection.burst", INTEGER, INT32_FROM_0, .usual = "10"),
	F("logging", OBJECT),
	F("logging.format", STRING, .allowed = "json, text", .usual = "text"),
	F("logging.flushFrequency", ANY, .usual = "5s"),
	F("logging.verbosity", INTEGER, .option = "v", INT32_FROM_0),
	F("logging.vmodule", ANY),
	F("logging.options", OBJECT),
	F("logging.options.text", OBJECT),
	F("logging.options.text.splitStream", BOOL),
	F("logging.options.text.infoBufferSize", ANY),
	F("logging.options.json", OBJECT),
	F("logging.options.json.splitStream", BOOL),
	F("logging.options.json.infoBufferSize", ANY),
	F("hostnameOverride", STRING, .option = "hostname-override"),
	F("bindAddress", STRING, .option = "bind-address"),
	F("healthzBindAddress", STRING, .option = "healthz-bind-address"),
	F("metricsBindAddress", STRING, .option = "metrics-bind-address"),
	F("bindAddressHardFail", BOOL, .option = "bind-address-hard-fail"),
	F("enableProfiling", BOOL),
	F("showHiddenMetricsForVersion", STRING),
	F("mode", STRING, .allowed = "iptables, ipvs, nftables"),
	F("iptables", OBJECT),
	F("iptables.masqueradeBit", INTEGER,
	  .option = "iptables-masquerade-bit",
	  .modes = MODE_IPTABLES | MODE_IPVS, .zero_counts = true, .min = 0,
	  .max = 31),
	F("iptables.masqueradeAll", BOOL, .option = "masquerade-all",
	  .modes = MODE_IPTABLES | MODE_IPVS),
	F("iptables.localhostNodePorts", BOOL, .modes = MODE_IPTABLES),
	F("iptables.syncPeriod", DURATION, .option = "iptables-sync-period",
	  .modes = MODE_IPTABLES),
	F("iptables.minSyncPeriod", DURATION,
	  .option = "iptables-min-sync-period", .modes = MODE_IPTABLES),
	F("ipvs", OBJECT),
	F("ipvs.syncPeriod", DURATION, .option = "iptables-sync-period",
	  .modes = MODE_IPVS),
	F("ipvs.minSyncPeriod", DURATION, .option = "iptables-min-sync-period",
	  .modes = MODE_IPVS),
	F("ipvs.scheduler", STRING),
	F("ipvs.excludeCIDRs", STRINGS),
	F("ipvs.strictARP", BOOL),
	F("ipvs.tcpTimeout", DURATION),
	F("ipvs.tcpFinTimeout", DURATION),
	F("ipvs.udpTimeout", DURATION),
	F("nftables", OBJECT),
	F("nftables.masqueradeBit", INTEGER,
	  .option = "iptables-masquerade-bit", .modes = MODE_NFTABLES,
	  .zero_counts = true, .min = 0, .max = 31),
	F("nftables.masqueradeAll", BOOL, .option = "masquerade-all",
	  .modes = MODE_NFTABLES),
	F("nftables.syncPeriod", DURATION, .option = "iptables-sync-period",
	  .modes = MODE_NFTABLES),
	F("nftables.minSyncPeriod", DURATION,
	  .option = "iptables-min-sync-period", .modes = MODE_NFTABLES),
	F("winkernel", OBJECT),
	F("winkernel.networkName", STRING),
	F("winkernel.sourceVip", STRING),
	F("winkernel.enableDSR", BOOL),
	F("winkernel.rootHnsEndpointName", STRING),
	F("winkernel.forwardHealthCheckVip", BOOL),
	F("detectLocalMode", STRING, .option = "detect-local-mode",
	  .allowed = "ClusterCIDR, NodeCIDR, BridgeInterface, "
		     "InterfaceNamePrefix"),
	F("detectLocal", OBJECT),
	F("detectLocal.bridgeInterface", STRING,
	  .option = "pod-bridge-interface"),
	F("detectLocal.interfaceNamePrefix", STRING,
	  .option = "pod-interface-name-prefix"),
	F("clusterCIDR", STRING, .option = "cluster-cidr"),
	F("nodePortAddresses", STRINGS, .option = "nodeport-addresses"),
	F("oomScoreAdj", INTEGER, .option = "oom-score-adj",
	  .zero_counts = true, .min = -1000, .max = 1000),
	F("conntrack", OBJECT),
	F("conntrack.maxPerCore", INTEGER, .option = "conntrack-max-per-core",
	  .zero_counts = true, INT32_FROM_0),
	F("conntrack.min", INTEGER, .option = "conntrack-min",
	  .zero_counts = true, INT32_FROM_0),
	F("conntrack.tcpEstablishedTimeout", DURATION,
	  .option = "conntrack-tcp-timeout-established", .zero_counts = true),
	F("conntrack.tcpCloseWaitTimeout", DURATION,
	  .option = "conntrack-tcp-timeout-close-wait", .zero_counts = true),
	F("conntrack.tcpBeLiberal", BOOL, .option = "conntrack-tcp-be-liberal"),
	F("conntrack.udpTimeout", DURATION, .option = "conntrack-udp-timeout"),
	F("conntrack.udpStreamTimeout", DURATION,
	  .option = "conntrack-udp-timeout-stream"),
	F("configSyncPeriod", DURATION, .usual = "15m0s"),
	F("portRange", STRING),
	F("windowsRunAsService", BOOL),
};

#undef F

struct walk {
	const char *text;
	struct options *o;
	struct errbuf *e;
	unsigned int mode; /* one of enum mode */
	bool seen[ARRAY_SIZE(fields)];
	bool given[ARRAY_SIZE(fields)]; /* with a value that counts */
};

static const struct field *find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(fields[i].path, path) == 0)
			return &fields[i];
	}
	return NULL;
}

static const char *type_words(enum field_type t)
{
	static const char *const words[] = {
		[FIELD_OBJECT] = "a mapping",
		[FIELD_STRING] = "a string",
		[FIELD_STRINGS] = "a list of strings",
		[FIELD_BOOL] = "true, false",
		[FIELD_INTEGER] = "an integer",
		[FIELD_NUMBER] = "a number",
		[FIELD_DURATION] = "a duration like 500ms, 30s or 1h30m",
		[FIELD_GATES] = "a mapping of names to true or false",
		[FIELD_ANY] = "anything",
	};
	static_assert(ARRAY_SIZE(words) == FIELD_TYPE_MAX_, "words for each");

	return words[t];
}

static int wrong_type(const struct field *f, struct json v, struct errbuf *e)
{
	return errf(e, -EINVAL, "%s is not allowed (%s)",
		    json_type_name(json_type(v)), type_words(f->type));
}

static int refuse(const char *value, const char *allowed, struct errbuf *e)
{
	return errf(e, -EINVAL, "\"%.128s\" is not allowed (%s)", value,
		    allowed);
}

static bool is_one_of(const char *value, const char *list)
{
	size_t len = strlen(value);

	for (const char *s = list; s; s = strstr(s, ", ")) {
		s += *s == ',' ? 2 : 0;
		if (strncmp(s, value, len) == 0 &&
		    (s[len] == '\0' || s[len] == ','))
			return true;
	}
	return false;
}

/* Judge a value of the right type; @s is how a flag would be written. */
static int judge(const struct field *f, const char *s, struct errbuf *e)
{
	char allowed[64];
	int64_t ms;
	int r;

	switch (f->type) {
	case FIELD_STRING:
		if (*s && f->allowed && !is_one_of(s, f->allowed))
			return refuse(s, f->allowed, e);
		return 0;
	case FIELD_DURATION:
		r = duration_parse(s, &ms);
		if (r < 0)
			return refuse(s, type_words(f->type), e);
		return ms < 0 ? refuse(s, "0 or more", e) : 0;
	case FIELD_OBJECT:
	case FIELD_STRINGS:
	case FIELD_BOOL:
	case FIELD_NUMBER:
	case FIELD_GATES:
	case FIELD_ANY:
		return 0;
	case FIELD_INTEGER:
	case FIELD_TYPE_MAX_:
		break;
	}
	errno = 0;
	ms = strtoll(s, NULL, 10);
	if (!errno && ms >= f->min && ms <= f->max)
		return 0;
	snprintf(allowed, sizeof(allowed), "%lld to %lld", (long long)f->min,
		 (long long)f->max);
	return refuse(s, allowed, e);
}

static bool says_nothing(const struct field *f, const char *s)
{
	int64_t ms;

	if (f->usual && strcmp(s, f->usual) == 0)
		return true;
	if (f->zero_counts)
		return false;
	if (f->type == FIELD_DURATION)
		return duration_parse(s, &ms) == 0 && ms == 0;
	if (f->type == FIELD_NUMBER || f->type == FIELD_INTEGER)
		return strtod(s, NULL) == 0;
	return !*s || strcmp(s, "false") == 0 || strcmp(s, "0") == 0;
}

static bool strings_only(struct json list)
{
	struct json item;
	int it = 0;

	while (json_next_item(list, &it, &item)) {
		if (json_type(item) != JSON_STRING)
			return false;
	}
	return true;
}

static bool has_type(const struct field *f, struct json v)
{
	int64_t n;

	switch (f->type) {
	case FIELD_OBJECT:
	case FIELD_GATES:
		return json_type(v) == JSON_OBJECT;
	case FIELD_STRING:
	case FIELD_DURATION:
		return json_type(v) == JSON_STRING;
	case FIELD_STRINGS:
		return json_type(v) == JSON_ARRAY && strings_only(v);
	case FIELD_BOOL:
		return json_type(v) == JSON_BOOL;
	case FIELD_INTEGER:
		return json_type(v) == JSON_NUMBER &&
		       json_integer(v, &n) != -EINVAL;
	case FIELD_NUMBER:
		return json_type(v) == JSON_NUMBER;
	case FIELD_ANY:
	case FIELD_TYPE_MAX_:
		break;
	}
	return true;
}

/* The option of a field, or the field's name among what has no effect. */
static int put(struct walk *w, const struct field *f, const char *s)
{
	if (f->modes && !(f->modes & w->mode))
		return 0; /* nor does kube-proxy look at it */
	if (!f->option)
		return options_ignore(w->o, f->path);
	w->given[f - fields] = true;
	return options_set(w->o, f->option, s, w->e);
}

static int read_scalar(struct walk *w, const struct field *f, struct json v)
{
	cleanup_(text_free) struct text t = {0};
	const char *s;
	int r = config_value(v, &t);

	if (r < 0)
		return r;
	s = t.data ? t.data : "";
	r = judge(f, s, w->e);
	if (r < 0 || strcmp(f->path, "mode") == 0)
		return r;
	return says_nothing(f, s) ? 0 : put(w, f, s);
}

/* Gates are not ours, but for one that an operator turns off on purpose. */
static int read_gates(struct walk *w, const struct field *f, struct json v)
{
	struct json key, value;
	size_t ignored_n = 0;
	bool on = false;
	int it = 0, r = 0;

	if (json_size(v) > GATES_MAX)
		return errf(w->e, -E2BIG, "more than %d", GATES_MAX);
	while (json_next_member(v, &it, &key, &value)) {
		if (json_bool(value, &on) < 0)
			return wrong_type(f, value, w->e);
		if (json_equals(key, "AllowServiceExternalIPs"))
			r = options_set(w->o, "service-external-ips",
					on ? "on" : "off", w->e);
		else
			ignored_n++;
		if (r < 0)
			return r;
	}
	return ignored_n ? put(w, f, "") : 0;
}

static int read_object(struct walk *w, const char *prefix, struct json object);

static int read_value(struct walk *w, const struct field *f, struct json v)
{
	if (json_type(v) == JSON_NULL)
		return 0;
	if (!has_type(f, v))
		return wrong_type(f, v, w->e);
	switch (f->type) {
	case FIELD_GATES:
		return read_gates(w, f, v);
	case FIELD_ANY:
		if (json_type(v) != JSON_OBJECT && json_type(v) != JSON_ARRAY)
			return read_scalar(w, f, v);
		return json_size(v) ? put(w, f, "") : 0;
	case FIELD_OBJECT:
	case FIELD_STRING:
	case FIELD_STRINGS:
	case FIELD_BOOL:
	case FIELD_INTEGER:
	case FIELD_NUMBER:
	case FIELD_DURATION:
	case FIELD_TYPE_MAX_:
		break;
	}
	return read_scalar(w, f, v);
}

static int read_member(struct walk *w, const char *path, struct json key,
		       struct json value)
{
	const struct field *f = find(path);
	int r;

	if (!f)
		r = errf(w->e, -EINVAL, "no such field");
	else if (w->seen[f - fields])
		r = errf(w->e, -EINVAL, "is there twice");
	else if (f->type == FIELD_OBJECT && json_type(value) == JSON_OBJECT)
		r = 0;
	else
		r = read_value(w, f, value);
	if (r < 0)
		return r == -ENOMEM ?
			       r :
			       errf_context(w->e, r, "line %zu: %s",
					    config_line(w->text, key),
					    path);
	w->seen[f - fields] = true;
	if (f->type == FIELD_OBJECT && json_type(value) == JSON_OBJECT)
		return read_object(w, path, value);
	return 0;
}

static int read_object(struct walk *w, const char *prefix, struct json object)
{
	struct json key, value;
	int it = 0, r = 0;

	while (r == 0 && json_next_member(object, &it, &key, &value)) {
		cleanup_(freep) char *name = NULL;
		char path[PATH_BYTES];

		r = json_string(key, &name);
		if (r < 0)
			return r;
		/* A name with a point is no path of two names. */
		snprintf(path, sizeof(path), "%s%s%s%s", prefix,
			 *prefix ? "." : "", name,
			 strchr(name, '.') ? "\"" : "");
		if (!*prefix && (strcmp(name, "apiVersion") == 0 ||
				 strcmp(name, "kind") == 0))
			continue;
		r = read_member(w, path, key, value);
	}
	return r;
}

/* A wrong one is told by the walk. */
static unsigned int mode_of(struct json root)
{
	unsigned int mode = MODE_IPTABLES;
	struct json key, value;
	int it = 0;

	while (json_next_member(root, &it, &key, &value)) {
		if (!json_equals(key, "mode") ||
		    json_type(value) != JSON_STRING)
			continue;
		mode = json_equals(value, "nftables") ? MODE_NFTABLES :
		       json_equals(value, "ipvs")     ? MODE_IPVS :
							MODE_IPTABLES;
	}
	return mode;
}

/* What kube-proxy would do without the field, given the mode. */
static int set_default(struct walk *w, const char *path, const char *value)
{
	const struct field *f = find(path);

	return w->given[f - fields] ? 0 : put(w, f, value);
}

int kube_proxy_config_read(const char *text, struct json root,
			   struct options *o, struct errbuf *e)
{
	struct walk w = {.text = text, .o = o, .e = e, .mode = mode_of(root)};
	int r = read_object(&w, "", root);

	/* A flag that makes sense with NodeCIDR only asks for that. */
	if (r == 0 && !o->pod_cidrs.given)
		r = set_default(&w, "detectLocalMode", "ClusterCIDR");
	if (r == 0 && w.mode != MODE_NFTABLES)
		r = set_default(&w, "nodePortAddresses", "all");
	return r;
}
