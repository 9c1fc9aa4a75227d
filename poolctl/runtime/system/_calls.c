/* System calls for descriptors that do not block, and the counts of a request, as calls.py describes them. Part of the
compiled form.

Each does what its namesake in Python does, but keeps the interpreter's lock (GIL): none of them waits, and giving the
lock up for a call that takes a microsecond makes every other thread of the process compete for it. Only a large write
gives it up, since the kernel copies the bytes. Errors are those of Python: OSError and its subclasses, by errno. A call
that a signal interrupts is repeated, after the handler has run (PEP 475). */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LARGE 65536 /* bytes of a write for which another thread may run meanwhile */
#define BUFFER 65536 /* bytes that a read returns at most */
#define FDS 2        /* descriptors beside one message */
#define MESSAGE 81920 /* bytes of the largest message: MESSAGE_BYTES of channels/inbox.py */
#ifdef Py_GIL_DISABLED
#define OF_A_THREAD _Thread_local
#else
#define OF_A_THREAD /* the lock keeps other threads out */
#endif

static int arguments(Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted) return 1;
    PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", wanted, count);
    return 0;
}

/* Whether to repeat a call that has failed: it was interrupted, and the handler of the signal did not raise. */
static int again(void) { return errno == EINTR && !PyErr_CheckSignals(); }

static PyObject *failed(void) { return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError); }

static int as_fd(PyObject *number) {
    long fd = PyLong_AsLong(number);
    if (fd == (int)fd) return (int)fd;
    PyErr_SetString(PyExc_OverflowError, "the number of a descriptor is too large");
    return -1;
}

static PyObject *calls_read(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    /* Not on the stack, which an application may have made small for its threads. */
    static OF_A_THREAD char buffer[BUFFER];
    if (!arguments(count, 2)) return NULL;
    int fd = as_fd(args[0]);
    Py_ssize_t size = PyLong_AsSsize_t(args[1]);
    if (PyErr_Occurred()) return NULL;
    if (size < 0 || size > BUFFER) return PyErr_Format(PyExc_ValueError, "cannot read %zd bytes at once", size);
    ssize_t got;
    do got = read(fd, buffer, (size_t)size);
    while (got < 0 && again());
    return got < 0 ? failed() : PyBytes_FromStringAndSize(buffer, got);
}

static PyObject *calls_write(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer data;
    if (!arguments(count, 2)) return NULL;
    int fd = as_fd(args[0]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0) return NULL;
    ssize_t put;
    do {
        if (data.len < LARGE) {
            put = write(fd, data.buf, (size_t)data.len);
        } else {
            int error;
            Py_BEGIN_ALLOW_THREADS
            put = write(fd, data.buf, (size_t)data.len);
            error = errno;
            Py_END_ALLOW_THREADS
            errno = error;
        }
    } while (put < 0 && again());
    PyObject *result = put < 0 ? failed() : PyLong_FromSsize_t(put);
    PyBuffer_Release(&data);
    return result;
}

static PyObject *calls_close(PyObject *self, PyObject *number) {
    int fd = as_fd(number);
    if (PyErr_Occurred()) return NULL;
    /* never repeated: on Linux the descriptor is free even after EINTR (close(2)) */
    if (close(fd) < 0 && errno != EINTR) return failed();
    Py_RETURN_NONE;
}

/* The text of an IPv4 address; inet_ntop takes three times as long. */
static PyObject *ipv4(const unsigned char *part) {
    char text[16], *end = text;
    for (int index = 0; index < 4; index++) {
        unsigned char number = part[index];
        if (index) *end++ = '.';
        if (number >= 100) *end++ = (char)('0' + number / 100);
        if (number >= 10) *end++ = (char)('0' + number / 10 % 10);
        *end++ = (char)('0' + number % 10);
    }
    return PyUnicode_DecodeASCII(text, end - text, NULL);
}

static PyObject *decimal(unsigned number) {
    char text[8];
    int length = snprintf(text, sizeof text, "%u", number);
    return PyUnicode_DecodeASCII(text, length, NULL);
}

static PyObject *calls_accept(PyObject *self, PyObject *number) {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } peer;
    int listener = as_fd(number), fd;
    if (PyErr_Occurred()) return NULL;
    do {
        socklen_t size = sizeof peer;
        fd = accept4(listener, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && again());
    if (fd < 0) return failed();
    PyObject *host, *port;
    if (peer.any.sa_family == AF_INET) {
        host = ipv4((const unsigned char *)&peer.ipv4.sin_addr);
        port = decimal(ntohs(peer.ipv4.sin_port));
    } else if (peer.any.sa_family == AF_INET6) {
        char text[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, &peer.ipv6.sin6_addr, text, sizeof text);
        host = PyUnicode_FromString(text);
        port = decimal(ntohs(peer.ipv6.sin6_port));
    } else {
        host = PyUnicode_FromString("");
        port = PyUnicode_FromString("");
    }
    PyObject *result = host && port ? Py_BuildValue("(iNN)", fd, host, port) : NULL;
    if (!result) close(fd);
    return result;
}

