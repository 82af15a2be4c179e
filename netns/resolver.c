/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "netns/resolver.h"

static const struct cidr not_for_others[] = {
	{ { AF_INET, { 127 } }, 8 },
	{ { AF_INET, { 0 } }, 8 },
	{ { AF_INET6, { 0 } }, 127 }, /* :: and ::1 */
	{ { AF_INET6, { 0xfe, 0x80 } }, 10 },
};

static bool is_for_others(const struct ip *ip)
{
	for (size_t i = 0; i < sizeof(not_for_others) / sizeof(*not_for_others); i++) {
		if (cidr_contains(&not_for_others[i], ip))
			return false;
	}
	return true;
}

/* "nameserver ADDRESS", with blanks in between and behind. */
static bool parse_line(const char *line, size_t len, struct ip *ret)
{
	static const char keyword[] = "nameserver";
	const char *end = line + len, *p = line + sizeof(keyword) - 1;
	char text[IP_TEXT_MAX];

	if (len < sizeof(keyword) || memcmp(line, keyword, sizeof(keyword) - 1) ||
	    (*p != ' ' && *p != '\t'))
		return false;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	return str_format(text, sizeof(text), "%.*s", (int)(end - p), p) == 0 &&
	       ip_parse(text, ret) == 0;
}

unsigned resolver_parse(const char *text, struct ip *ret, unsigned max)
{
	unsigned count = 0;

	while (*text && count < max) {
		size_t len = strcspn(text, "\n");
		struct ip ip;

		if (parse_line(text, len, &ip) && is_for_others(&ip))
			ret[count++] = ip;
		text += len + (text[len] != '\0');
	}
	return count;
}

int resolver_format(char *buf, size_t size, const struct ip *list, unsigned count)
{
	struct str s = str_over(buf, size);

	for (unsigned i = 0; i < count; i++) {
		char text[IP_TEXT_MAX];

		str_add(&s, "nameserver %s\n", ip_format(text, &list[i]));
	}
	return s.cut ? -ENAMETOOLONG : 0;
}
