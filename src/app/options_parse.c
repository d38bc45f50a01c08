// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options_parse.c - the command line, then the file that it names
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_file.h"
#include "options_table.h"

/* Levenshtein's distance, for the nearest name of a mistyped one. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], b_n = strlen(b);

	if (b_n >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t i = 0; i <= b_n; i++)
		row[i] = i;
	for (; *a; a++) {
		size_t diagonal = row[0]++;

		for (size_t i = 1; i <= b_n; i++) {
			size_t least = diagonal + (*a != b[i - 1]);

			diagonal = row[i];
			if (row[i] + 1 < least)
				least = row[i] + 1;
			if (row[i - 1] + 1 < least)
				least = row[i - 1] + 1;
			row[i] = least;
		}
	}
	return row[b_n];
}

static int unknown(enum command c, const char *name, const char **names,
		   size_t names_n, struct errbuf *e)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (size_t i = 0; i < names_n; i++) {
		size_t d = distance(name, names[i]);

		if (d < best) {
			best = d;
			nearest = names[i];
		}
	}
	if (nearest)
		return errf(e, -EINVAL,
			    "--%.64s: no such option of %s (did you mean "
			    "--%s?)",
			    name, command_name(c), nearest);
	return errf(e, -EINVAL, "--%.64s: no such option of %s (see --help)",
		    name, command_name(c));
}

/* The option that @name is, or is the unique beginning of. */
static int complete(enum command c, const char *name, const char **ret_name,
		    struct errbuf *e)
{
	const char *names[OPTIONS_NAMES_MAX], *match = NULL;
	size_t n = options_names(c, names), len = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (strncmp(names[i], name, len) != 0)
			continue;
		if (names[i][len] == '\0') {
			*ret_name = names[i];
			return 0;
		}
		if (match && len)
			return errf(e, -EINVAL,
				    "--%s: may be --%s or --%s: write more of "
				    "it",
				    name, match, names[i]);
		match = names[i];
	}
	if (!match && options_without_effect(name))
		match = options_without_effect(name);
	if (!match || len == 0)
		return unknown(c, name, names, n, e);
	*ret_name = match;
	return 0;
}

struct arguments {
	int argc;
	char **argv;
	int at;
};

static bool is_switch_word(const char *s)
{
	return s && (strcmp(s, "on") == 0 || strcmp(s, "off") == 0 ||
		     strcmp(s, "true") == 0 || strcmp(s, "false") == 0);
}

/* The value of the option just read: behind '=' or the next argument; a switch
 * alone means on. */
static int take_value(struct arguments *a, const char *name,
		      const char *inline_, const char **ret_value,
		      struct errbuf *e)
{
	const char *next = a->at < a->argc ? a->argv[a->at] : NULL;

	if (inline_) {
		*ret_value = inline_;
	} else if (options_is_switch(name) && !is_switch_word(next)) {
		*ret_value = "on";
	} else if (next) {
		*ret_value = next;
		a->at++;
	} else {
		return errf(e, -EINVAL, "--%s: a value is missing", name);
	}
	return 0;
}

/* What the command line gave, to be set again over the file. */
struct given {
	const char *name, *value;
};

static int parse_option(struct options *o, struct arguments *a,
			const char *argument, struct given *given, size_t *n,
			struct errbuf *e)
{
	cleanup_(freep) char *name = NULL;
	const char *equals = strchr(argument, '='), *full = NULL;
	const char *value = NULL;
	int r;

	name = equals ? strndup(argument, (size_t)(equals - argument)) :
			strdup(argument);
	if (!name)
		return -ENOMEM;
	r = complete(o->command, name, &full, e);
	if (r < 0)
		return r;
	if (strcmp(full, "help") == 0) {
		o->help = true;
		return 0;
	}
	r = take_value(a, full, equals ? equals + 1 : NULL, &value, e);
	if (r < 0)
		return r;
	r = options_set(o, full, value, e);
	if (r < 0) {
		char sentence[ERRBUF_BYTES];

		snprintf(sentence, sizeof(sentence), "%s", e ? e->text : "");
		return errf(e, r, "--%s", sentence);
	}
	given[(*n)++] = (struct given){full, value};
	return 0;
}

