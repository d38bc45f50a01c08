// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * libcurl's multi interface in its socket form: it tells which descriptors and
 * which time-out it waits for, the loop waits, and curl_multi_socket_action()
 * does what can be done without blocking.  One multi handle holds all requests,
 * so that a server with HTTP/2 gets them as streams of one connection.
 *
 *   curl: SOCKETFUNCTION, TIMERFUNCTION --> struct http_socket, timer (loop)
 *   loop: descriptor ready, timer fired --> curl_multi_socket_action()
 *                                       --> head(), body() --> done()
 *
 * curl must not be entered again from its own callbacks.  head() and body() are
 * called inside of them and may therefore start and drop nothing; done() is
 * called after curl has returned and may.
 *
 * A dead connection shows by keepalive and TCP_USER_TIMEOUT below; a server
 * that lives but says nothing is the owner's business, who drops the request
 * and asks for a fresh connection: with HTTP/2 the old one would be taken for
 * every further request.
 *
 * tls-server-name (another name than the URL's in the certificate): the URL is
 * rewritten to that name, which is then what SNI and the check use, the
 * connection goes to the old one (CURLOPT_CONNECT_TO), and the Host header
 * says the old one as client-go does.
 *
 * Relied on: a projected service account token is replaced when 80 % of its
 * life is over, and lives 10 minutes at least; client-go reads it once a minute
 * too (transport.NewCachedFileTokenSource()).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"

#include "k8s_client.h"
#include "k8s_http.h"

#define CONNECT_TIMEOUT_MS 10000L
/* client-go pings HTTP/2 after 30 s and waits for 15 s: the same in TCP. */
#define KEEPALIVE_IDLE_S     30
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES_N   3
#define USER_TIMEOUT_MS	     45000
#define TOKEN_MAX_AGE_MS     60000 /* and of a client certificate */

struct http_socket {
	struct loop_fd f;
	struct loop_deferred deferred;
	struct k8s_http *http;
};

struct k8s_http {
	struct loop *loop;		 /* borrowed */
	const struct k8s_config *config; /* borrowed */
	CURLM *multi;			 /* owned */
	struct timer timer;
	uint32_t socket_mark;
	char *base_url;		       /* owned; no "/" at its end */
	char *host_header;	       /* owned; NULL: curl's own */
	struct curl_slist *connect_to; /* owned; NULL: where the URL says */
	char *token;		       /* owned; of the file, NULL: not read */
	uint64_t token_read_ms;
	bool token_refused;
	struct errbuf token_error;
	struct k8s_client client;
};

/* ---- curl on the loop ---- */

static void report_ended(struct k8s_http *h);

static void socket_action(struct k8s_http *h, curl_socket_t fd, int events)
{
	int running_n;

	curl_multi_socket_action(h->multi, fd, events, &running_n);
	report_ended(h);
}

static void socket_ready(struct loop_fd *f, uint32_t events)
{
	struct http_socket *s = container_of(f, struct http_socket, f);
	int mask = 0;

	if (events & (EPOLLIN | EPOLLRDHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	socket_action(s->http, f->fd, mask);
}

static void socket_free(struct loop_deferred *d)
{
	free(container_of(d, struct http_socket, deferred));
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *data,
		       void *socket_data)
{
	struct k8s_http *h = data;
	struct http_socket *s = socket_data;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (!s)
			return 0;
		curl_multi_assign(h->multi, fd, NULL);
		loop_remove(h->loop, &s->f);
		loop_defer(h->loop, &s->deferred);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (s)
		return loop_modify(h->loop, &s->f, events) < 0 ? -1 : 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -1;
	*s = (struct http_socket){
		.f = {.fd = -1, .fn = socket_ready},
		.deferred.fn = socket_free,
		.http = h,
	};
	if (loop_add(h->loop, &s->f, fd, events) < 0) {
		free(s);
		return -1;
	}
	curl_multi_assign(h->multi, fd, s);
	return 0;
}

static int want_timer(CURLM *multi, long timeout_ms, void *data)
{
	struct k8s_http *h = data;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_stop(h->loop, &h->timer);
	else
		loop_timer_arm(h->loop, &h->timer,
			       loop_now_ms(h->loop) + (uint64_t)timeout_ms);
	return 0;
}

static void timer_fired(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	socket_action(container_of(t, struct k8s_http, timer),
		      CURL_SOCKET_TIMEOUT, 0);
}

/* ---- one server ---- */

static char *url_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char *s = NULL;

	return curl_url_get(url, part, &s, flags) == CURLUE_OK ? s : NULL;
}

static void curl_freep(char **p)
{
	curl_free(*p);
}

static void curl_urlp(CURLU **p)
{
	curl_url_cleanup(*p);
}

/* See tls-server-name at the top. */
static int use_other_name(struct k8s_http *h, CURLU *url, const char *name)
{
	cleanup_(curl_freep) char *host = url_part(url, CURLUPART_HOST, 0);
	cleanup_(curl_freep) char *port =
		url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	cleanup_(curl_freep) char *own_port = url_part(url, CURLUPART_PORT, 0);
	cleanup_(freep) char *to = NULL, *bracketed = NULL;

	if (!host || !port || asprintf(&to, "::%s:%s", host, port) < 0)
		return -ENOMEM;
	if (asprintf(&bracketed, strchr(name, ':') ? "[%s]" : "%s", name) < 0)
		return -ENOMEM;
	if (asprintf(&h->host_header, "Host: %s%s%s", host, own_port ? ":" : "",
		     own_port ? own_port : "") < 0)
		return -ENOMEM;
	h->connect_to = curl_slist_append(NULL, to);
	if (!h->connect_to)
		return -ENOMEM;
	return curl_url_set(url, CURLUPART_HOST, bracketed, 0) == CURLUE_OK ?
		       0 :
		       -EINVAL;
}

static int read_url(struct k8s_http *h, struct errbuf *e)
{
	const char *name = h->config->tls_server_name;
	cleanup_(curl_urlp) CURLU *url = curl_url();
	cleanup_(curl_freep) char *base = NULL;
	int r;

	if (!url)
		return errf(e, -ENOMEM, "out of memory");
	if (curl_url_set(url, CURLUPART_URL, h->config->server, 0) != CURLUE_OK)
		return errf(e, -EINVAL, "server \"%s\" is no URL",
			    h->config->server);
	r = name ? use_other_name(h, url, name) : 0;
	if (r < 0)
		return errf(e, r, "tls-server-name \"%s\" can't be used", name);
	base = url_part(url, CURLUPART_URL, 0);
	h->base_url = base ? strdup(base) : NULL;
	if (!h->base_url)
		return errf(e, -ENOMEM, "out of memory");
	for (size_t n = strlen(h->base_url); n && h->base_url[n - 1] == '/';)
		h->base_url[--n] = '\0';
	return 0;
}

int k8s_http_new(struct loop *l, const struct k8s_config *config,
		 uint32_t socket_mark, struct k8s_http **ret_http,
		 struct errbuf *e)
{
	cleanup_(k8s_http_freep) struct k8s_http *h = NULL;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return errf(e, -ENOMEM, "libcurl can't be initialized");
	h = calloc(1, sizeof(*h));
	if (!h) {
		curl_global_cleanup();
		return errf(e, -ENOMEM, "out of memory");
	}
	h->loop = l;
	h->config = config;
	h->socket_mark = socket_mark;
	h->timer.fn = timer_fired;
	r = read_url(h, e);
	if (r < 0)
		return r;
	h->multi = curl_multi_init();
	if (!h->multi)
		return errf(e, -ENOMEM, "out of memory");
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	*ret_http = TAKE_PTR(h);
	return 0;
}

static void token_free(char *token)
{
	if (token)
		explicit_bzero(token, strlen(token));
	free(token);
}

void k8s_http_free(struct k8s_http *h)
{
	if (!h)
		return;
	/* Closes the connections: want_socket() is called for each. */
	curl_multi_cleanup(h->multi);
	loop_timer_stop(h->loop, &h->timer);
	curl_slist_free_all(h->connect_to);
	token_free(h->token);
	k8s_client_release(&h->client);
	free(h->host_header);
	free(h->base_url);
	free(h);
	curl_global_cleanup();
}

/* ---- token ---- */

/* What may not stand in a header would end it, and begin another. */
static bool token_valid(const char *token)
{
	for (const char *s = token; *s; s++) {
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	}
	return *token;
}

static int token_read(struct k8s_http *h)
{
	const char *path = h->config->token_file;
	char *token, *end;
	size_t len;
	int r = fd_read_file(path, LIMIT_TOKEN_BYTES, &token, &len,
			     &h->token_error);

	if (r < 0)
		return r;
	end = token + strlen(token);
	while (end > token && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	if (!token_valid(token)) {
		token_free(token);
		return errf(&h->token_error, -EINVAL,
			    "%s: holds no bearer token", path);
	}
	token_free(h->token);
	h->token = token;
	h->token_error.text[0] = '\0';
	return 0;
}

/* NULL in @ret_token: we have none and need none. */
static int token_current(struct k8s_http *h, const char **ret_token,
			 struct errbuf *e)
{
	uint64_t now_ms = loop_now_ms(h->loop);

	if (h->config->token_file &&
	    (!h->token || h->token_refused || h->token_error.text[0] ||
	     now_ms - h->token_read_ms >= TOKEN_MAX_AGE_MS)) {
		int r = token_read(h);

		h->token_read_ms = now_ms;
		h->token_refused = false;
		if (r < 0 && !h->token && !h->config->token)
			return errf(e, r, "%s", h->token_error.text);
	}
	*ret_token = h->token ? h->token : h->config->token;
	return 0;
}

void k8s_http_refused(struct k8s_http *h)
{
	h->token_refused = true;
	h->client.suspect = true;
}

const char *k8s_http_credentials_error(const struct k8s_http *h)
{
	return h->token_error.text[0] ? h->token_error.text :
					h->client.error.text;
}

/* ---- one request ---- */

static int mark_socket(void *data, curl_socket_t fd, curlsocktype purpose)
{
	const struct k8s_http *h = data;
	const int on = 1, idle_s = KEEPALIVE_IDLE_S,
		  interval_s = KEEPALIVE_INTERVAL_S,
		  probes_n = KEEPALIVE_PROBES_N;
	const unsigned int user_timeout_ms = USER_TIMEOUT_MS;

	(void)purpose;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Each of these makes it better, none is needed. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s,
		   sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes_n, sizeof(probes_n));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
		   sizeof(user_timeout_ms));
	if (h->socket_mark)
		setsockopt(fd, SOL_SOCKET, SO_MARK, &h->socket_mark,
			   sizeof(h->socket_mark));
	return CURL_SOCKOPT_OK;
}

static size_t got_header(char *line, size_t size, size_t n, void *data)
{
	struct k8s_http_request *q = data;
	long status = 0;

	if (q->headed || (*line != '\r' && *line != '\n'))
		return size * n;
	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200) { /* 1xx: another head follows */
		q->headed = true;
		q->head(q, status);
	}
	return size * n;
}

