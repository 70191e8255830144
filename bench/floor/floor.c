/*
 * floor: the least that a WebSocket broadcast can cost on this machine.
 *
 * Plain epoll and send(2), no rooms with history, no verification, no limits
 * beyond those that keep it standing. A server is measured against it over the
 * same number of sockets and the same frame sizes, in the same minutes.
 *
 *      main thread                        worker threads (1, or more for push)
 *   listener ── accept, add fd ────────► own epoll: head, frames, leaving
 *   stdin    ── "push …" ── eventfd ───► pass: send() to each member, nothing else
 *   stdout   ◄── counters ◄── eventfd ── last worker is done
 *
 *   floor MODE PORT THREADS [CPU …]      prints "ready port=N", ends when stdin does
 *     push    frames are written when told to: "push SIZE PERIOD_US COUNT" writes
 *             COUNT rounds, PERIOD_US apart, of one frame of SIZE bytes in all
 *     relay   a text frame of a member goes at once to all members of its room
 *     "stats" prints the counters in both modes
 *
 * An fd belongs to the worker whose epoll holds it: that thread alone reads,
 * writes and closes it, so there is no lock anywhere.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS      = 256,       /* taken from epoll at once */
	HEAD_MAX    = 8192,      /* bytes of an HTTP head */
	FRAME_MAX   = 65536,     /* bytes of an inbound frame, header included */
	BUFFER      = FRAME_MAX + 65536,
	ROOM_NAME   = 64,
	ROOM_SLOTS  = 1 << 17,   /* of the hash table */
	ROOM_MAX    = 1 << 16,
	WORKERS_MAX = 64,
	PUSH_MIN    = 64,        /* least and most bytes of a pushed frame */
	PUSH_MAX    = 16 << 20,
	BATCH_MIN   = 192,       /* from here on a pushed frame looks like a batch */
};

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Counters have one writer and are read by the main thread. */
#define COUNT(x, n) __atomic_store_n(&(x), (x) + (n), __ATOMIC_RELAXED)
#define READ(x)     __atomic_load_n(&(x), __ATOMIC_RELAXED)

struct counters {
	long joined, received, frames, bytes, eagain, shorts, skipped, failed, pending;
};

struct conn {
	int   room, place;       /* where it stands in its room; room -1 = not upgraded */
	int   carried;           /* bytes of an incomplete head or frame */
	int   rest_len, rest_off;
	char *carry;
	char *rest;              /* what a short send left over; NULL almost always */
};

struct room {
	char name[ROOM_NAME + 1];
	int *members;            /* fds, dense */
	int  n, cap;
};

struct worker {
	pthread_t       thread;
	int             epoll, wake, cpu;
	uint32_t        seq;     /* of the last pushed frame */
	struct counters count;
	struct room    *rooms;
	int             n_rooms, rooms_cap;
	int            *slots;   /* hash table of room index + 1 (relay) */
	char           *buffer;  /* BUFFER bytes: one receive at a time */
	char           *frame;   /* PUSH_MAX bytes, touched only as far as used */
};

struct order {                   /* of a push; written before the workers are woken */
	long     size, period_ns, rounds;
	int64_t  start_ns;
	uint32_t seq;            /* of the frame before the first one */
};

