/* siploadgen: a small, fast SIP-over-UDP load generator and sink for offline messages.
 *
 *   siploadgen store    --target H:P --count N [--window W | --rate R] [--users U] [--run TAG]
 *   siploadgen register --target H:P --users U --contact H:P [--window W]
 *   siploadgen sink     --users U --count N [--run TAG]
 *
 * store     sends MESSAGEs to u0000, u0001 … at DOMAIN in turn: W in flight (closed loop) or R a second (open loop).
 * register  registers those users with the contact H:P.
 * sink      answers 200 to MESSAGEs until SIGTERM; counts distinct messages, duplicates, order. On stderr it says
 *           "ready PORT" at the start and "complete" when each of the N messages has arrived.
 *
 * One thread, one socket, the C library only. The client side retransmits by timers E and F (RFC 3261 §17.1.2.2). Message N
 * of run TAG begins with "id=TAG.N;", by which the sink knows it. The result is one JSON line on stdout; times are
 * CLOCK_MONOTONIC, which all processes share.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DOMAIN "bench.test"
#define T1 0.5 /* RFC 3261 §17.1.1.1 */
#define T2 4.0
#define TIMER_F (64 * T1)
#define SOCKET_BUFFER (4 << 20) /* as large as the servers', so that the generator is not the one that drops */
#define DATAGRAM 65536
#define BODY_SIZE 100

static const char *option_target = "127.0.0.1:5060", *option_contact = "127.0.0.1:5080", *option_run = "r";
static long option_count = 1000, option_users = 1000, option_window = 64;
static double option_rate = 0;

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *allocate(long n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);
    if (!p) die("calloc");
    return p;
}

static struct sockaddr_in address(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    int port;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "bad address %s\n", text);
        exit(2);
    }
    a.sin_port = htons(port);
    return a;
}

/* A socket on a free loopback port; *me is its address. */
static int open_socket(struct sockaddr_in *me)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = SOCKET_BUFFER;
    socklen_t length = sizeof *me;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    *me = address("127.0.0.1:0");
    if (bind(fd, (void *)me, sizeof *me) || getsockname(fd, (void *)me, &length)) die("bind");
    return fd;
}

/* False when the socket's buffer is full. A port that is not open yet (or any more) is what retransmission is for. */
static int send_datagram(int fd, const char *data, size_t length, const struct sockaddr_in *to)
{
    if (sendto(fd, data, length, 0, (const void *)to, sizeof *to) >= 0 || errno == ECONNREFUSED) return 1;
    if (errno != EAGAIN && errno != ENOBUFS) die("sendto");
    return 0;
}

/* ------------------------------------------------------------------ client: store and register */

typedef struct {
    double sent, next, interval, latency;
    int status; /* final status; 0 = none yet, -1 = timer F */
} Transaction;

typedef struct {
    int fd, is_register, port;
    struct sockaddr_in target;
    uint32_t salt; /* makes branches, tags and Call-IDs of this process unique */
    Transaction *transactions;
    long total, sent, finished, accepted, timeouts, retransmissions, first_pending;
    double started, last;
} Client;

static size_t build_request(const Client *c, long i, char *out)
{
    const char *method = c->is_register ? "REGISTER" : "MESSAGE";
    char user[32], request_user[40] = "", body[BODY_SIZE + 64];
    snprintf(user, sizeof user, "u%04ld", i % option_users);
    if (!c->is_register) snprintf(request_user, sizeof request_user, "%s@", user);
    int n = sprintf(out,
                    "%s sip:%s" DOMAIN " SIP/2.0\r\n"
                    "Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%08x.%ld;rport\r\n"
                    "Max-Forwards: 70\r\n"
                    "From: <sip:%s@" DOMAIN ">;tag=%08x.%ld\r\n"
                    "To: <sip:%s@" DOMAIN ">\r\n"
                    "Call-ID: %08x.%ld@127.0.0.1\r\n"
                    "CSeq: 1 %s\r\n",
                    method, request_user, c->port, c->salt, i, c->is_register ? user : "alice", c->salt, i, user, c->salt, i,
                    method);
    if (c->is_register)
        return n + sprintf(out + n, "Contact: <sip:%s@%s>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", user,
                           option_contact);
    int length = snprintf(body, sizeof body, "id=%.32s.%ld;", option_run, i);
    if (length < BODY_SIZE) {
        memset(body + length, 'x', BODY_SIZE - length);
        length = BODY_SIZE;
    }
    return n + sprintf(out + n, "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%.*s", length, length, body);
}

static void send_new(Client *c)
{
    char request[DATAGRAM];
    while (c->sent < c->total) {
        double t = now();
        if (option_rate > 0 ? c->started + c->sent / option_rate > t : c->sent - c->finished >= option_window) return;
        if (!send_datagram(c->fd, request, build_request(c, c->sent, request), &c->target)) return;
        c->transactions[c->sent++] = (Transaction){.sent = t, .next = t + T1, .interval = T1};
    }
}