static size_t got_body(char *bytes, size_t size, size_t n, void *data)
{
	struct k8s_http_request *q = data;

	return q->body(q, bytes, size * n) == 0 ? size * n : 0;
}

static void release(struct k8s_http_request *q)
{
	curl_multi_remove_handle(q->http->multi, q->easy);
	curl_easy_cleanup(q->easy);
	q->easy = NULL;
	curl_slist_free_all(q->headers);
	q->headers = NULL;
}

void k8s_http_drop(struct k8s_http_request *q)
{
	if (!q->easy)
		return;
	/* Who drops a request has lost the trust in its connection. */
	curl_easy_setopt(q->easy, CURLOPT_FORBID_REUSE, 1L);
	release(q);
}

/* In words that stay the same from one try to the next: no milliseconds, no
 * numbers of streams. */
static const char *describe(struct k8s_http_request *q, CURLcode code,
			    struct errbuf *e)
{
	const char *server = q->http->config->server;
	long os_errno = 0;

	curl_easy_getinfo(q->easy, CURLINFO_OS_ERRNO, &os_errno);
	switch ((int)code) {
	case CURLE_COULDNT_CONNECT:
		errf(e, 0, "no connection to %s: %s", server,
		     os_errno ? strerror((int)os_errno) : "refused");
		break;
	case CURLE_OPERATION_TIMEDOUT:
		errf(e, 0, "no connection to %s within %ld s", server,
		     CONNECT_TIMEOUT_MS / 1000);
		break;
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		errf(e, 0, "the connection to %s broke", server);
		break;
	default: /* libcurl's enum grows */
		errf(e, 0, "%s: %s", server,
		     *q->error ? q->error : curl_easy_strerror(code));
		break;
	}
	return e->text;
}