static int            relay;     /* mode */
static struct conn   *conns;     /* by fd */
static long           conns_max;
static long           open_now;  /* accepted and not closed; many writers */
static struct worker  workers[WORKERS_MAX];
static int            n_workers;
static struct order   order;
static int            working;   /* workers that have not finished the order */
static int            done_fd;   /* eventfd: the last one has */

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *need(void *p)
{
	if (!p) {
		errno = ENOMEM;
		die("memory");
	}
	return p;
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- frames ---------------------------------------------------------------- */

/* Bytes of an unmasked header in front of n bytes (RFC 6455 section 5.2). */
static int header_size(size_t n)
{
	return n <= 125 ? 2 : n <= 65535 ? 4 : 10;
}

static void put_header(char *p, size_t n)
{
	p[0] = (char)0x81; /* text, final */
	if (n <= 125) {
		p[1] = (char)n;
	} else if (n <= 65535) {
		p[1] = 126;
		p[2] = (char)(n >> 8);
		p[3] = (char)n;
	} else {
		p[1] = 127;
		for (int i = 0; i < 8; i++)
			p[2 + i] = (char)((uint64_t)n >> (56 - 8 * i));
	}
}

/* The header size with which a whole frame has exactly total bytes; 0 if none
 * has: 127 bytes are 125 in a short frame, 130 are 126 in a longer one. */
static int header_for(long total)
{
	static const int sizes[] = {2, 4, 10};
	for (int i = 0; i < 3; i++)
		if (total > sizes[i] && header_size(total - sizes[i]) == sizes[i])
			return sizes[i];
	return 0;
}

/* Builds a JSON object of exactly the wanted size: a batch of one long comment
 * where there is room for that, else the number and padding. */
static void build_frame(char *frame, long total, uint32_t seq)
{
	char    front[160], back[64];
	int     h = header_for(total), f, b;
	int64_t ms = clock_ns(CLOCK_REALTIME) / 1000000;

	if (total >= BATCH_MIN) {
		f = snprintf(front, sizeof front,
			     "{\"type\":\"batch\",\"room\":\"floor\",\"seq\":%u,\"ts\":%lld,"
			     "\"comments\":[{\"id\":\"f\",\"uid\":\"f\",\"text\":\"",
			     seq, (long long)ms);
		b = snprintf(back, sizeof back, "\",\"ts\":%lld}]}", (long long)ms);
	} else {
		f = snprintf(front, sizeof front, "{\"type\":\"batch\",\"seq\":%u,\"pad\":\"", seq);
		b = snprintf(back, sizeof back, "\"}");
	}
	put_header(frame, total - h);
	memcpy(frame + h, front, f);
	memset(frame + h + f, 'x', total - h - f - b);
	memcpy(frame + total - b, back, b);
}

static void unmask(char *p, size_t n, const char *mask)
{
	uint32_t k;
	uint64_t key, v;
	size_t   i = 0;

	memcpy(&k, mask, 4);
	key = (uint64_t)k << 32 | k;
	for (; i + 8 <= n; i += 8) {
		memcpy(&v, p + i, 8);
		v ^= key;
		memcpy(p + i, &v, 8);
	}
	for (; i < n; i++)
		p[i] ^= mask[i & 3];
}

/* ---- sending ---------------------------------------------------------------- */

/* A send that did not take everything: the rare path of deliver. Returns
 * whether the frame was begun. */
static int not_whole(struct worker *w, int fd, const char *p, size_t len, ssize_t sent)
{
	struct conn *c = &conns[fd];

	if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		COUNT(w->count.eagain, 1);
		COUNT(w->count.skipped, 1);
		return 0;
	}
	if (sent < 0) {
		COUNT(w->count.failed, 1);
		shutdown(fd, SHUT_RDWR); /* its event will close it */
		return 0;
	}
	COUNT(w->count.shorts, 1);
	COUNT(w->count.bytes, sent);
	COUNT(w->count.pending, 1);
	c->rest_len = len - sent;
	c->rest_off = 0;
	c->rest = need(malloc(c->rest_len));
	memcpy(c->rest, p + sent, c->rest_len);
	return 1;
}

/* The whole point: the same bytes to everybody, one system call each. A
 * connection that is in the middle of a frame is passed over, so no frame is
 * ever torn. */
static void deliver(struct worker *w, const int *fds, int n, const char *p, size_t len)
{
	long whole = 0, begun = 0;

	for (int i = 0; i < n; i++) {
		int fd = fds[i];
		if (unlikely(w->count.pending) && conns[fd].rest) {
			COUNT(w->count.skipped, 1);
			continue;
		}
		ssize_t sent = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (likely(sent == (ssize_t)len))
			whole++;
		else
			begun += not_whole(w, fd, p, len, sent);
	}
	COUNT(w->count.frames, whole + begun);
	COUNT(w->count.bytes, whole * (long)len);
}

