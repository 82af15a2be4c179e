# SPDX-License-Identifier: Apache-2.0
"""What a payload can do with its network: nothing but send what is allowed."""

import ipaddress

from harness import *
from netlab import *

# --- it cannot change it ---------------------------------------------------------------

# Requests to change things, as struct nlmsghdr's type and what follows it.
CHANGES = r"""
NETLINK = {
    'new link': (16, struct.pack('BxHiII', 0, 0, 0, 0, 0)),
    'del link': (17, struct.pack('BxHiII', 0, 0, 2, 0, 0)),
    'link down': (19, struct.pack('BxHiII', 0, 0, 2, 0, 1)),
    'new address': (20, struct.pack('BBBBI', 2, 24, 0, 0, 2) + struct.pack('HH4s', 8, 2, socket.inet_aton('8.8.8.8'))),
    'del address': (21, struct.pack('BBBBI', 2, 31, 0, 0, 2)),
    'new route': (24, struct.pack('BBBBBBBBI', 2, 8, 0, 0, 254, 4, 0, 1, 0) + struct.pack('HHi', 8, 4, 2)),
    'del route': (25, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 0, 0)),
    'new neighbour': (28, struct.pack('BxxxiHBB', 2, 2, 2, 0, 0)),
    'new rule': (32, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 1, 0)),
    'new qdisc': (36, struct.pack('BxHiIII', 0, 0, 2, 0, 0, 0)),
}
def netlink(kind, body, protocol=0):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    s.send(struct.pack('IHHII', 16 + len(body), kind, 5, 1, 0) + body)
    code = -struct.unpack_from('i', s.recv(8192), 16)[0]
    if code:
        raise OSError(code, 'netlink')
for name, (kind, body) in NETLINK.items():
    say(name, answer(netlink, kind, body))
flush = struct.pack('BBH', 0, 0, 0)
say('delete tables', answer(netlink, 0xa02, flush, 12))
say('forget flows', answer(netlink, 0x102, flush, 12))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = struct.pack('16s16s', b'eth0', struct.pack('HH4s', 2, 0, socket.inet_aton('8.8.8.8')))
for name, number in dict(SIOCSIFADDR=0x8916, SIOCSIFFLAGS=0x8914, SIOCSIFHWADDR=0x8924, SIOCSIFMTU=0x8922,
                         SIOCADDRT=0x890b, SIOCDELRT=0x890c, SIOCSARP=0x8955, SIOCSIFNAME=0x8923).items():
    say(name, answer(fcntl.ioctl, s, number, request + bytes(64)))
"""

RAW = r"""
for name, kind in {'packet': (17, 3, 768), 'packet datagram': (17, 2, 768), 'raw': (2, 3, 255), 'raw ICMP': (2, 3, 1),
                   'raw 6': (10, 3, 58), 'ping': (2, 2, 1), 'xdp': (44, 3, 0), 'key': (15, 3, 2), 'vsock': (40, 1, 0),
                   'bluetooth': (31, 3, 1), 'can': (29, 3, 1), 'tipc': (30, 1, 0), 'llc': (26, 2, 0)}.items():
    say(name, answer(socket.socket, *kind))
"""

OPTIONS = r"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for name, (level, option, value) in {
    'SO_MARK': (1, 36, 1), 'IP_TRANSPARENT': (0, 19, 1), 'SO_RCVBUFFORCE': (1, 33, 1 << 24), 'SO_DEBUG': (1, 1, 1),
    'SO_PRIORITY': (1, 12, 7), 'IP_IPSEC_POLICY': (0, 16, 1), 'IPT_SO_SET_REPLACE': (0, 64, 1),
}.items():
    say(name, answer(s.setsockopt, level, option, value))
s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for name, option in {'HOPOPTS': 54, 'RTHDR': 57, 'DSTOPTS': 59}.items():
    say(name, answer(s6.setsockopt, 41, option, bytes([0, 0, 1, 4, 0, 0, 0, 0])))
