// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "k8s_field.h"

#define LABEL_BYTES_MAX	    63	/* RFC 1123, section 2.1 */
#define SUBDOMAIN_BYTES_MAX 253 /* what the API server allows */
#define SHOWN_BYTES_MAX	    80	/* of a refused value */

void k8s_enter(struct k8s_reader *r, const char *name, size_t index)
{
	assert(r->path_n < K8S_PATH_MAX);
	r->path[r->path_n].name = name;
	r->path[r->path_n].index = index;
	r->path_n++;
}

void k8s_leave(struct k8s_reader *r)
{
	r->path_n--;
}

/* "spec.ports[1].port"; map keys with a slash as [key] */
static void path_format(const struct k8s_reader *r, char *buf, size_t bytes)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < r->path_n && n < bytes; i++) {
		const char *name = r->path[i].name;

		if (!name)
			n += (size_t)snprintf(buf + n, bytes - n, "[%zu]",
					      r->path[i].index);
		else if (strchr(name, '/'))
			n += (size_t)snprintf(buf + n, bytes - n, "[%s]", name);
		else
			n += (size_t)snprintf(buf + n, bytes - n, "%s%s",
					      i ? "." : "", name);
	}
}

int k8s_refuse_at(struct k8s_reader *r, int error, const char *text)
{
	char path[256];

	path_format(r, path, sizeof(path));
	return errf(r->e, error, "%s%s%s", path, path[0] ? ": " : "", text);
}

int k8s_refuse(struct k8s_reader *r, struct json v, const char *allowed)
{
	char text[SHOWN_BYTES_MAX + 256];
	enum json_type type = json_type(v);
	const char *raw;
	size_t len;

	if (type == JSON_OBJECT || type == JSON_ARRAY) {
		raw = json_type_name(type);
		len = strlen(raw);
	} else {
		json_raw(v, &raw, &len);
	}
	snprintf(text, sizeof(text), "%.*s%s is not allowed (%s)",
		 (int)(len < SHOWN_BYTES_MAX ? len : SHOWN_BYTES_MAX), raw,
		 len > SHOWN_BYTES_MAX ? "..." : "", allowed);
	return k8s_refuse_at(r, -EINVAL, text);
}

static size_t find_field(const struct k8s_field *fields, size_t fields_n,
			 struct json key)
{
	size_t i = 0;

	while (i < fields_n && !json_equals(key, fields[i].name))
		i++;
	return i;
}

int k8s_read_fields(struct k8s_reader *r, struct json v,
		    const struct k8s_field *fields, size_t fields_n, void *out)
{
	struct json found[K8S_FIELDS_MAX] = {0};
	struct json key, value;
	int it = 0, error = 0;

	if (json_type(v) != JSON_OBJECT)
		return k8s_refuse(r, v, "an object");
	while (json_next_member(v, &it, &key, &value)) {
		size_t i = find_field(fields, fields_n, key);

		if (i < fields_n)
			found[i] = value;
	}
	for (size_t i = 0; i < fields_n && error == 0; i++) {
		if (!found[i].doc || json_type(found[i]) == JSON_NULL)
			continue;
		k8s_enter(r, fields[i].name, 0);
		error = fields[i].read(r, found[i],
				       (char *)out + fields[i].offset);
		k8s_leave(r);
	}
	return error;
}

static int too_many(struct k8s_reader *r, size_t n, size_t max)
{
	char text[96];

	snprintf(text, sizeof(text),
		 "%zu entries are not allowed (at most %zu)", n, max);
	return k8s_refuse_at(r, -E2BIG, text);
}

