/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/varlink.h"

static const char service_description[] =
	"# What every Varlink service answers.\n"
	"interface org.varlink.service\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error ExpectedMore ()\n";

size_t varlink_message_length(const char *buf, size_t len, size_t seen)
{
	const char *nul = memchr(buf + seen, '\0', len - seen);

	return nul ? (size_t)(nul - buf) : len;
}

/* --- the size of what the parser would make ---------------------------------------- */

/* Behind the string that begins at `at`, or `len` where it does not end. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
	for (at++; at < len && text[at] != '"'; at++) {
		if (text[at] == '\\')
			at++;
	}
	return at < len ? at : len - 1;
}

/* Is it within bounds? Whether it is JSON at all is the parser's question. */
static bool small_enough(const char *text, size_t len)
{
	unsigned depth = 0, objects = 0, values = 0;

	for (size_t at = 0; at < len; at++) {
		char c = text[at];

		if (c == '"') {
			at = skip_string(text, len, at);
		} else if (c == '{' || c == '[') {
			if (++depth > VARLINK_DEPTH_MAX ||
			    ++objects > VARLINK_OBJECTS_MAX)
				return false;
		} else if (c == '}' || c == ']') {
			depth -= depth > 0;
		} else if (c == ',' && ++values > VARLINK_VALUES_MAX) {
			return false;
		}
	}
	return true;
}

/* --- calls ------------------------------------------------------------------------- */

static int parse_flag(const json_t *value, const char *name, bool *ret,
		      struct varlink_error *ret_error)
{
	if (!json_is_boolean(value)) {
		*ret_error = varlink_invalid(name);
		return -EINVAL;
	}
	*ret = json_is_true(value);
	return 0;
}

static int parse_field(struct varlink_call *call, const char *name, json_t *value,
		       struct varlink_error *ret_error)
{
	bool upgrade = false;
	int r = 0;

	if (strcmp(name, "method") == 0) {
		call->method = json_string_value(value);
		return call->method ? 0 : -EPROTO;
	}
	if (strcmp(name, "parameters") == 0) {
		call->parameters = json_is_object(value) ? value : NULL;
		return call->parameters || json_is_null(value) ? 0 : -EPROTO;
	}
	if (strcmp(name, "more") == 0)
		return parse_flag(value, name, &call->more, ret_error);
	if (strcmp(name, "oneway") == 0)
		return parse_flag(value, name, &call->oneway, ret_error);
	if (strcmp(name, "upgrade") == 0)
		r = parse_flag(value, name, &upgrade, ret_error);
	else
		upgrade = true;
	if (r == 0 && upgrade) {
		*ret_error = varlink_invalid(name);
		r = -EINVAL;
	}
	return r;
}

static int parse_fields(struct varlink_call *call, struct varlink_error *ret_error)
{
	const char *name;
	json_t *value;
	int result = 0;

	/* To the end, also after an error: it may be one-way. */
	json_object_foreach(call->message, name, value) {
		int r = parse_field(call, name, value, ret_error);

		if (r == -EPROTO)
			return r;
		if (r < 0)
			result = r;
	}
	if (!call->method)
		return -EPROTO;
	if (result == 0 && strlen(call->method) > VARLINK_NAME_MAX) {
		*ret_error = varlink_invalid("method");
		result = -EINVAL;
	}
	return result;
}

int varlink_call_parse(const char *text, size_t len, struct varlink_call *ret,
		       struct varlink_error *ret_error)
{
	struct varlink_call call = { 0 };
	json_error_t error;
	int r;

	if (len > VARLINK_MESSAGE_MAX || !small_enough(text, len))
		return -EPROTO;
	call.message = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!call.message)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
									   : -EPROTO;
	r = json_is_object(call.message) ? parse_fields(&call, ret_error) : -EPROTO;
	if (r == -EPROTO) {
		json_decref(call.message);
		return r;
	}
	/* Nobody would read them. */
	call.more = call.more && !call.oneway;
	*ret = call;
	return r;
}

void varlink_call_free(struct varlink_call *call)
{
	json_decref(call->message);
	*call = (struct varlink_call){ 0 };
}

const char *varlink_method_of(const struct varlink_call *call, const char *interface)
{
	size_t len = strlen(interface);

	if (strncmp(call->method, interface, len) != 0 || call->method[len] != '.')
		return NULL;
	return strchr(call->method + len + 1, '.') ? NULL : call->method + len + 1;
}

/* --- errors ------------------------------------------------------------------------ */

/* At most as long as there is room for, cut between characters. */
static void copy_name(char *buf, const char *text, size_t len)
{
	if (len > VARLINK_NAME_MAX)
		len = VARLINK_NAME_MAX;
	while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(buf, text, len);
	buf[len] = '\0';
}