static void finish(Client *c, Transaction *t, int status, double at)
{
    t->status = status;
    t->latency = at - t->sent;
    c->finished++;
}

static void receive_responses(Client *c)
{
    static char data[DATAGRAM];
    ssize_t length;
    while ((length = recv(c->fd, data, sizeof data - 1, 0)) >= 0) {
        uint32_t salt;
        long i;
        data[length] = 0;
        char *branch = strstr(data, "branch=z9hG4bK");
        if (strncmp(data, "SIP/2.0 ", 8) || !branch) continue;
        int status = atoi(data + 8);
        if (sscanf(branch + 14, "%8x.%ld", &salt, &i) != 2 || salt != c->salt || i < 0 || i >= c->sent) continue;
        if (status < 200 || c->transactions[i].status) continue;
        c->last = now();
        finish(c, &c->transactions[i], status, c->last);
        c->accepted += status < 300;
    }
}

static void run_timers(Client *c)
{
    char request[DATAGRAM];
    double t = now();
    while (c->first_pending < c->sent && c->transactions[c->first_pending].status) c->first_pending++;
    for (long i = c->first_pending; i < c->sent; i++) {
        Transaction *x = &c->transactions[i];
        if (x->status) continue;
        if (t - x->sent > TIMER_F) {
            finish(c, x, -1, t);
            c->timeouts++;
        } else if (t >= x->next && send_datagram(c->fd, request, build_request(c, i, request), &c->target)) {
            c->retransmissions++;
            x->interval = fmin(2 * x->interval, T2);
            x->next = t + x->interval;
        }
    }
}

static void wait_readable(int fd, double seconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};
    ppoll(&p, 1, &t, NULL);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_client(const Client *c)
{
    double *latency = allocate(c->sent, sizeof *latency);
    long n = 0;
    for (long i = 0; i < c->sent; i++)
        if (c->transactions[i].status >= 200 && c->transactions[i].status < 300) latency[n++] = c->transactions[i].latency * 1e3;
    qsort(latency, n, sizeof *latency, compare_doubles);
    printf("{\"accepted\":%ld,\"refused\":%ld,\"timeouts\":%ld,\"retransmissions\":%ld,\"started\":%.6f,\"elapsed\":%.6f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
           c->accepted, c->finished - c->accepted - c->timeouts, c->timeouts, c->retransmissions, c->started,
           c->last - c->started, n ? latency[(n - 1) / 2] : 0, n ? latency[(n - 1) * 99 / 100] : 0, n ? latency[n - 1] : 0);
    free(latency);
}

static int client(int is_register)
{
    struct sockaddr_in me;
    Client c = {.is_register = is_register, .target = address(option_target), .salt = (uint32_t)getpid() << 12};
    c.fd = open_socket(&me);
    c.port = ntohs(me.sin_port);
    c.total = is_register ? option_users : option_count;
    c.transactions = allocate(c.total, sizeof *c.transactions);
    c.started = c.last = now();
    c.salt ^= (uint32_t)(c.started * 1e3);
    double scan = c.started;
    while (c.finished < c.total && !stopped) {
        send_new(&c);
        double t = now(), wait = scan - t;
        if (option_rate > 0 && c.sent < c.total) wait = fmin(wait, c.started + c.sent / option_rate - t);
        wait_readable(c.fd, fmax(wait, 0));
        receive_responses(&c);
        if (now() >= scan) {
            run_timers(&c);
            scan = now() + 0.02;
        }
    }
    print_client(&c);
    free(c.transactions);
    close(c.fd);
    return c.accepted == c.total ? 0 : 1;
}

/* ------------------------------------------------------------------ sink */

typedef struct {
    int fd;
    uint64_t *branch;    /* per message: hash of the branch of its latest transaction, 0 = not arrived yet */
    long *latest;        /* per user: number of the latest first arrival, for the order */
    long requests, distinct, retransmissions, duplicates, inversions, strangers;
    double first, last;
} Sink;

typedef struct {
    const char *value;
    size_t length;
} Field;

/* First header of that name (long form) in the head that ends before `end`; value NULL when there is none. */
static Field find_header(const char *head, const char *end, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = head; (p = memchr(p, '\n', end - p)) && ++p < end;)
        if ((size_t)(end - p) > n && !strncasecmp(p, name, n) && p[n] == ':') {
            const char *value = p + n + 1, *stop = memchr(p, '\r', end - p);
            while (*value == ' ') value++;
            if (stop) return (Field){value, stop - value};
        }
    return (Field){NULL, 0};
}