static void report_ended(struct k8s_http *h)
{
	struct CURLMsg *m;
	int left_n;

	while ((m = curl_multi_info_read(h->multi, &left_n))) {
		struct k8s_http_end end = {0};
		struct k8s_http_request *q;
		curl_off_t retry_after_s = 0;
		struct errbuf e;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
				  (char **)&q);
		curl_easy_getinfo(q->easy, CURLINFO_RETRY_AFTER,
				  &retry_after_s);
		if (retry_after_s > 0)
			end.retry_after_s = retry_after_s > UINT32_MAX ?
						    UINT32_MAX :
						    (uint32_t)retry_after_s;
		if (m->data.result != CURLE_OK) {
			end.failure = describe(q, m->data.result, &e);
			/* Maybe so: an expired one ends the handshake. */
			q->http->client.suspect = true;
		}
		release(q);
		q->done(q, &end);
	}
}

static int set_headers(struct k8s_http_request *q, const char *token,
		       const struct k8s_http_body *body)
{
	cleanup_(freep) char *bearer = NULL, *type = NULL;
	const char *lines[] = {"Accept: application/json", q->http->host_header,
			       NULL, NULL};

	if (body && asprintf(&type, "Content-Type: %s", body->content_type) < 0)
		return -ENOMEM;
	lines[3] = type;

	if (token) {
		if (asprintf(&bearer, "Authorization: Bearer %s", token) < 0)
			return -ENOMEM;
		lines[2] = bearer;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct curl_slist *more;

		if (!lines[i])
			continue;
		more = curl_slist_append(q->headers, lines[i]);
		if (!more)
			return -ENOMEM;
		q->headers = more;
	}
	if (bearer)
		explicit_bzero(bearer, strlen(bearer));
	return 0;
}

