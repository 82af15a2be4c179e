# SPDX-License-Identifier: Apache-2.0
"""Which addresses a sandbox reaches: each listed prefix, what was loaded, random ones.

The model is made here from the tables in netns/*.csv, by other means than the program's.
"""

import bisect
import csv
import ipaddress
import json
import random

from harness import *
from netlab import *

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GLOBAL6 = ipaddress.ip_network("2000::/3")
UNLIMITED = {"connections": "unlimited", "connection_rate": "unlimited"}

# Written down from the registries by hand: the tables may hold more, never less.
LISTED = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64
2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
""".split()
PLATFORM = """
169.254.169.254 169.254.170.2 169.254.170.23 168.63.129.16 100.100.100.200 100.96.0.96 100.80.80.80 192.0.0.192
169.254.0.23 169.254.42.42 fd00:ec2::23 fd00:ec2::254 fd00:ec2::123 fd00:ec2::253 fd20:ce::254 fd00:42::42
""".split()


def table(name, column):
    path = os.path.join(TOP, "netns", name)
    if not os.path.exists(path):
        raise Skip(f"{path} is missing")
    with open(path, encoding="utf-8", newline="") as f:
        return [ipaddress.ip_network(row[column]) for row in csv.DictReader(f)]


class Model:
    """May a sandbox reach an address? Host's addresses and pools included."""

    def __init__(self, extra=()):
        blocks = table("special-purpose.csv", "block") + table("platform.csv", "address")
        blocks += [ipaddress.ip_network(x) for x in [POOL, POOL6, *HOST_ADDRESSES, *HOST_ADDRESSES6, *extra]]
        self.blocks = blocks
        self.denied = {4: self._merge(4), 6: self._merge(6)}

    def _merge(self, version):
        nets = ipaddress.collapse_addresses(n for n in self.blocks if n.version == version)
        return [(int(n.network_address), int(n.broadcast_address)) for n in nets]

    def denies_number(self, version, number):
        ranges = self.denied[version]
        at = bisect.bisect_right(ranges, (number, 1 << 128)) - 1
        return at >= 0 and ranges[at][0] <= number <= ranges[at][1]

    def denies(self, text):
        address = ipaddress.ip_address(text)
        if address.version == 6 and address not in GLOBAL6:
            return True
        return self.denies_number(address.version, int(address))