/* There is room again: go on with the frame that a short send left. */
static void send_rest(struct worker *w, int fd)
{
	struct conn *c = &conns[fd];
	ssize_t sent = send(fd, c->rest + c->rest_off, c->rest_len - c->rest_off, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		return; /* full again, or broken: either brings another event */
	COUNT(w->count.bytes, sent);
	c->rest_off += sent;
	if (c->rest_off == c->rest_len) {
		free(c->rest);
		c->rest = NULL;
		COUNT(w->count.pending, -1);
	}
}

/* ---- rooms ------------------------------------------------------------------ */

static int add_room(struct worker *w, const char *name, size_t len)
{
	struct room *r;

	if (w->n_rooms == ROOM_MAX)
		return -1;
	if (w->n_rooms == w->rooms_cap) {
		w->rooms_cap = w->rooms_cap ? 2 * w->rooms_cap : 64;
		w->rooms = need(realloc(w->rooms, w->rooms_cap * sizeof *w->rooms));
	}
	r = &w->rooms[w->n_rooms];
	memset(r, 0, sizeof *r);
	memcpy(r->name, name, len);
	return w->n_rooms++;
}

static int find_room(struct worker *w, const char *name, size_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	for (uint32_t i = h;; i++) {
		int *slot = &w->slots[i % ROOM_SLOTS];
		if (!*slot) {
			int r = add_room(w, name, len);
			*slot = r + 1; /* stays 0 when there is no room for a room */
			return r;
		}
		struct room *r = &w->rooms[*slot - 1];
		if (strlen(r->name) == len && !memcmp(r->name, name, len))
			return *slot - 1;
	}
}

static void enter(struct worker *w, int fd, int room)
{
	struct room *r = &w->rooms[room];

	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 8;
		r->members = need(realloc(r->members, r->cap * sizeof *r->members));
	}
	conns[fd].room = room;
	conns[fd].place = r->n;
	r->members[r->n++] = fd;
	COUNT(w->count.joined, 1);
}

static void leave(struct worker *w, int fd)
{
	struct room *r = &w->rooms[conns[fd].room];
	int last = r->members[--r->n];

	r->members[conns[fd].place] = last;
	conns[last].place = conns[fd].place;
	COUNT(w->count.joined, -1);
}

/* ---- one connection ----------------------------------------------------------- */

static void drop(struct worker *w, int fd)
{
	struct conn *c = &conns[fd];

	if (c->room >= 0)
		leave(w, fd);
	if (c->rest)
		COUNT(w->count.pending, -1);
	free(c->rest);
	free(c->carry);
	memset(c, 0, sizeof *c);
	c->room = -1;
	__atomic_fetch_sub(&open_now, 1, __ATOMIC_RELAXED);
	close(fd); /* last: from here on the number may be given out again */
}

/* The answer is canned: the accept key is the one of the sample key in RFC 6455
 * section 1.3, so a caller that checks it uses that key. */
static const char accepted[] =
	"HTTP/1.1 101 Switching Protocols\r\n"
	"Upgrade: websocket\r\n"
	"Connection: Upgrade\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	"\r\n";
static const char refused[] =
	"HTTP/1.1 404 Not Found\r\n"
	"Connection: close\r\n"
	"Content-Length: 0\r\n"
	"\r\n";

