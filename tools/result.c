/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "tools/result.h"

/* JSON is UTF-8; other bytes are shown escaped rather than lost. NULL without memory. */
static json_t *any_string(const char *text)
{
	json_t *string = json_string(text);
	size_t size = 4 * strlen(text) + 1;
	auto_free char *shown = string ? NULL : malloc(size);

	return shown ? json_string(str_escape(shown, size, text)) : string;
}

static int add_label(json_t *object, const char *label)
{
	size_t len = strcspn(label, "=");
	auto_free char *name = strndup(label, len);
	json_t *key = name ? any_string(name) : NULL;
	int r = -ENOMEM;

	if (key &&
	    json_object_set_new(object, json_string_value(key),
				any_string(label[len] ? label + len + 1 : "")) == 0)
		r = 0;
	json_decref(key);
	return r;
}

static json_t *labels_object(char *const *labels)
{
	json_t *object = json_object();

	for (; object && *labels; labels++) {
		if (add_label(object, *labels) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *address(const struct ip *ip)
{
	char text[IP_TEXT_MAX];

	return json_string(ip->family ? ip_format(text, ip) : "");
}

static json_t *network_object(const struct run_result *result)
{
	const struct netns_usage *n = &result->network;

	if (!result->address4.family)
		return json_pack("{s:s}", "mode", "none");
	return json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I}", "mode", "egress",
			 "address", address(&result->address4), "address6",
			 address(&result->address6), "rx_bytes", (json_int_t)n->rx_bytes,
			 "rx_packets", (json_int_t)n->rx_packets, "tx_bytes",
			 (json_int_t)n->tx_bytes, "tx_packets",
			 (json_int_t)n->tx_packets);
}

/* By name where there is one that everybody knows. */
static json_t *protocol(uint8_t number)
{
	static const struct {
		uint8_t number;
		const char *name;
	} known[] = {
		{ IPPROTO_TCP, "tcp" },         { IPPROTO_UDP, "udp" },
		{ IPPROTO_ICMP, "icmp" },       { IPPROTO_ICMPV6, "icmpv6" },
		{ IPPROTO_UDPLITE, "udplite" }, { IPPROTO_SCTP, "sctp" },
		{ IPPROTO_IGMP, "igmp" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (known[i].number == number)
			return json_string(known[i].name);
	}
	return json_sprintf("%u", number);
}

static json_t *denials_array(const struct netns_usage *n)
{
	json_t *array = json_array();

	for (unsigned i = 0; array && i < n->denial_count; i++) {
		const struct netns_denial *d = &n->denials[i];
		json_t *one =
			json_pack("{s:o, s:i, s:o, s:I}", "address", address(&d->address),
				  "port", (int)d->port, "protocol", protocol(d->protocol),
				  "count", (json_int_t)d->count);

		if (json_array_append_new(array, one) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int result_write(int fd, const struct run_result *result, char *const *labels,
		 struct err *e)
{
	const struct cgroup_usage *u = &result->usage;
	auto_free char *text = NULL;
	char error[4 * sizeof(result->error)]; /* may quote bytes that are no UTF-8 */
	json_t *object = json_pack(
		"{s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:s, s:s, s:o, "
		"s:o, s:o, s:I}",
		"reason", run_reason_name(result->reason), "exit_code", result->exit_code,
		"signal", result->signal, "wall_ms", (json_int_t)result->wall_ms,
		"cpu_user_ms", (json_int_t)(u->cpu_user_us / 1000), "cpu_sys_ms",
		(json_int_t)(u->cpu_sys_us / 1000), "mem_peak",
		(json_int_t)u->memory_peak, "pids_peak", (json_int_t)u->pids_peak, "oom",
		u->oom_kills > 0, "truncated", 0, "id_base", (json_int_t)result->id_base,
		"id_mapping", result->ids_direct ? "direct" : "mount", "error",
		str_escape(error, sizeof(error), result->error), "labels",
		labels_object(labels), "network", network_object(result), "denials",
		denials_array(&result->network), "denials_lost",
		(json_int_t)result->network.denials_lost);
	int r;

	text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!text)
		return err_set(e, ENOMEM, "encode the result");
	r = fd_write_all(fd, text, strlen(text));
	if (r == 0)
		r = fd_write_all(fd, "\n", 1);
	if (r < 0)
		return err_set(e, -r, "write the result");
	return 0;
}
