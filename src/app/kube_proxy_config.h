/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kube_proxy_config.h - a KubeProxyConfiguration as it is in a cluster
 *
 * Layer: app.  kubeproxy.config.k8s.io/v1alpha1 (staging/src/k8s.io/kube-proxy/
 * config/v1alpha1/types.go of Kubernetes 1.37), as kubeadm's ConfigMap has it.
 *
 * Decoding is strict: an unknown field, one that is there twice and a value of
 * another type are errors with line and path.  Values are judged as kube-proxy
 * judges them (pkg/proxy/apis/config/validation).  A field sets the option of
 * its meaning; what has none here is remembered by name (options_ignore()).
 *
 * As in Go, null and the zero value mean "not given", except where kube-proxy
 * has a pointer, which tells 0 from nothing.  What is not given has nodesplice's
 * default, with two exceptions that come from the file's own mode: node ports
 * of the modes iptables and ipvs are served on all addresses, and
 * detectLocalMode is ClusterCIDR.
 */
#pragma once

#include "nodesplice/source/json.h"

#include "options.h"

#define KUBE_PROXY_API_VERSION "kubeproxy.config.k8s.io/v1alpha1"
#define KUBE_PROXY_KIND	       "KubeProxyConfiguration"

/**
 * kube_proxy_config_read() - Set the options that a document's fields mean
 * @text:	The JSON that @root is of, its keys on their lines
 *
 * Return: 0; -EINVAL with line, path, value and what is allowed; -ENOMEM
 */
int kube_proxy_config_read(const char *text, struct json root,
			   struct options *o, struct errbuf *e);