static struct varlink_error make_error(const char *name, const char *key,
				       const char *value, size_t len)
{
	struct varlink_error error = { .name = name, .key = key };

	copy_name(error.value, value, len);
	return error;
}

struct varlink_error varlink_invalid(const char *parameter)
{
	return make_error(VARLINK_SERVICE ".InvalidParameter", "parameter", parameter,
			  strlen(parameter));
}

struct varlink_error varlink_plain_error(const char *name)
{
	return (struct varlink_error){ .name = name };
}

struct varlink_error varlink_no_method(const struct varlink_call *call,
				       const struct varlink_service *service)
{
	const char *dot = strrchr(call->method, '.');

	if (!dot)
		return varlink_invalid("method");
	if (varlink_method_of(call, service->interface) ||
	    varlink_method_of(call, VARLINK_SERVICE))
		return make_error(VARLINK_SERVICE ".MethodNotFound", "method",
				  call->method, strlen(call->method));
	return make_error(VARLINK_SERVICE ".InterfaceNotFound", "interface", call->method,
			  (size_t)(dot - call->method));
}

/* --- org.varlink.service ----------------------------------------------------------- */

static int no_other_fields(const struct varlink_call *call, const char *known,
			   struct varlink_error *ret_error)
{
	const char *name;
	json_t *value;

	json_object_foreach(call->parameters, name, value) {
		if (known && strcmp(name, known) == 0)
			continue;
		*ret_error = varlink_invalid(name);
		return -EINVAL;
	}
	return 0;
}

static int get_info(const struct varlink_service *service,
		    const struct varlink_call *call, json_t **ret,
		    struct varlink_error *ret_error)
{
	int r = no_other_fields(call, NULL, ret_error);

	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", service->vendor,
			 "product", service->product, "version", service->version, "url",
			 service->url, "interfaces", VARLINK_SERVICE, service->interface);
	return *ret ? 0 : -ENOMEM;
}

static int get_description(const struct varlink_service *service,
			   const struct varlink_call *call, json_t **ret,
			   struct varlink_error *ret_error)
{
	const char *name =
		json_string_value(json_object_get(call->parameters, "interface"));
	int r = no_other_fields(call, "interface", ret_error);

	if (r < 0)
		return r;
	if (!name) {
		*ret_error = varlink_invalid("interface");
		return -EINVAL;
	}
	if (strcmp(name, service->interface) == 0) {
		*ret = json_pack("{s:s%}", "description", service->description,
				 service->description_size);
	} else if (strcmp(name, VARLINK_SERVICE) == 0) {
		*ret = json_pack("{s:s}", "description", service_description);
	} else {
		*ret_error = make_error(VARLINK_SERVICE ".InterfaceNotFound", "interface",
					name, strlen(name));
		return -EINVAL;
	}
	return *ret ? 0 : -ENOMEM;
}

int varlink_service_answer(const struct varlink_service *service,
			   const struct varlink_call *call, json_t **ret,
			   struct varlink_error *ret_error)
{
	const char *method = varlink_method_of(call, VARLINK_SERVICE);

	if (method && strcmp(method, "GetInfo") == 0)
		return get_info(service, call, ret, ret_error);
	if (method && strcmp(method, "GetInterfaceDescription") == 0)
		return get_description(service, call, ret, ret_error);
	*ret_error = varlink_no_method(call, service);
	return -EINVAL;
}

/* --- answers ----------------------------------------------------------------------- */

static char *dump(json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	return text;
}

char *varlink_reply(json_t *parameters, bool continues)
{
	json_t *message = json_pack("{s:o}", "parameters", parameters);

	if (message && continues &&
	    json_object_set_new(message, "continues", json_true())) {
		json_decref(message);
		message = NULL;
	}
	return dump(message);
}

char *varlink_error(const char *name, json_t *parameters)
{
	return dump(json_pack("{s:s, s:o}", "error", name, "parameters", parameters));
}

char *varlink_error_reply(const struct varlink_error *error)
{
	json_t *parameters =
		error->key ? json_pack("{s:s}", error->key, error->value) : json_object();

	return varlink_error(error->name, parameters);
}

char *varlink_reply_text(const char *object, size_t len, bool continues)
{
	static const char head[] = "{\"parameters\":", last[] = "}",
			  more[] = ",\"continues\":true}";
	const char *tail = continues ? more : last;
	size_t tail_size = strlen(tail) + 1;
	char *text = malloc(sizeof(head) - 1 + len + tail_size);

	if (!text)
		return NULL;
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + sizeof(head) - 1, object, len);
	memcpy(text + sizeof(head) - 1 + len, tail, tail_size);
	return text;
}