/* Copied by curl: it may be replaced while a request is under way.  A connection
 * with another certificate is not used again (Curl_ssl_config_matches()). */
static CURLcode set_client(CURL *c, const struct k8s_http *h)
{
	const struct k8s_client *own = &h->client;
	const struct k8s_config *config = h->config;
	struct curl_blob cert = {config->client_cert_pem,
				 config->client_cert_pem_len, CURL_BLOB_COPY};
	struct curl_blob key = {config->client_key_pem,
				config->client_key_pem_len, CURL_BLOB_COPY};
	CURLcode r;

	if (!config->client_cert_pem)
		return CURLE_OK;
	if (own->cert_pem) {
		cert.data = own->cert_pem;
		cert.len = own->cert_pem_len;
		key.data = own->key_pem;
		key.len = own->key_pem_len;
	}
	r = curl_easy_setopt(c, CURLOPT_SSLCERT_BLOB, &cert);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_SSLKEY_BLOB, &key);
	/* Else OpenSSL asks the terminal for an encrypted key's. */
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_KEYPASSWD, "");
	return r;
}

static CURLcode set_tls(CURL *c, const struct k8s_http *h)
{
	const struct k8s_config *config = h->config;
	struct curl_blob ca = {config->ca_pem, config->ca_pem_len,
			       CURL_BLOB_NOCOPY};
	CURLcode r = curl_easy_setopt(c, CURLOPT_SSLVERSION,
				      (long)CURL_SSLVERSION_TLSv1_2);

	if (r == CURLE_OK && config->ca_pem)
		r = curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	/* Else the system's CAs would be trusted beside the given one. */
	if (r == CURLE_OK && config->ca_pem)
		r = curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	if (r == CURLE_OK && config->insecure_skip_tls_verify) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return r == CURLE_OK ? set_client(c, h) : r;
}

