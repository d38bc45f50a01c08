/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options_table.h - what the parser of the command line asks the table
 *
 * Layer: app, private to options*.c.
 */
#pragma once

#include "options.h"

#define OPTIONS_NAMES_MAX 128

/* The defaults.  Return: 0; -ENOMEM */
int options_init(struct options *o);

/* The names of a command's options: of the table, of the settings, "help".
 * Return: how many */
size_t options_names(enum command c, const char *names[OPTIONS_NAMES_MAX]);

/* Whether an option alone means on. */
bool options_is_switch(const char *name);

/* A flag of kube-proxy's that has no effect here; its full name is wanted.
 * NULL: not such a one */
const char *options_without_effect(const char *name);
bool options_switch_without_effect(const char *name);
void options_help_without_effect(void);

/* What no option alone can judge.  0; -EINVAL with text */
int options_check(const struct options *o, struct errbuf *e);