static int parse_word(struct options *o, const char *word, struct errbuf *e)
{
	if (o->command != COMMAND_EXPLAIN || o->target)
		return errf(e, -EINVAL, "%.64s: %s takes no %sargument", word,
			    command_name(o->command),
			    o->target ? "second " : "");
	o->target = strdup(word);
	return o->target ? 0 : -ENOMEM;
}

static int parse_arguments(struct options *o, struct arguments *a,
			   struct given *given, size_t *n, struct errbuf *e)
{
	int r = 0;

	while (a->at < a->argc && r == 0) {
		const char *arg = a->argv[a->at++];

		if (strcmp(arg, "-h") == 0)
			o->help = true;
		else if (strcmp(arg, "-o") == 0)
			r = parse_option(o, a, "output", given, n, e);
		else if (strncmp(arg, "-v", 2) == 0 &&
			 (!arg[2] || arg[2] == '='))
			r = parse_option(o, a, arg + 1, given, n, e);
		else if (strncmp(arg, "--", 2) == 0)
			r = parse_option(o, a, arg + 2, given, n, e);
		else if (*arg == '-')
			r = errf(e, -EINVAL, "%s: no such option (see --help)",
				 arg);
		else
			r = parse_word(o, arg, e);
	}
	return r;
}

static int parse_command(const char *word, enum command *ret_command,
			 struct errbuf *e)
{
	size_t best = 3, nearest = COMMAND_MAX_;

	for (size_t i = 0; i < COMMAND_MAX_; i++) {
		size_t d = distance(word, command_name((enum command)i));

		if (d < best) {
			best = d;
			nearest = i;
		}
	}
	if (best == 0) {
		*ret_command = (enum command)nearest;
		return 0;
	}
	if (nearest < COMMAND_MAX_)
		return errf(e, -EINVAL,
			    "%.64s: no such command (did you mean "
			    "%s?)",
			    word, command_name((enum command)nearest));
	return errf(e, -EINVAL, "%.64s: no such command (see --help)", word);
}

static bool one_source(const struct options *o)
{
	return (o->kubeconfig != NULL) + (o->manifests != NULL) +
		       (o->apiserver != NULL) <=
	       1;
}

/* A mode needs the name that it goes by; a mode that nobody asked for, none. */
static int check_detection(const struct options *o, struct errbuf *e)
{
	const char *missing = NULL;

	if (o->detect_local == DETECT_LOCAL_BRIDGE_INTERFACE &&
	    !o->pod_bridge_interface)
		missing = "pod-bridge-interface";
	if (o->detect_local == DETECT_LOCAL_INTERFACE_NAME_PREFIX &&
	    !o->pod_interface_name_prefix)
		missing = "pod-interface-name-prefix";
	return missing ? errf(e, -EINVAL,
			      "--detect-local-mode: --%s is missing", missing) :
			 0;
}

int options_parse(int argc, char **argv, struct options *ret_options,
		  struct errbuf *e)
{
	struct arguments a = {argc, argv, 2};
	cleanup_(freep) struct given *given =
		calloc((size_t)argc + 1, sizeof(*given));
	struct options *o = ret_options;
	size_t given_n = 0;
	int r;

	r = options_init(o);
	if (r < 0 || !given)
		return -ENOMEM;
	if (argc < 2)
		return errf(e, -EINVAL, "a command is missing (see --help)");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		o->command = COMMAND_MAX_;
		o->help = true;
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)command_name(COMMAND_VERSION);
	r = parse_command(argv[1], &o->command, e);
	if (r == 0)
		r = parse_arguments(o, &a, given, &given_n, e);
	if (r < 0 || o->help)
		return r;
	if (o->config) {
		r = config_file_read(o->config, o, e);
		for (size_t i = 0; i < given_n && r == 0; i++)
			r = options_set(o, given[i].name, given[i].value, e);
	}
	if (r == 0)
		r = check_detection(o, e);
	if (r == 0)
		r = options_check(o, e);
	if (r == 0 && !one_source(o))
		r = errf(e, -EINVAL,
			 "--kubeconfig, --manifests and "
			 "--apiserver: only one of them");
	if (r == 0 && o->command == COMMAND_EXPLAIN && !o->target)
		r = errf(e, -EINVAL,
			 "explain: NAMESPACE/NAME or ADDRESS:PORT "
			 "is missing");
	return r;
}
