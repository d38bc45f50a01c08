// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "k8s_client.h"

static void key_free(char *key)
{
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
}

void k8s_client_release(struct k8s_client *c)
{
	free(c->cert_pem);
	key_free(c->key_pem);
	*c = (struct k8s_client){0};
}

void k8s_client_refresh(struct k8s_client *c, const struct k8s_config *config,
			uint64_t max_age_ms, uint64_t now_ms)
{
	char *cert, *key;
	size_t cert_len, key_len;

	if (!config->client_cert_file && !config->client_key_file)
		return;
	if (!c->suspect && !c->error.text[0] &&
	    now_ms - c->read_ms < max_age_ms)
		return;
	c->read_ms = now_ms;
	c->suspect = false;
	if (k8s_config_read_client(config, &cert, &cert_len, &key, &key_len,
				   &c->error) < 0)
		return;
	free(c->cert_pem);
	key_free(c->key_pem);
	c->cert_pem = cert;
	c->cert_pem_len = cert_len;
	c->key_pem = key;
	c->key_pem_len = key_len;
	c->error.text[0] = '\0';
}
