/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config_file.h - the options from a YAML file
 *
 * Layer: app.
 *
 *	apiVersion: nodesplice.io/v1alpha1
 *	kind: NodespliceConfiguration
 *	kubeconfig: /etc/nodesplice/kubeconfig
 *	pod-cidr: [10.244.1.0/24, fd00:10:244:1::/64]
 *	connect-timeout: 2s
 *
 * or a KubeProxyConfiguration (kube_proxy_config.h), or both as two documents:
 * then what the former says counts.
 */
#pragma once

#include "options.h"

/**
 * config_file_read() - Set every key of the file as the flag of its name
 *
 * Return: 0; -EINVAL with a text that names the file, the line, the key, the
 * value and what is allowed; -errno if it can't be read
 */
int config_file_read(const char *path, struct options *o, struct errbuf *e);

/* Write what is in force to a file, made or replaced.  0; -errno with text */
int config_file_write(const char *path, const struct options *o,
		      struct errbuf *e);