static PyObject *calls_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int fds[FDS], given = (int)count - 2;
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr head;
    } control;
    if (count < 2 || given > FDS) return PyErr_Format(PyExc_TypeError, "expected 2 to %d arguments", 2 + FDS);
    int fd = as_fd(args[0]);
    for (int index = 0; index < given; index++) fds[index] = as_fd(args[2 + index]);
    if (PyErr_Occurred()) return NULL;
    Py_buffer data;
    if (PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0) return NULL;
    struct iovec part = {data.buf, (size_t)data.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (given > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)given);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)given);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * (size_t)given);
    }
    ssize_t put;
    do put = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && again());
    PyBuffer_Release(&data);
    if (put < 0) return failed();
    Py_RETURN_NONE;
}

/* A message, and a list of the descriptors beside it. Waits for it without the lock, unless the flags say MSG_DONTWAIT. */
static PyObject *calls_receive(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    static OF_A_THREAD char buffer[MESSAGE];
    union {
        char bytes[CMSG_SPACE(sizeof(int) * FDS)];
        struct cmsghdr head;
    } control;
    if (!arguments(count, 2)) return NULL;
    int fd = as_fd(args[0]), flags = as_fd(args[1]);
    if (PyErr_Occurred()) return NULL;
    struct iovec part = {buffer, sizeof buffer};
    struct msghdr message;
    ssize_t got;
    for (;;) {
        message = (struct msghdr){
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
        got = recvmsg(fd, &message, flags | MSG_DONTWAIT);
        if (got >= 0) break;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (flags & MSG_DONTWAIT) Py_RETURN_NONE; /* making an exception takes longer than the call */
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            int ready, error;
            Py_BEGIN_ALLOW_THREADS
            ready = poll(&wait, 1, -1);
            error = errno;
            Py_END_ALLOW_THREADS
            errno = error;
            if (ready >= 0) continue; /* another reader may be faster */
        }
        if (!again()) return failed();
    }
    /* First what is in the buffer: making a list may run a finalizer, and so another thread that uses it. */
    PyObject *data = PyBytes_FromStringAndSize(buffer, got);
    PyObject *fds = PyList_New(0);
    int whole = fds && data;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        size_t number = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < number; index++) {
            int came;
            memcpy(&came, CMSG_DATA(head) + index * sizeof(int), sizeof came);
            PyObject *object = whole ? PyLong_FromLong(came) : NULL;
            whole = object && !PyList_Append(fds, object);
            Py_XDECREF(object);
            if (!whole) close(came);
        }
    }
    PyObject *result = whole ? PyTuple_Pack(2, data, fds) : NULL;
    if (!result && fds) { /* out of memory: nobody will know of those that are in the list */
        for (Py_ssize_t index = 0; index < PyList_GET_SIZE(fds); index++) close(as_fd(PyList_GET_ITEM(fds, index)));
    }
    Py_XDECREF(data);
    Py_XDECREF(fds);
    return result;
}

/* Cells of a worker's row, as scoreboard.py numbers them. */
enum { SINCE = 2, REQUESTS = 5, SECONDS = 9, CELLS = 80 };

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* The cells of a row; NULL, with an exception, if it was released: then this is a child of the application. */
static int64_t *cells(PyObject *row, Py_buffer *view) {
    if (PyObject_GetBuffer(row, view, PyBUF_WRITABLE) < 0) return NULL;
    if (view->len == CELLS * (Py_ssize_t)sizeof(int64_t)) return view->buf;
    PyErr_Format(PyExc_ValueError, "a row has %d cells", CELLS);
    PyBuffer_Release(view);
    return NULL;
}

/* A request begins. Returns the time. */
static PyObject *calls_begin(PyObject *self, PyObject *row) {
    Py_buffer view;
    int64_t *cell = cells(row, &view);
    if (!cell) return NULL;
    int64_t started = now();
    cell[SINCE] = started;
    PyBuffer_Release(&view);
    return PyLong_FromLongLong(started);
}

/* The request that began at this time is over: count it. Returns the time. */
static PyObject *calls_finish(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer view;
    if (!arguments(count, 2)) return NULL;
    int64_t started = PyLong_AsLongLong(args[1]);
    if (PyErr_Occurred()) return NULL;
    int64_t *cell = cells(args[0], &view);
    if (!cell) return NULL;
    int64_t ended = now(), length = 0;
    for (int64_t units = (ended - started) >> 10; units > 0; units >>= 1) length++;
    cell[SECONDS + length]++;
    cell[SINCE] = 0;
    cell[REQUESTS]++;
    PyBuffer_Release(&view);
    return PyLong_FromLongLong(ended);
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))calls_read, METH_FASTCALL, "read(fd, size) -> bytes"},
    {"write", (PyCFunction)(void (*)(void))calls_write, METH_FASTCALL, "write(fd, data) -> bytes written"},
    {"close", calls_close, METH_O, "close(fd)"},
    {"accept", calls_accept, METH_O, "accept(listener) -> (fd, host, port)"},
    {"send", (PyCFunction)(void (*)(void))calls_send, METH_FASTCALL, "send(channel, data, *descriptors)"},
    {"receive", (PyCFunction)(void (*)(void))calls_receive, METH_FASTCALL, "receive(channel, flags) -> (data, fds) or None"},
    {"begin", calls_begin, METH_O, "begin(row) -> nanoseconds"},
    {"finish", (PyCFunction)(void (*)(void))calls_finish, METH_FASTCALL, "finish(row, started) -> nanoseconds"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_calls", "See calls.py.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__calls(void) { return PyModule_Create(&module); }