def edges(block):
    """First, last and one in the middle, and what lies just outside."""
    first, last = int(block.network_address), int(block.broadcast_address)
    kind = ipaddress.IPv4Address if block.version == 4 else ipaddress.IPv6Address
    numbers = {first, last, (first + last) // 2, first - 1, last + 1}
    return {str(kind(n)) for n in numbers if 0 <= n < 1 << block.max_prefixlen}


def on_link(text):
    """Is it a neighbour of the host's, who would have to exist to be reached?"""
    address = ipaddress.ip_address(text)
    links = (ipaddress.ip_network(n) for n in ("5.9.1.0/24", "2a01:4f8:1::/64"))
    return text not in HOST_ADDRESSES + HOST_ADDRESSES6 and any(address in n for n in links)


def is_mute(text):
    """An address that the kernel lets no error come from: one of many hosts, or of none."""
    address = ipaddress.ip_address(text)
    return address.is_multicast or text == "255.255.255.255" or (address.version == 4 and int(address) >> 24 == 0)


@case("the tables hold every listed range and every known metadata address", ids=["N-30"])
def tables_complete():
    special, platform = table("special-purpose.csv", "block"), table("platform.csv", "address")
    for text in LISTED:
        block = ipaddress.ip_network(text)
        ok(any(block.version == n.version and block.subnet_of(n) for n in special), f"{text} is not covered")
    missing = {ipaddress.ip_network(a) for a in PLATFORM} - set(platform)
    eq(missing, set(), "metadata addresses that are not listed")


# --- each prefix -----------------------------------------------------------------------


def split_targets(addresses, protocols):
    """For addresses that errors can come from, and for the others."""
    targets = [(p, a, 80) for p in protocols for a in addresses]
    return [t for t in targets if not is_mute(t[1])], [t for t in targets if is_mute(t[1])]


def judge_answers(model, answers):
    for (protocol, address, _), answer in answers.items():
        shown = f"{protocol} to {address}: {answer}"
        if model.denies(address):
            # At once, with an error: not by waiting for nothing (N-12).
            ok(re.fullmatch("E[A-Z]+", answer), shown)
        else:
            eq(answer, f"reached {address}", shown)


def check_prefixes(lab, build, version, protocols, silent, *options):
    """protocols: must be answered where that is allowed; silent: whatever comes, only
    what may arrive does."""
    use_build(build)
    lab.configure(**UNLIMITED)
    model, responder, tap = Model(), lab.answer(), lab.tap()
    addresses = sorted({a for n in model.blocks if n.version == version for a in edges(n) if not on_link(a)})
    plain, mute = split_targets(addresses, protocols)
    judge_answers(model, reach(plain, *options))
    reach([*mute, *split_targets(addresses, silent)[0]], *options, seconds=0.3)
    lab.settle()
    arrived = {p.dst for p in tap.packets} & set(addresses)
    eq(sorted(a for a in arrived if model.denies(a)), [], "denied, and arrived")
    eq(sorted(a for a in addresses if not model.denies(a) and a not in arrived), [], "allowed, and not arrived")
    eq(sorted({m[1] for m in responder.met if model.denies(m[1])}), [], "denied, and answered")


PROTOCOLS4, SILENT4 = ("tcp", "udp", "tcp-mapped", "udp-mapped"), ("udplite", "sctp", "dccp", "icmp")
PROTOCOLS6, SILENT6 = ("tcp", "udp"), ("udplite", "sctp", "dccp", "icmp6")


@net_case("IPv4: the edges of every listed prefix are closed, and what is beside them open", ids=["N-30", "N-12"], timeout=90)
def prefixes4(lab):
    check_prefixes(lab, None, 4, PROTOCOLS4, SILENT4)


@net_case("IPv6: likewise, if it is asked for", ids=["N-30", "N-12"], timeout=90)
def prefixes6(lab):
    check_prefixes(lab, None, 6, PROTOCOLS6, SILENT6, "--ipv6")


@net_case("IPv4: without the host's filter the one inside is enough", ids=["N-03", "N-30"], timeout=90)
def inside_alone4(lab):
    check_prefixes(lab, "only-inside", 4, PROTOCOLS4, SILENT4)


@net_case("IPv6: without the host's filter the one inside is enough", ids=["N-03", "N-30"], timeout=90)
def inside_alone6(lab):
    check_prefixes(lab, "only-inside", 6, PROTOCOLS6, SILENT6, "--ipv6")


@net_case("IPv4: without the filter inside the host's is enough", ids=["N-03", "N-30"], timeout=90)
def host_alone4(lab):
    check_prefixes(lab, "only-host", 4, PROTOCOLS4, SILENT4)


@net_case("IPv6: without the filter inside the host's is enough", ids=["N-03", "N-30"], timeout=90)
def host_alone6(lab):
    check_prefixes(lab, "only-host", 6, PROTOCOLS6, SILENT6, "--ipv6")


@net_case("IPv6 that is not asked for does not exist: no address, no packet", ids=["N-30", "N-08"])
def no_ipv6(lab):
    lab.answer()
    tap = lab.tap()
    targets = [("tcp", a, 80) for a in ("2606:4700::1111", "2a00::1", UPLINK6, "fd00:ec2::254", "::ffff:0:808:808")]
    answers = reach(targets)
    ok(set(answers.values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EACCES"}, answers)
    r = egress(["sh", "-c", "cat /proc/net/if_inet6 2>/dev/null | grep -v ' lo$'; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 2>/dev/null"])
    ok(r.stdout in ("", "1\n"), r)
    lab.settle()
    eq(tap.to(*[t[1] for t in targets]), [])


# --- what was loaded -------------------------------------------------------------------


def element_range(element):
    """(version, first, last) of an element of a set, as nft prints it."""
    if isinstance(element, str):
        block = ipaddress.ip_network(element)
    elif "prefix" in element:
        block = ipaddress.ip_network(f"{element['prefix']['addr']}/{element['prefix']['len']}")
    else:
        first, last = (ipaddress.ip_address(text) for text in element["range"])
        return first.version, int(first), int(last)
    return block.version, int(block.network_address), int(block.broadcast_address)


def merged(ranges):
    """Sorted, and joined where they touch."""
    found = []
    for version, first, last in sorted(ranges):
        if found and found[-1][0] == version and first <= found[-1][2] + 1:
            found[-1] = (version, found[-1][1], max(last, found[-1][2]))
        else:
            found.append((version, first, last))
    return found


def loaded_ranges(namespace, *names):
    """What is in these sets of the table inet carrel, taken together."""
    sets = {}
    for item in namespace.ruleset("table", "inet", "carrel"):
        if "set" in item:
            sets[item["set"]["name"]] = item["set"].get("elem", [])
    return merged(element_range(e) for name in names for e in sets[name])


def expected_ranges(blocks, version):
    """The same, by the model; of IPv6 all that is not global belongs to it."""
    ranges = [(n.version, int(n.network_address), int(n.broadcast_address)) for n in blocks if n.version == version]
    if version == 6:
        last = (1 << 128) - 1
        ranges += [(6, 0, int(GLOBAL6.network_address) - 1), (6, int(GLOBAL6.broadcast_address) + 1, last)]
    return merged(ranges)


def taken_by(host, version):
    """What the host takes for itself: addresses, broadcasts, anycast."""
    listed = host.output(["ip", "-j", f"-{version}", "route", "show", "table", "local"])
    return [ipaddress.ip_network(route["dst"]) for route in json.loads(listed)]


def readable(ranges):
    kinds = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
    return [f"{kinds[v](first)}-{kinds[v](last)}" for v, first, last in ranges]


@net_case("the sets that the kernel holds, inside and on the host, are those of an independent computation", ids=["N-31"])
def loaded_sets(lab):
    extra = ["11.0.0.0/8", "11.1.0.0/16", "12.0.0.0/8", "2a00::/16"]
    lab.configure(deny=", ".join(extra))
    running = start_egress(["sleep", "60"], "--ipv6")
    sandbox = lab.sandbox(running, "sleep")
    for version in (4, 6):
        names = [f"never{version}", f"deny{version}"]
        listed = Model(extra).blocks
        inside = listed + taken_by(lab.host, version)
        eq(readable(loaded_ranges(sandbox, *names)), readable(expected_ranges(inside, version)), "inside")
        # The host knows its own addresses without a list, also those it gets later.
        own = {ipaddress.ip_network(a) for a in HOST_ADDRESSES + HOST_ADDRESSES6}
        eq(readable(loaded_ranges(lab.host, *names)), readable(expected_ranges([b for b in listed if b not in own], version)), "host")
    running.send(signal.SIGTERM)
    running.wait()


# --- random addresses ------------------------------------------------------------------


def xorshift(seed, count):
    """The numbers that net_probe flood makes of the same seed."""
    x, mask = seed, (1 << 64) - 1
    for _ in range(count):
        x ^= (x << 13) & mask
        x ^= x >> 7
        x ^= (x << 17) & mask
        yield x >> 32


class Arrivals(Tap):
    """A Tap that keeps nothing but the destinations of datagrams to port 9."""

    def __init__(self, namespace):
        self.seen = set()
        super().__init__(namespace, "far0")

    def _read(self, s):
        add = self.seen.add
        for _ in range(5000):
            data = s.recv(128)
            if data[9] == 17 and data[22:24] == b"\0\x09":
                add(data[16:20])


@net_case("of 1,000,000 random addresses (20,000 where every packet is emulated) exactly those of the model are reached", ids=["N-32"], timeout=120)
def random_addresses(lab):
    seed, count, batch = 0x9E3779B97F4A7C15, 1000000, 20000
    if SCALE > 1:
        count = 20000
    lab.configure(**UNLIMITED)
    lab.internet.nft("table ip quiet { chain in { type filter hook prerouting priority -400; udp dport 9 drop; }; }")
    model, tap = Model(), lab.keep(Arrivals(lab.internet))
    command = ["/probe/net_probe", "flood", str(seed), str(count), str(batch)]
    running = start_egress(command, *probe_options("net_probe"), stdin="pipe", timeout=110)
    running.expect_output("\n", 60)
    sandbox = lab.sandbox(running, "net_probe")
    for done in range(batch, count + batch, batch):
        running.expect_output(f"{min(done, count)}\n", 60)
        lab.settle()
        lab.host.flush_conntrack()
        sandbox.flush_conntrack()
        running.write(b"x")
    running.wait().expect()
    lab.settle()
    expected = {n.to_bytes(4, "big") for n in xorshift(seed, count) if not model.denies_number(4, n)}
    shown = [socket.inet_ntoa(a) for a in sorted(tap.seen - expected)[:20]]
    eq(shown, [], f"{len(tap.seen - expected)} denied that were reached")
    missing = [socket.inet_ntoa(a) for a in sorted(expected - tap.seen)[:20]]
    eq(missing, [], f"{len(expected - tap.seen)} allowed that were not reached, of {len(expected)}")