int k8s_read_list_begin(struct k8s_reader *r, struct json v,
			const struct k8s_list *list, void *ret_items,
			size_t *ret_n)
{
	size_t index = 0, size = json_size(v);
	struct json item;
	int it = 0, error;
	char *items;

	if (json_type(v) != JSON_ARRAY)
		return k8s_refuse(r, v, "a list");
	if (size > list->items_max)
		size = list->items_max;
	if (size == 0)
		return 0;
	items = calloc(size, list->item_bytes);
	if (!items)
		return -ENOMEM;
	/* @ret_items is the address of a pointer of any type */
	memcpy(ret_items, &items, sizeof(items));
	while (index < size && json_next_item(v, &it, &item)) {
		size_t n = (*ret_n)++;

		k8s_enter(r, NULL, index++);
		error = list->read(r, item, items + n * list->item_bytes);
		k8s_leave(r);
		if (error < 0)
			return error;
		if (error == K8S_SKIP_ITEM)
			*ret_n = n;
	}
	return 0;
}

int k8s_read_list(struct k8s_reader *r, struct json v,
		  const struct k8s_list *list, void *ret_items, size_t *ret_n)
{
	if (json_type(v) == JSON_ARRAY && json_size(v) > list->items_max)
		return too_many(r, json_size(v), list->items_max);
	return k8s_read_list_begin(r, v, list, ret_items, ret_n);
}

int k8s_read_string(struct k8s_reader *r, struct json v, void *out)
{
	int error = json_string(v, out);

	return error == -EINVAL ? k8s_refuse(r, v, "a string") : error;
}

int k8s_read_bool(struct k8s_reader *r, struct json v, void *out)
{
	return json_bool(v, out) < 0 ? k8s_refuse(r, v, "true or false") : 0;
}

static int read_u16(struct k8s_reader *r, struct json v, int64_t min,
		    const char *allowed, uint16_t *ret_value)
{
	int64_t n;

	if (json_integer(v, &n) < 0 || n < min || n > UINT16_MAX)
		return k8s_refuse(r, v, allowed);
	*ret_value = (uint16_t)n;
	return 0;
}

int k8s_read_port(struct k8s_reader *r, struct json v, void *out)
{
	return read_u16(r, v, 1, "1..65535", out);
}

int k8s_read_port_or_none(struct k8s_reader *r, struct json v, void *out)
{
	return read_u16(r, v, 0, "0..65535", out);
}

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of the RFC 1123 label at @s, which ends at a dot or a NUL; 0: none. */
static size_t label_length(const char *s)
{
	size_t n = 0;

	while (is_lower_or_digit(s[n]) || s[n] == '-')
		n++;
	if (n == 0 || (s[n] != '\0' && s[n] != '.') || s[0] == '-' ||
	    s[n - 1] == '-')
		return 0;
	return n;
}

static bool is_label(const char *s)
{
	size_t n = label_length(s);

	return n > 0 && n <= LABEL_BYTES_MAX && s[n] == '\0';
}

/* As the API server: its labels may be as long as the whole. */
static bool is_subdomain(const char *s)
{
	size_t total = strlen(s), n;

	while ((n = label_length(s)) > 0 && s[n] == '.')
		s += n + 1;
	return n > 0 && total <= SUBDOMAIN_BYTES_MAX;
}

static int read_name(struct k8s_reader *r, struct json v, bool empty_is_fine,
		     bool (*is_fine)(const char *s), const char *allowed,
		     char **ret_name)
{
	cleanup_(freep) char *name = NULL;
	int error = json_string(v, &name);

	if (error == -ENOMEM)
		return error;
	if (error < 0 || (!(empty_is_fine && !*name) && !is_fine(name)))
		return k8s_refuse(r, v, allowed);
	*ret_name = TAKE_PTR(name);
	return 0;
}

int k8s_read_label(struct k8s_reader *r, struct json v, void *out)
{
	return read_name(r, v, false, is_label,
			 "a DNS label: 1..63 of a-z, 0-9 and -", out);
}

int k8s_read_label_or_empty(struct k8s_reader *r, struct json v, void *out)
{
	return read_name(r, v, true, is_label,
			 "nothing or a DNS label: at most 63 of a-z, 0-9 and -",
			 out);
}