static uint64_t hash_branch(Field via)
{
    uint64_t h = 1469598103934665603ull; /* FNV-1a */
    const char *end = via.value + via.length, *p = memmem(via.value, via.length, "branch=", 7);
    for (p = p ? p + 7 : via.value; p < end && *p != ';' && *p != ',' && *p != ' '; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211ull;
    return h ? h : 1;
}

/* The number in "id=TAG.N;" when TAG is our run, else -1. */
static long message_number(const char *body)
{
    const char *id = strstr(body, "id=");
    size_t n = strlen(option_run);
    if (!id || strncmp(id + 3, option_run, n) || id[3 + n] != '.') return -1;
    long number = atol(id + 4 + n);
    return number >= 0 && number < option_count ? number : -1;
}

static void count_message(Sink *s, Field via, const char *body)
{
    long i = message_number(body);
    uint64_t branch = hash_branch(via);
    s->requests++;
    if (i < 0) {
        s->strangers++;
    } else if (s->branch[i] == branch) {
        s->retransmissions++;
    } else if (s->branch[i]) {
        s->branch[i] = branch;
        s->duplicates++;
    } else {
        s->branch[i] = branch;
        s->last = now();
        if (!s->distinct++) s->first = s->last;
        long *latest = &s->latest[i % option_users];
        s->inversions += i < *latest;
        *latest = i;
        if (s->distinct == option_count) fprintf(stderr, "complete\n");
    }
}

static char *append(char *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    out += vsprintf(out, format, arguments);
    va_end(arguments);
    return out;
}

/* A 200 with the Vias, From, To (and tag), Call-ID and CSeq of the request (RFC 3261 §8.2.6). */
static void answer(Sink *s, const char *head, const char *end, Field from_to_id_cseq[4], const struct sockaddr_in *peer)
{
    static char response[2 * DATAGRAM];
    Field from = from_to_id_cseq[0], to = from_to_id_cseq[1], id = from_to_id_cseq[2], cseq = from_to_id_cseq[3];
    char *out = append(response, "SIP/2.0 200 OK\r\n");
    for (const char *p = head; (p = memchr(p, '\n', end - p)) && ++p < end;)
        if (!strncasecmp(p, "Via:", 4)) out = append(out, "%.*s\n", (int)((char *)memchr(p, '\n', end - p) - p), p);
    out = append(out, "From: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\nContent-Length: 0\r\n\r\n", (int)from.length,
                 from.value, (int)to.length, to.value, memmem(to.value, to.length, ";tag=", 5) ? "" : ";tag=sink",
                 (int)id.length, id.value, (int)cseq.length, cseq.value);
    send_datagram(s->fd, response, out - response, peer);
}

static void handle_datagram(Sink *s, const char *data, const struct sockaddr_in *peer)
{
    const char *blank = strstr(data, "\r\n\r\n");
    if (strncmp(data, "MESSAGE ", 8) || !blank) return;
    const char *end = blank + 2;
    Field via = find_header(data, end, "Via");
    Field copied[4] = {find_header(data, end, "From"), find_header(data, end, "To"), find_header(data, end, "Call-ID"),
                       find_header(data, end, "CSeq")};
    for (int i = 0; i < 4; i++)
        if (!copied[i].value || !via.value) return;
    count_message(s, via, blank + 4);
    answer(s, data, end, copied, peer);
}

static int sink(void)
{
    static char data[DATAGRAM];
    struct sockaddr_in me, peer;
    Sink s = {.fd = open_socket(&me)};
    s.branch = allocate(option_count, sizeof *s.branch);
    s.latest = allocate(option_users, sizeof *s.latest);
    fprintf(stderr, "ready %d\n", ntohs(me.sin_port));
    while (!stopped) {
        ssize_t length;
        socklen_t size = sizeof peer;
        wait_readable(s.fd, 0.1);
        while ((length = recvfrom(s.fd, data, sizeof data - 1, 0, (void *)&peer, &size)) >= 0) {
            data[length] = 0;
            handle_datagram(&s, data, &peer);
            size = sizeof peer;
        }
    }
    printf("{\"requests\":%ld,\"distinct\":%ld,\"retransmissions\":%ld,\"duplicates\":%ld,\"inversions\":%ld,"
           "\"strangers\":%ld,\"first\":%.6f,\"last\":%.6f}\n",
           s.requests, s.distinct, s.retransmissions, s.duplicates, s.inversions, s.strangers, s.first, s.last);
    free(s.branch);
    free(s.latest);
    close(s.fd);
    return 0;
}

/* ------------------------------------------------------------------ command line */

static void read_options(int count, char **words)
{
    for (int i = 0; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        if (!strcmp(name, "--target")) option_target = value;
        else if (!strcmp(name, "--contact")) option_contact = value;
        else if (!strcmp(name, "--run")) option_run = value;
        else if (!strcmp(name, "--count")) option_count = atol(value);
        else if (!strcmp(name, "--users")) option_users = atol(value);
        else if (!strcmp(name, "--window")) option_window = atol(value);
        else if (!strcmp(name, "--rate")) option_rate = atof(value);
        else {
            fprintf(stderr, "unknown option %s\n", name);
            exit(2);
        }
    }
}

int main(int count, char **words)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (count > 1) {
        read_options(count - 2, words + 2);
        if (!strcmp(words[1], "store")) return client(0);
        if (!strcmp(words[1], "register")) return client(1);
        if (!strcmp(words[1], "sink")) return sink();
    }
    fprintf(stderr, "usage: siploadgen store|register|sink [--option value]...\n");
    return 2;
}