static CURLcode set_options(struct k8s_http_request *q, const char *url,
			    bool fresh)
{
	struct k8s_http *h = q->http;
	CURL *c = q->easy;
	CURLcode r;

	curl_easy_setopt(c, CURLOPT_PRIVATE, q);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, q->error);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, got_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, q);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, got_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, q);
	curl_easy_setopt(c, CURLOPT_SOCKOPTFUNCTION, mark_socket);
	curl_easy_setopt(c, CURLOPT_SOCKOPTDATA, h);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, q->headers);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(c, CURLOPT_CONNECT_TO, h->connect_to);
	r = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_URL, url);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_USERAGENT,
				     "nodesplice/" NODESPLICE_VERSION);
	if (r == CURLE_OK && h->config->proxy_url)
		r = curl_easy_setopt(c, CURLOPT_PROXY, h->config->proxy_url);
	return r == CURLE_OK ? set_tls(c, h) : r;
}

static CURLcode set_body(CURL *c, const struct k8s_http_body *body)
{
	CURLcode r = curl_easy_setopt(c, CURLOPT_POST, 1L);

	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, body->method);
	if (r == CURLE_OK)
		r = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
				     (curl_off_t)body->len);
	return r == CURLE_OK ?
		       curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body->data) :
		       r;
}

static int start(struct k8s_http *h, struct k8s_http_request *q,
		 const char *target, bool fresh,
		 const struct k8s_http_body *body, struct errbuf *e)
{
	cleanup_(freep) char *url = NULL;
	const char *token = NULL;
	CURLcode code;
	int r = token_current(h, &token, e);

	if (r < 0)
		return r;
	k8s_client_refresh(&h->client, h->config, TOKEN_MAX_AGE_MS,
			   loop_now_ms(h->loop));
	if (asprintf(&url, "%s%s", h->base_url, target) < 0)
		return errf(e, -ENOMEM, "out of memory");
	q->http = h;
	q->headed = false;
	q->error[0] = '\0';
	q->easy = curl_easy_init();
	if (!q->easy || set_headers(q, token, body) < 0) {
		k8s_http_drop(q);
		return errf(e, -ENOMEM, "out of memory");
	}
	code = set_options(q, url, fresh);
	if (code == CURLE_OK && body)
		code = set_body(q->easy, body);
	if (code != CURLE_OK) {
		k8s_http_drop(q);
		return errf(e, -EINVAL, "%s: %s", h->config->server,
			    curl_easy_strerror(code));
	}
	if (curl_multi_add_handle(h->multi, q->easy) != CURLM_OK) {
		k8s_http_drop(q);
		return errf(e, -ENOMEM, "out of memory");
	}
	return 0;
}

int k8s_http_get(struct k8s_http *h, struct k8s_http_request *q,
		 const char *target, bool fresh, struct errbuf *e)
{
	return start(h, q, target, fresh, NULL, e);
}

int k8s_http_send(struct k8s_http *h, struct k8s_http_request *q,
		  const char *target, const struct k8s_http_body *body,
		  struct errbuf *e)
{
	return start(h, q, target, false, body, e);
}
