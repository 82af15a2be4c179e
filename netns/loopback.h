/* SPDX-License-Identifier: Apache-2.0 */
/* The interface that every network namespace has. */
#pragma once

#include "base/err.h"

/* Brings up the loopback interface of the calling process's network namespace. */
must_check int netns_loopback_up(struct err *e);