/* Takes a whole head that begins at p. Returns 0, or -1 to drop the connection. */
static int join(struct worker *w, int fd, const char *p, size_t len)
{
	static const char begin[] = "GET /ws/";
	const size_t      b = sizeof begin - 1;
	char              reply[512], welcome[256];
	size_t            n = 0, r = sizeof accepted - 1;
	int               room, k;

	if (len > b && !memcmp(p, begin, b))
		while (b + n < len && !strchr(" ?\r\n", p[b + n]))
			n++;
	room = n < 1 || n > ROOM_NAME ? -1 : relay ? find_room(w, p + b, n) : 0;
	if (room < 0) {
		send(fd, refused, sizeof refused - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return -1;
	}
	enter(w, fd, room);
	k = snprintf(welcome, sizeof welcome,
		     "{\"type\":\"welcome\",\"room\":\"%.*s\",\"epoch\":\"floor\",\"seq\":%u,"
		     "\"tick_ms\":100,\"online\":%d,\"uid\":\"u%d\",\"history\":[]}",
		     (int)n, p + b, w->seq, w->rooms[room].n, fd);
	memcpy(reply, accepted, r);
	put_header(reply + r, k);
	r += header_size(k);
	memcpy(reply + r, welcome, k);
	r += k;
	return send(fd, reply, r, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)r ? 0 : -1;
}

/* Relays each whole frame that begins at p. Returns the bytes used, or -1 to
 * drop the connection. The new header fits in front of the payload, where the
 * masked one was: it is four bytes shorter. */
static long relay_frames(struct worker *w, int fd, char *p, long len)
{
	long used = 0;

	while (len - used >= 2) {
		unsigned char *f = (unsigned char *)p + used;
		long           n = f[1] & 127, head = 6;
		if (!(f[1] & 128) || n == 127)
			return -1; /* not masked, or far too long */
		if (n == 126) {
			head = 8;
			if (len - used < 4)
				break;
			n = f[2] << 8 | f[3];
		}
		if (head + n > FRAME_MAX)
			return -1;
		if (len - used < head + n)
			break;
		if (f[0] == 0x81) {
			char        *payload = (char *)f + head;
			int          h = header_size(n);
			struct room *r = &w->rooms[conns[fd].room];
			unmask(payload, n, payload - 4);
			put_header(payload - h, n);
			COUNT(w->count.received, 1);
			deliver(w, r->members, r->n, payload - h, h + n);
		}
		used += head + n;
	}
	return used;
}

/* Uses what it can of len bytes at p. Returns how many, or -1 to drop. */
static long digest(struct worker *w, int fd, char *p, long len)
{
	long head = 0, used;

	if (conns[fd].room < 0) {
		char *end = memmem(p, len, "\r\n\r\n", 4);
		if (!end)
			return len > HEAD_MAX ? -1 : 0;
		head = end + 4 - p;
		if (head > HEAD_MAX || join(w, fd, p, head) < 0)
			return -1;
	}
	if (!relay)
		return len; /* pushed to, never listened to */
	used = relay_frames(w, fd, p + head, len - head);
	return used < 0 ? -1 : head + used;
}

/* Keeps the bytes of an incomplete head or frame for the next receive. */
static void keep(struct conn *c, const char *p, long n)
{
	if (!n && !c->carry)
		return;
	free(c->carry);
	c->carry = NULL;
	c->carried = n;
	if (n) {
		c->carry = need(malloc(n));
		memcpy(c->carry, p, n);
	}
}

/* Edge triggered: receive until a read is not filled, and to the very end when
 * the event speaks of one. */
static void readable(struct worker *w, int fd, uint32_t events)
{
	int ending = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	for (;;) {
		struct conn *c = &conns[fd];
		long         have = c->carried, room = BUFFER - have, used;
		if (have)
			memcpy(w->buffer, c->carry, have);
		ssize_t n = recv(fd, w->buffer + have, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			drop(w, fd);
			return;
		}
		used = digest(w, fd, w->buffer, have + n);
		if (used < 0) {
			drop(w, fd);
			return;
		}
		keep(c, w->buffer + used, have + n - used);
		if (n < room && !ending)
			return;
	}
}

/* ---- workers ------------------------------------------------------------------ */

/* Waits up to timeout_ms for events and serves them. Returns whether the main
 * thread has given an order. */
static int serve(struct worker *w, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	int                ordered = 0, n = epoll_wait(w->epoll, ev, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		int      fd = ev[i].data.fd;
		uint32_t e = ev[i].events;
		if (fd == w->wake) {
			uint64_t x;
			ordered = read(fd, &x, sizeof x) == sizeof x;
			continue;
		}
		if ((e & EPOLLOUT) && conns[fd].rest)
			send_rest(w, fd);
		if (e & ~EPOLLOUT)
			readable(w, fd, e);
	}
	return ordered;
}

/* Serves until the moment has come, and at least once. */
static void serve_until(struct worker *w, int64_t due)
{
	int64_t left = due - clock_ns(CLOCK_MONOTONIC);

	do {
		serve(w, left > 1000000 ? left / 1000000 : 0);
		left = due - clock_ns(CLOCK_MONOTONIC);
		if (left > 0 && left < 1000000) { /* less than epoll_wait can count */
			struct timespec t = {due / 1000000000, due % 1000000000};
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
			left = 0;
		}
	} while (left > 0);
}

static void push(struct worker *w)
{
	struct order o = order;

	for (long i = 0; i < o.rounds; i++) {
		serve_until(w, o.start_ns + i * o.period_ns);
		w->seq = o.seq + 1 + i;
		build_frame(w->frame, o.size, w->seq);
		deliver(w, w->rooms[0].members, w->rooms[0].n, w->frame, o.size);
	}
	if (__atomic_sub_fetch(&working, 1, __ATOMIC_SEQ_CST) == 0) {
		uint64_t one = 1;
		if (write(done_fd, &one, sizeof one) < 0)
			die("eventfd");
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	if (w->cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(w->cpu, &set);
		if ((errno = pthread_setaffinity_np(pthread_self(), sizeof set, &set)))
			die("pinning to a CPU");
	}
	for (;;)
		if (serve(w, -1))
			push(w);
	return NULL;
}

static void watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

static void start_worker(int cpu)
{
	struct worker *w = &workers[n_workers++];

	w->cpu = cpu;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->epoll < 0 || w->wake < 0)
		die("epoll");
	watch(w->epoll, w->wake, EPOLLIN);
	w->buffer = need(malloc(BUFFER));
	if (relay) {
		w->slots = need(calloc(ROOM_SLOTS, sizeof *w->slots));
	} else {
		w->frame = need(malloc(PUSH_MAX));
		add_room(w, "", 0); /* all are pushed to alike */
	}
	if ((errno = pthread_create(&w->thread, NULL, work, w)))
		die("thread");
}

/* ---- main thread --------------------------------------------------------------- */

static void accept_all(int listener)
{
	static unsigned next;

	for (;;) {
		int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			usleep(10000); /* the listener stays readable: look again then */
		if (fd < 0)
			return;
		if (fd >= conns_max) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		conns[fd].room = -1;
		__atomic_fetch_add(&open_now, 1, __ATOMIC_RELAXED);
		/* Once and for all: with edge trigger, EPOLLOUT speaks up only after a
		 * send that found the socket full. */
		watch(workers[next++ % n_workers].epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	}
}

static struct counters sum(void)
{
	struct counters s = {0};

	for (int i = 0; i < n_workers; i++) {
		struct counters *c = &workers[i].count;
		s.joined += READ(c->joined);
		s.received += READ(c->received);
		s.frames += READ(c->frames);
		s.bytes += READ(c->bytes);
		s.eagain += READ(c->eagain);
		s.shorts += READ(c->shorts);
		s.skipped += READ(c->skipped);
		s.failed += READ(c->failed);
		s.pending += READ(c->pending);
	}
	return s;
}

/* One line of name=value: the counters since base, levels as they are. */
static void report(const char *word, struct counters base, long rounds, int64_t elapsed, int64_t cpu)
{
	struct counters s = sum();

	dprintf(1, "%s connections=%ld joined=%ld received=%ld frames=%ld bytes=%ld eagain=%ld"
		   " short=%ld skipped=%ld failed=%ld pending=%ld rounds=%ld elapsed_ns=%lld cpu_ns=%lld\n",
		word, READ(open_now), s.joined, s.received - base.received, s.frames - base.frames,
		s.bytes - base.bytes, s.eagain - base.eagain, s.shorts - base.shorts, s.skipped - base.skipped,
		s.failed - base.failed, s.pending, rounds, (long long)elapsed, (long long)cpu);
}

static struct counters push_base;
static int64_t         push_cpu;
static int             pushing;

static void start_push(long size, long period_us, long rounds)
{
	uint64_t one = 1;

	if (relay || pushing || rounds < 1 || period_us < 0) {
		dprintf(1, "error %s\n", relay ? "this floor relays" : pushing ? "a push is under way" : "nothing to push");
		return;
	}
	if (size < PUSH_MIN || size > PUSH_MAX || !header_for(size)) {
		dprintf(1, "error no frame of %ld bytes can be pushed\n", size);
		return;
	}
	pushing = 1;
	order.size = size;
	order.period_ns = period_us * 1000;
	order.rounds = rounds;
	order.start_ns = clock_ns(CLOCK_MONOTONIC);
	push_base = sum();
	push_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	__atomic_store_n(&working, n_workers, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n_workers; i++)
		if (write(workers[i].wake, &one, sizeof one) < 0)
			die("eventfd");
}

static void end_push(void)
{
	uint64_t x;
	int64_t  cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - push_cpu;

	if (read(done_fd, &x, sizeof x) < 0)
		return;
	pushing = 0;
	order.seq += order.rounds;
	report("pushed", push_base, order.rounds, clock_ns(CLOCK_MONOTONIC) - order.start_ns, cpu);
}

static void command(const char *line)
{
	static const struct counters zero;
	long size, period_us, rounds;

	if (sscanf(line, "push %ld %ld %ld", &size, &period_us, &rounds) == 3)
		start_push(size, period_us, rounds);
	else if (!strcmp(line, "stats"))
		report("stats", zero, 0, 0, clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	else
		dprintf(1, "error unknown command\n");
}

/* Reads what there is of stdin; its end is the end of the program, so that the
 * floor never outlives whoever started it. */
static void read_commands(void)
{
	static char line[256];
	static long len;
	ssize_t     n = read(0, line + len, sizeof line - 1 - len);
	char       *end;

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		exit(0);
	len += n;
	line[len] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		command(line);
		len -= end + 1 - line;
		memmove(line, end + 1, len + 1);
	}
	if (len == sizeof line - 1)
		exit(1);
}

static int listen_on(int port)
{
	int                one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t          len = sizeof a;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 65535) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("listen");
	dprintf(1, "ready port=%d\n", ntohs(a.sin_port));
	return fd;
}

static void make_columns(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("RLIMIT_NOFILE");
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	getrlimit(RLIMIT_NOFILE, &lim);
	conns_max = lim.rlim_cur > 1 << 20 ? 1 << 20 : (long)lim.rlim_cur;
	conns = need(calloc(conns_max, sizeof *conns));
}

int main(int argc, char **argv)
{
	struct epoll_event ev[8];
	int                threads, listener, epoll = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 4 || (strcmp(argv[1], "push") && strcmp(argv[1], "relay"))) {
		fprintf(stderr, "usage: floor push|relay PORT THREADS [CPU ...]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	relay = !strcmp(argv[1], "relay");
	threads = atoi(argv[3]);
	if (threads < 1 || threads > (relay ? 1 : WORKERS_MAX)) {
		fprintf(stderr, "floor: %d threads are not possible\n", threads);
		return 2;
	}
	make_columns();
	done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (done_fd < 0 || epoll < 0)
		die("epoll");
	for (int i = 0; i < threads; i++)
		start_worker(argc > 4 ? atoi(argv[4 + i % (argc - 4)]) : -1);
	watch(epoll, 0, EPOLLIN);
	watch(epoll, done_fd, EPOLLIN);
	listener = listen_on(atoi(argv[2]));
	watch(epoll, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll, ev, 8, -1);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == listener)
				accept_all(listener);
			else if (ev[i].data.fd == done_fd)
				end_push();
			else
				read_commands();
		}
	}
}