int k8s_read_subdomain(struct k8s_reader *r, struct json v, void *out)
{
	return read_name(r, v, false, is_subdomain,
			 "a DNS name: 1..253 of a-z, 0-9, - and .", out);
}

int k8s_read_enum(struct k8s_reader *r, struct json v, const char *const *names,
		  unsigned int names_n, unsigned int *ret_value)
{
	char allowed[128];
	size_t n = 0;

	if (json_equals(v, ""))
		return 0;
	for (unsigned int i = 0; i < names_n; i++) {
		if (json_equals(v, names[i])) {
			*ret_value = i;
			return 0;
		}
	}
	for (unsigned int i = 0; i < names_n && n < sizeof(allowed); i++)
		n += (size_t)snprintf(allowed + n, sizeof(allowed) - n, "%s%s",
				      i == 0	       ? "" :
				      i == names_n - 1 ? " or " :
							 ", ",
				      names[i]);
	return k8s_refuse(r, v, allowed);
}

/* Read @n digits at *@p; -1: there are none. */
static int read_digits(const char **p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

/* Milliseconds of ".fraction" at *@p, or 0; -1: a dot without digits. */
static int read_fraction(const char **p)
{
	int ms = 0, scale = 100;

	if (**p != '.')
		return 0;
	if ((*p)[1] < '0' || (*p)[1] > '9')
		return -1;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
		ms += (**p - '0') * scale;
	return ms;
}

/* Seconds east of Greenwich of "Z" or "+hh:mm" at @p, which must end there. */
static int read_zone(const char *p, int *ret_seconds)
{
	int sign = *p == '-' ? -1 : 1, hours, minutes;

	if (strcmp(p, "Z") == 0) {
		*ret_seconds = 0;
		return 0;
	}
	if (*p != '+' && *p != '-')
		return -EINVAL;
	p++;
	hours = read_digits(&p, 2);
	if (hours < 0 || hours > 23 || *p++ != ':')
		return -EINVAL;
	minutes = read_digits(&p, 2);
	if (minutes < 0 || minutes > 59 || *p)
		return -EINVAL;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return 0;
}

int k8s_parse_time(const char *text, uint64_t *ret_ms)
{
	/* What stands behind each of year, month, day, hour, minute, second;
	 * NUL: anything. */
	static const char delimiters[] = {'-', '-', 'T', ':', ':', '\0'};
	static const int min[] = {1970, 1, 1, 0, 0, 0};
	static const int max[] = {9999, 12, 31, 23, 59, 60};
	int part[6], ms, zone_s;
	int64_t s;

	for (size_t i = 0; i < ARRAY_SIZE(part); i++) {
		part[i] = read_digits(&text, i == 0 ? 4 : 2);
		if (part[i] < min[i] || part[i] > max[i])
			return -EINVAL;
		if (delimiters[i] && *text++ != delimiters[i])
			return -EINVAL;
	}
	ms = read_fraction(&text);
	if (ms < 0 || read_zone(text, &zone_s) < 0)
		return -EINVAL;
	s = timegm(&(struct tm){.tm_year = part[0] - 1900,
				.tm_mon = part[1] - 1,
				.tm_mday = part[2],
				.tm_hour = part[3],
				.tm_min = part[4],
				.tm_sec = part[5]}) -
	    zone_s;
	if (s < 0)
		return -EINVAL;
	*ret_ms = (uint64_t)s * 1000 + (uint64_t)ms;
	return 0;
}

int k8s_read_time(struct k8s_reader *r, struct json v, void *out)
{
	cleanup_(freep) char *text = NULL;
	int error = json_string(v, &text);
	uint64_t ms;

	if (error == -ENOMEM)
		return error;
	if (error < 0 || k8s_parse_time(text, &ms) < 0)
		return k8s_refuse(r, v, "a time as 2026-01-31T12:00:00Z");
	*(uint64_t *)out = ms / 1000;
	return 0;
}