"""

REFUSALS = {"EPERM", "EACCES", "EOPNOTSUPP", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENOPROTOOPT", "EINVAL", "ENOTTY"}


def network_state(namespace):
    """Everything that root can see of it, without counters."""
    parts = [namespace.output(["ip", *words]) for words in (["-j", "addr"], ["-j", "-4", "route", "show", "table", "all"],
             ["-j", "-6", "route", "show", "table", "all"], ["-j", "rule"], ["-j", "-6", "rule"], ["-j", "neigh"], ["netconf"])]  # fmt: skip
    rules = re.sub(r'"(packets|bytes)": \d+', "", namespace.output(["nft", "-j", "list", "ruleset"]))
    return "\n".join([*parts, rules])


@net_case("no request, no ioctl and no option changes a link, an address, a route, a rule or a flow", ids=["N-01"])
def cannot_change(lab):
    code = "sys.stdin.readline()\n" + CHANGES + RAW + OPTIONS + "say('end'); sys.stdin.readline()\n"
    running = start_python("say('ready')\n" + code, stdin="pipe")
    running.expect_output("ready")
    sandbox = lab.sandbox(running, "python3")
    before = network_state(sandbox)
    running.write(b"\n")
    running.expect_output("end")
    after = network_state(sandbox)
    r = running.wait().expect()
    answers = dict(line.rsplit(" ", 1) for line in r.stdout.splitlines() if " " in line)
    ok(len(answers) > 40, f"{len(answers)} answers")
    eq({k: v for k, v in answers.items() if v not in REFUSALS}, {}, "not refused")
    eq(after, before, "state of the network")


@net_case("the tools for it fail, too, and /proc/sys has no network to write to", ids=["N-01"])
def tools_fail(lab):
    script = (
        "for c in 'ip link set eth0 down' 'ip link add d type dummy' 'ip addr add 8.8.8.8/32 dev eth0' 'ip route del default' "
        "'ip rule add from all table 9' 'ip neigh replace 10.213.0.0 lladdr 02:00:00:00:00:01 dev eth0' 'nft flush ruleset' 'nft add table x' 'nft delete table inet carrel' "
        "'ip netns add x' 'ip link set eth0 netns 1' 'ip tuntap add mode tap'; do\n"
        "$c >/dev/null 2>&1 && echo \"$c\"; done\n"
        "find /proc/sys/net -type f -writable\n"
        "for f in ipv4/ip_forward ipv4/conf/eth0/rp_filter ipv6/conf/all/disable_ipv6; do (echo 1 >/proc/sys/net/$f) 2>/dev/null && echo $f; done\n"
        "ip -o link | wc -l"
    )
    r = egress(["sh", "-c", script]).expect()
    eq(r.stdout, "2\n", "what went well")


@net_case("there is lo and eth0, one address, one way out", ids=["N-06"])
def what_is_there(lab):
    running = start_egress(["sleep", "60"])
    sandbox = lab.sandbox(running, "sleep")
    eq(sorted(sandbox.interfaces()), ["eth0", "lo"])
    (name,) = lab.sandbox_interfaces()
    address = str(ipaddress.ip_address(int(name[2:], 16)))
    eq(address, "10.213.0.1", "the first of the pool")
    links = json.loads(sandbox.output(["ip", "-j", "addr"]))
    found = {x["ifname"]: [f"{a['local']}/{a['prefixlen']}" for a in x["addr_info"]] for x in links}
    eq(found["eth0"], ["10.213.0.1/31"], "addresses of eth0")
    ok(set(found["lo"]) <= {"127.0.0.1/8", "::1/128"}, found)
    eq(sandbox.tables(), {"inet carrel"}, "tables inside")
    running.send(signal.SIGTERM)
    eq(running.wait().result["network"]["address"], address)


# --- before and around the payload -----------------------------------------------------


def sandbox_packets(tap):
    return [p for p in tap.packets if p.interface.startswith("cr")]


@net_case("no packet is sent that the command did not send: no solicitation, no report, no ARP", ids=["N-02", "N-08"])
def silent_start(lab):
    tap = lab.keep(Tap(lab.host, outgoing=True))
    far = lab.tap()
    for options in ([], ["--ipv6"]):
        for _ in range(3):
            egress(["sleep", "0.2"], *options).expect()
        lab.settle()
        eq(sandbox_packets(tap), [], f"packets with {options}")
    inside_python("udp('8.8.8.8', 9)").expect()
    lab.settle()
    first = sandbox_packets(tap)[0]
    ok(first.src.startswith("10.213."), first.src)
    eq((first.dst, first.dport), ("8.8.8.8", 9), "first packet")


CONF4 = {"accept_redirects": 0, "send_redirects": 0, "secure_redirects": 0, "accept_source_route": 0, "proxy_arp": 0, "route_localnet": 0, "arp_ignore": 1}
CONF6 = {"accept_ra": 0, "autoconf": 0, "accept_redirects": 0, "accept_source_route": 0, "accept_dad": 0, "addr_gen_mode": 1, "proxy_ndp": 0}


def wrong_settings(namespace, interface, ipv6):
    expected = {f"ipv4/conf/{interface}/{k}": v for k, v in CONF4.items()}
    if ipv6:
        expected.update({f"ipv6/conf/{interface}/{k}": v for k, v in CONF6.items()})
    expected[f"ipv6/conf/{interface}/disable_ipv6"] = 0 if ipv6 else 1
    if interface == "eth0":
        expected.update({"ipv4/ip_forward": 0, "ipv4/conf/all/accept_redirects": 0, "ipv4/conf/all/send_redirects": 0, "ipv6/conf/all/forwarding": 0})
    else:
        expected.update({f"ipv4/conf/{interface}/rp_filter": 1})
    found = {k: int(namespace.sysctl(k)) for k in expected}
    # Negative: not even the exceptions that 0 makes.
    return {k: f"{found[k]}, not {v}" for k, v in expected.items() if found[k] != v and not (found[k] < 0 and k.endswith("source_route"))}


@net_case("the settings of both ends take no advice from the network", ids=["N-08"])
def settings(lab):
    for options in ([], ["--ipv6"]):
        running = start_egress(["sleep", "60"], *options)
        sandbox = lab.sandbox(running, "sleep")
        wrong = wrong_settings(sandbox, "eth0", bool(options))
        wrong.update(wrong_settings(lab.host, lab.sandbox_interfaces()[0], bool(options)))
        eq(wrong, {}, f"settings with {options}")
        running.send(signal.SIGTERM)
        running.wait()
        lab.wait_for_end()


# --- what is local stays local ---------------------------------------------------------


@net_case("127.0.0.0/8 and ::1 are the sandbox's own, and no listener of the host is behind them", ids=["N-17"])
def own_loopback(lab):
    host = lab.answer(lab.host, [22, 80, 5432])
    addresses = ["127.0.0.1", "127.0.0.53", "127.1.2.3", "127.255.255.254", "0.0.0.0", "10.0.2.2", "10.0.2.3", "10.213.0.0", "192.168.65.2", "::1", "::"]
    answers = reach([(p, a, port) for p in ("tcp", "udp") for a in addresses for port in (22, 80, 5432)])
    eq({k: v for k, v in answers.items() if v.startswith("reached")}, {}, "reached")
    eq(host.met, [])
    r = inside_python(
        "l = socket.socket(); l.bind(('127.0.0.1', 8000)); l.listen()\n"
        "c = socket.create_connection(('127.0.0.1', 8000)); c.send(b'hello')\n"
        "a, peer = l.accept(); say(a.recv(9), peer[0])\n"
    ).expect()
    eq(r.stdout, "b'hello' 127.0.0.1\n", "own listener")


@net_case("abstract sockets of the host are not there", ids=["N-16"])
def abstract_sockets(lab):
    names = ["carrel-test-abstract", "dbus", "/tmp/.X11-unix/X0"]
    held = []
    for name in names:
        s = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            s.bind("\0" + name + here.directory)
            s.listen()
        held.append(s)
    r = inside_python(
        f"for n in {[n + here.directory for n in names]!r}:\n"
        "  say(answer(socket.socket(socket.AF_UNIX).connect, '\\0' + n), answer(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect, '\\0' + n))\n"
    ).expect()
    eq(set(r.stdout.split()), {"ECONNREFUSED"})
    for s in held:
        s.close()


# --- unusual packets -------------------------------------------------------------------


@net_case("fragments of a datagram to a denied address do not pass, those to an allowed one do", ids=["N-34"])
def fragments(lab):
    tap = lab.tap()
    inside_python(f"for a in ('{METADATA}', '10.1.2.3', '8.8.8.8'): say(udp(a, 9, b'x' * 4000))").expect()
    lab.settle()
    eq(tap.to(METADATA, "10.1.2.3"), [])
    ok(len(tap.to("8.8.8.8")) >= 3, f"fragments that arrived: {tap.to('8.8.8.8')}")
    inside_python("for a in ('fd00:ec2::254', '2a00::1'): say(udp(a, 9, b'x' * 4000))", "--ipv6").expect()
    lab.settle()
    eq(tap.to("fd00:ec2::254"), [])
    ok(len(tap.to("2a00::1")) >= 3, f"fragments that arrived: {tap.to('2a00::1')}")


@net_case("a source route through an allowed address does not pass", ids=["N-34", "N-08"])
def source_routes(lab):
    tap = lab.tap()
    r = inside_python(
        "for kind in (131, 137):\n"
        "  for hops in (['8.8.8.8', '169.254.169.254'], ['169.254.169.254', '8.8.8.8']):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    option = bytes([kind, 11, 4]) + b''.join(socket.inet_aton(h) for h in hops) + b'\\0'\n"
        "    say(answer(s.setsockopt, 0, 4, option), answer(s.sendto, b'x', ('8.8.4.4', 9)))\n"
    ).expect()
    eq(len(r.stdout.splitlines()), 4)
    lab.settle()
    eq([p for p in tap.packets if p.version == 4 and p.data[0] & 15 > 5], [], "with options")
    eq(tap.to(METADATA), [])


@net_case("nothing is sent to groups or to all, and joining a group says nothing to anybody", ids=["N-34", "N-02"])
def groups(lab):
    tap = lab.tap()
    lan = lab.tap(lab.lan)
    code = (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "for a in ('224.0.0.1', '224.0.0.251', '239.255.255.250', '255.255.255.255', '10.213.0.1', '192.168.7.255', '5.9.1.255'):\n"
        "  say(a, answer(s.sendto, b'x', (a, 5353)))\n"
        "for g in ('224.0.0.251', '239.1.1.1', '232.1.1.1'):\n"
        "  say(g, answer(s.setsockopt, 0, 35, struct.pack('4s4si', socket.inet_aton(g), bytes(4), 2)))\n"
        "s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        "for g in ('ff02::1', 'ff02::fb', 'ff05::1234', 'ff0e::1'):\n"
        "  say(g, answer(s6.sendto, b'x', (g, 5353, 0, 2)), answer(s6.setsockopt, 41, 20, socket.inet_pton(10, g) + struct.pack('i', 2)))\n"
        "import time; time.sleep(1.5)\n"  # reports are sent a moment later
    )
    for options in ([], ["--ipv6"]):
        inside_python(code, *options).expect()
    lab.settle()
    found = tap.within("224.0.0.0/4", "255.255.255.255/32", "5.9.1.255/32", "10.213.0.0/19")
    eq(found + [p for p in tap.packets if p.proto == 2], [], "at the far side")
    joined = [socket.inet_pton(socket.AF_INET6, g) for g in ("ff02::fb", "ff05::1234", "ff0e::1")]
    eq([p for p in tap.within("ff00::/8") if p.proto == 17 or any(g in p.data for g in joined)], [], "at the far side")
    eq(lan.within("224.0.0.0/4", "192.168.7.255/32"), [], "in the LAN")


def has_syn(packet):
    start = (packet.data[0] & 15) * 4
    return packet.proto == 6 and bool(packet.data[start + 13] & 2)


@net_case("a connection opened from both sides at once does not come about with a denied address", ids=["N-34", "N-11"])
def simultaneous_open(lab):
    tap = lab.tap()
    lab.internet.ip(f"route add {POOL} via {UPLINK} table local")
    running = start_python(
        "say('ready')\n"
        f"say({{tcp('{METADATA}', 80, 0.1, ('', 40000)) for _ in range(20)}})\n",
        stdin="pipe",
    )
    running.expect_output("ready")
    opened = []
    for _ in range(20):
        for target in (UPLINK, "10.213.0.1"):
            s = lab.internet.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind((METADATA, 80))
            s.settimeout(0.02)
            with contextlib.suppress(OSError):
                s.connect((target, 40000))
                opened.append(target)
            s.close()
    eq(running.wait().expect().stdout, "ready\n{'ECONNREFUSED'}\n")
    eq(opened, [], "connections from outside")
    lab.settle()
    eq([p for p in tap.to(METADATA) if has_syn(p)], [], "at the far side")
