// libpq, PostgreSQL's C client, and the Linux readiness calls that drive it without blocking.
#ifndef OVERSYNC_CLIBPQ_SHIM_H
#define OVERSYNC_CLIBPQ_SHIM_H

#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#endif
