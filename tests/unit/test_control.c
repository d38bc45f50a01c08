// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/observe/control.h"

#define DEADLINE_MS 20000
#define NOBODY	    65534

struct fixture {
	char dir[64], path[96];
	struct loop *loop;
	struct control *control;
	struct observed_control counters;
	struct control_options options;
};

/* "big": a megabyte; "no": an error; else the line itself. */
static int echo(const char *line, uint64_t now_ms, uint64_t realtime_ms,
		struct text *out, struct errbuf *e, void *data)
{
	(void)now_ms;
	(void)realtime_ms;
	(void)data;
	if (strcmp(line, "no") == 0)
		return errf(e, -ENOENT, "no such thing");
	if (strcmp(line, "big") == 0)
		text_addf(out, "%*s", 1 << 20, "end");
	else
		text_addf(out, "%s!", line);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct errbuf e;

	strcpy(f->dir, "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
	assert_int_equal(loop_new(&f->loop), 0);
	f->options = (struct control_options){
		.path = f->path,
		.group = (gid_t)-1,
		.fn = echo,
		.counters = &f->counters,
	};
	assert_int_equal(control_open(f->loop, &f->options, &f->control, &e),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->control)
		control_free(f->control);
	loop_free(f->loop);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* What control_request() gives in a process of its own, as user @uid, while
 * the daemon's loop turns here. */
static int ask_as(struct fixture *f, uid_t uid, const char *request,
		  struct text *ret_out)
{
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	int fds[2], status = -1;
	char buf[4096];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct text out = {0};
		struct errbuf e = {0};
		int r;

		if (uid != 0 && (setgid(uid) < 0 || setuid(uid) < 0))
			_exit(255);
		r = control_request(f->path, request, &out, &e);
		fcntl(fds[1], F_SETFL, 0);
		dprintf(fds[1], "%s", r < 0 ? e.text : out.data);
		_exit(-r);
	}
	close(fds[1]);
	do {
		loop_turn(f->loop, 5);
		while ((n = read(fds[0], buf, sizeof(buf) - 1)) > 0) {
			buf[n] = '\0';
			text_add(ret_out, buf);
		}
	} while ((n < 0 || waitpid(pid, &status, WNOHANG) == 0) &&
		 clock_now_ms() < deadline);
	close(fds[0]);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void a_line_gets_its_answer(void **state)
{
	struct fixture *f = *state;
	struct text t = {0};

	assert_int_equal(ask_as(f, 0, "hello", &t), 0);
	assert_string_equal(t.data, "hello!");
	assert_int_equal(f->counters.requests_n, 1);
	text_free(&t);
}

static void an_error_comes_with_its_sentence(void **state)
{
	struct text t = {0};

	assert_int_equal(ask_as(*state, 0, "no", &t), -ENOENT);
	assert_string_equal(t.data, "no such thing");
	text_free(&t);
}

static void an_answer_larger_than_a_socket_arrives_whole(void **state)
{
	struct text t = {0};

	assert_int_equal(ask_as(*state, 0, "big", &t), 0);
	assert_int_equal(t.len, 1 << 20);
	text_free(&t);
}

static void the_socket_is_for_its_owner_and_group(void **state)
{
	struct fixture *f = *state;
	struct text t = {0};
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	if (getuid() != 0)
		skip();
	assert_int_equal(ask_as(f, NOBODY, "hello", &t), -EACCES);
	assert_non_null(strstr(t.data, "no permission to use"));
	text_free(&t);
	/* The credentials hold where the mode does not. */
	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(ask_as(f, NOBODY, "hello", &t), -EACCES);
	assert_non_null(strstr(t.data, "only root and members"));
	assert_int_equal(f->counters.denied_n, 1);
	assert_int_equal(f->counters.requests_n, 0);
	text_free(&t);
}

static void a_member_of_the_group_may_ask(void **state)
{
	struct fixture *f = *state;
	struct text t = {0};
	struct errbuf e;

	if (getuid() != 0)
		skip();
	control_free(f->control);
	f->options.group = NOBODY;
	assert_int_equal(control_open(f->loop, &f->options, &f->control, &e),
			 0);
	assert_int_equal(ask_as(f, NOBODY, "hello", &t), 0);
	text_free(&t);
}

static void without_a_daemon_the_error_says_so(void **state)
{
	struct fixture *f = *state;
	struct text t = {0};
	struct errbuf e = {0};

	control_free(f->control);
	f->control = NULL;
	assert_int_equal(control_request(f->path, "x", &t, &e), -ECONNREFUSED);
	assert_non_null(strstr(e.text, "no nodesplice listens on "));
}

static int connected(const struct fixture *f)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(at.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Turn the loop until the daemon says something or closes. */
static ssize_t hear(const struct fixture *f, int fd, char *buf, size_t room)
{
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	ssize_t n = -1;

	while (n < 0 && clock_now_ms() < deadline) {
		loop_turn(f->loop, 5);
		n = recv(fd, buf, room - 1, MSG_DONTWAIT);
	}
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

static void a_line_may_come_in_pieces(void **state)
{
	struct fixture *f = *state;
	int fd = connected(f);
	char buf[64];

	assert_int_equal(send(fd, "a", 1, 0), 1);
	loop_turn(f->loop, 0);
	loop_turn(f->loop, 0);
	assert_int_equal(send(fd, "b\nc\n", 4, 0), 4);
	hear(f, fd, buf, sizeof(buf));
	assert_string_equal(buf, "0 3\nab!");
	close(fd);
}

static void a_line_without_end_and_a_nul_are_refused(void **state)
{
	struct fixture *f = *state;
	char buf[64], line[LIMIT_CONTROL_LINE_BYTES];
	int fd = connected(f);

	memset(line, 'a', sizeof(line));
	assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
	hear(f, fd, buf, sizeof(buf));
	assert_string_equal(buf, "90 23\nthe request is too long");
	assert_int_equal(f->counters.too_long_n, 1);
	close(fd);
	fd = connected(f);
	assert_int_equal(send(fd, "a\0b\n", 4, 0), 4);
	hear(f, fd, buf, sizeof(buf));
	assert_string_equal(buf, "22 23\nthe request holds a NUL");
	assert_int_equal(f->counters.requests_n, 0);
	close(fd);
}

static void silent_clients_above_the_limit_are_turned_away(void **state)
{
	struct fixture *f = *state;
	int fds[LIMIT_CONTROL_CLIENTS + 1];
	char buf[64];

	for (size_t i = 0; i <= LIMIT_CONTROL_CLIENTS; i++) {
		fds[i] = connected(f);
		loop_turn(f->loop, DEADLINE_MS);
	}
	hear(f, fds[LIMIT_CONTROL_CLIENTS], buf, sizeof(buf));
	assert_string_equal(buf, "16 24\ntoo many clients at once");
	assert_int_equal(f->counters.busy_n, 1);
	/* One that leaves makes room. */
	close(fds[0]);
	loop_turn(f->loop, DEADLINE_MS);
	close(fds[LIMIT_CONTROL_CLIENTS]);
	fds[0] = connected(f);
	assert_int_equal(send(fds[0], "x\n", 2, 0), 2);
	hear(f, fds[0], buf, sizeof(buf));
	assert_string_equal(buf, "0 2\nx!");
	for (size_t i = 0; i < LIMIT_CONTROL_CLIENTS; i++)
		close(fds[i]);
}

static void a_client_that_does_not_read_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	struct text t = {0};
	int fd = connected(f);

	assert_int_equal(send(fd, "big\n", 4, 0), 4);
	assert_int_equal(ask_as(f, 0, "hello", &t), 0);
	assert_string_equal(t.data, "hello!");
	text_free(&t);
	close(fd);
}

static void a_slow_client_is_cut_off_and_counted(void **state)
{
	struct fixture *f = *state;
	struct errbuf e;
	char buf[64];
	int fd;

	control_free(f->control);
	f->options.client_ms = 20;
	assert_int_equal(control_open(f->loop, &f->options, &f->control, &e),
			 0);
	fd = connected(f);
	assert_int_equal(send(fd, "a", 1, 0), 1);
	assert_int_equal(hear(f, fd, buf, sizeof(buf)), 0);
	assert_int_equal(f->counters.timeouts_n, 1);
	assert_int_equal(f->counters.requests_n, 0);
	close(fd);
}

static void a_client_in_time_is_spared(void **state)
{
	struct fixture *f = *state;
	const uint64_t until = clock_now_ms() + 60;
	char buf[64];
	int fd = connected(f);

	/* Three times what cuts the slow one off above. */
	while (clock_now_ms() < until)
		loop_turn(f->loop, 5);
	assert_int_equal(send(fd, "a\n", 2, 0), 2);
	hear(f, fd, buf, sizeof(buf));
	assert_string_equal(buf, "0 2\na!");
	assert_int_equal(f->counters.timeouts_n, 0);
	close(fd);
}

static void a_living_daemons_socket_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct control *other = NULL;
	struct errbuf e = {0};

	assert_int_equal(control_open(f->loop, &f->options, &other, &e),
			 -EADDRINUSE);
	assert_non_null(strstr(e.text, "another process listens on "));
	assert_null(other);
}

static void a_dead_daemons_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct text t = {0};
	struct errbuf e;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	control_free(f->control);
	f->control = NULL;
	strcpy(at.sun_path, f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	assert_int_equal(control_open(f->loop, &f->options, &f->control, &e),
			 0);
	assert_int_equal(ask_as(f, 0, "hello", &t), 0);
	text_free(&t);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct errbuf e = {0};
	struct stat st;

	control_free(f->control);
	f->control = NULL;
	close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(control_open(f->loop, &f->options, &f->control, &e),
			 -EEXIST);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void a_successors_socket_survives_our_end(void **state)
{
	struct fixture *f = *state;
	struct control *successor;
	struct errbuf e;
	struct stat st;

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(control_open(f->loop, &f->options, &successor, &e), 0);
	control_free(f->control);
	assert_int_equal(stat(f->path, &st), 0);
	f->control = successor;
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_line_gets_its_answer),
		CLAIM(an_error_comes_with_its_sentence),
		CLAIM(an_answer_larger_than_a_socket_arrives_whole),
		CLAIM(the_socket_is_for_its_owner_and_group),
		CLAIM(a_member_of_the_group_may_ask),
		CLAIM(without_a_daemon_the_error_says_so),
		CLAIM(a_line_may_come_in_pieces),
		CLAIM(a_line_without_end_and_a_nul_are_refused),
		CLAIM(silent_clients_above_the_limit_are_turned_away),
		CLAIM(a_client_that_does_not_read_blocks_nobody),
		CLAIM(a_slow_client_is_cut_off_and_counted),
		CLAIM(a_client_in_time_is_spared),
		CLAIM(a_living_daemons_socket_is_not_taken),
		CLAIM(a_dead_daemons_socket_is_replaced),
		CLAIM(a_file_that_is_no_socket_is_left_alone),
		CLAIM(a_successors_socket_survives_our_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
