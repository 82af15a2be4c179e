# SPDX-License-Identifier: Apache-2.0
"""What the host's side holds: own addresses, neighbours, other sandboxes, sources, flows."""

import ipaddress

from harness import *
from netlab import *

SERVICES = [22, 80, 2375, 5432, 6379, 8080]


def own_addresses(lab):
    """Every address of the host that needs no interface beside it to be used."""
    links = json.loads(lab.host.output(["ip", "-j", "addr"]))
    found = {a["local"] for link in links for a in link["addr_info"] if a["scope"] != "link" and link["ifname"] != "lo"}
    return sorted(found | {PUBLIC})


def address_of(name):
    """Of the sandbox, from its interface's name on the host."""
    return str(ipaddress.ip_address(int(name[2:], 16)))


def listen_inside(*options):
    """A sandbox that listens on all its addresses, TCP and UDP, port 8000, and says who
    came; gives it and its address."""
    before = set(network_interfaces())
    running = start_python(
        "import selectors; chosen = selectors.DefaultSelector()\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "  s = socket.socket(socket.AF_INET, kind); s.bind(('0.0.0.0', 8000)); chosen.register(s, 1)\n"
        "  if kind == socket.SOCK_STREAM: s.listen()\n"
        "chosen.register(sys.stdin, 1); say('ready')\n"
        "while True:\n"
        "  for key, _ in chosen.select():\n"
        "    if key.fileobj is sys.stdin: sys.exit()\n"
        "    say('met', key.fileobj.accept()[1] if key.fileobj.type == socket.SOCK_STREAM else key.fileobj.recvfrom(9)[1])\n",
        *options, stdin="pipe",
    )  # fmt: skip
    running.expect_output("ready")
    (name,) = set(network_interfaces()) - before
    return running, address_of(name)


def network_interfaces():
    return [name for _, name in socket.if_nameindex() if re.fullmatch("cr[0-9a-f]{8}", name)]


# --- the host itself -------------------------------------------------------------------


@net_case("no address of the host can be reached, on any port, by any protocol", ids=["N-20", "N-04"])
def host_addresses(lab):
    services = lab.answer(lab.host, SERVICES)
    eq(reach_from(lab.internet, [("tcp", UPLINK, 80), ("udp", UPLINK6, 80)]),
       {("tcp", UPLINK, 80): f"reached {UPLINK}", ("udp", UPLINK6, 80): f"reached {UPLINK6}"}, "for others they are there")  # fmt: skip
    services.met.clear()
    running, _ = listen_inside("--ipv6")  # so that there is an interface of another, too
    addresses = own_addresses(lab)
    for a in HOST_ADDRESSES + HOST_ADDRESSES6:
        ok(a in addresses, f"{a} is not among the host's {addresses}")
    ok(any(a.startswith("10.213.0.") for a in addresses), f"no end of a veth among {addresses}")
    for options in ([], ["--ipv6"]):
        targets = [(p, a, port) for p in ("tcp", "udp") for a in [*addresses, "10.213.0.2"] for port in SERVICES]
        answers = reach(targets, *options)
        eq({k: v for k, v in answers.items() if not re.fullmatch("E[A-Z]+", v)}, {}, f"answers with {options}")
    eq(services.met, [], "whom the host's services met")
    running.wait().expect()


def read_mac(lab, name):
    return json.loads(lab.host.output(["ip", "-j", "link", "show", "dev", name]))[0]["address"]


def mac_to_link_local(mac):
    b = bytes.fromhex(mac.replace(":", ""))
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + bytes([b[0] ^ 2]) + b[1:3] + b"\xff\xfe" + b[3:])


@net_case("the host's link-local addresses cannot be reached either", ids=["N-20", "N-04", "N-06"])
def link_local(lab):
    services = lab.answer(lab.host, [80])
    running = start_python(
        "say('ready'); address = sys.stdin.readline().strip()\n"
        "for a in (address, 'ff02::1', 'ff02::2', 'fe80::1'):\n"
        "  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "    s = socket.socket(socket.AF_INET6, kind); s.settimeout(1)\n"
        "    try: s.connect((a, 80, 0, 2)); s.send(b'x'); say('answer', s.recv(99))\n"
        "    except OSError: pass\n"
        "say('end')\n",
        "--ipv6", stdin="pipe",
    )  # fmt: skip
    running.expect_output("ready")
    (name,) = lab.sandbox_interfaces()
    mac = read_mac(lab, name)
    running.write(f"{mac_to_link_local(mac)}\n".encode())
    running.expect_output("end")
    eq(running.wait().stdout, "ready\nend\n")
    eq(services.met, [], "whom the host's service met")


@net_case("an address that the host gets later is closed as well, to sandboxes that are there already", ids=["N-20", "N-04"])
def later_address(lab):
    services, new = lab.answer(lab.host, [80]), ["5.9.8.8", "2a01:4f8:2::1"]
    running = start_python(f"say('ready'); sys.stdin.read(1); say(*[tcp(a, 80) for a in {new!r}])", "--ipv6", stdin="pipe")
    running.expect_output("ready")
    lab.host.ip(*[f"addr add {a} dev lo" for a in new])
    r = running.wait().expect()
    ok(re.fullmatch("ready\n(E[A-Z]+ ?){2}\n", r.stdout), r)
    answers = reach([("tcp", a, 80) for a in new], "--ipv6")
    ok(not any(a.startswith("reached") for a in answers.values()), answers)
    eq(services.met, [])


@net_case("a port that the host publishes for somebody else cannot be used", ids=["N-05", "N-04"])
def published_port(lab):
    lan = lab.answer(lab.lan, [80])
    services = lab.answer(lab.host, [3128])
    lab.answer()
    lab.host.sysctl("ipv4/ip_forward", 1)
    lab.host.nft(
        "table ip publish {\n"
        " chain pre { type nat hook prerouting priority -100;\n"
        f"  ip daddr {UPLINK} tcp dport 8080 dnat to {LAN_PEER}:80\n"
        f"  ip daddr {PUBLIC} tcp dport 80 dnat to {LAN_PEER}:80\n"
        f"  ip daddr 10.213.0.0/19 tcp dport 80 dnat to {LAN_PEER}:80\n"
        f"  ip daddr 8.8.4.4 tcp dport 80 dnat to {LAN_PEER}:80\n"
        "  ip daddr 1.1.1.1 tcp dport 80 redirect to :3128; }\n"
        " chain post { type nat hook postrouting priority 100; oifname lan0 masquerade; }; }"
    )
    eq(reach_from(lab.internet, [("tcp", UPLINK, 8080)]), {("tcp", UPLINK, 8080): f"reached {LAN_PEER}"}, "for others it works")
    lan.met.clear()
    answers = reach([("tcp", UPLINK, 8080), ("tcp", PUBLIC, 80), ("tcp", "10.213.0.0", 80), ("tcp", "8.8.4.4", 80),
                     ("tcp", "1.1.1.1", 80), ("tcp", "8.8.8.8", 80)], seconds=1)  # fmt: skip
    eq(answers.pop(("tcp", "8.8.8.8", 80)), "reached 8.8.8.8")
    eq({k: v for k, v in answers.items() if v.startswith("reached")}, {}, "reached")
    eq((lan.met, services.met), ([], []), "whom LAN and host met")


# --- neighbours ------------------------------------------------------------------------


@net_case("the LAN cannot be reached, through nothing that leads there", ids=["N-04", "N-06"])
def lan(lab):
    met = lab.answer(lab.lan)
    tap = lab.tap(lab.lan)
    targets = [(p, a, 80) for p in ("tcp", "udp", "tcp-mapped") for a in (LAN_PEER, "192.168.7.255", "172.17.0.2")]
    answers = reach([*targets, ("tcp", LAN_PEER6, 80), ("udp", LAN_PEER6, 80)], "--ipv6")
    eq({k: v for k, v in answers.items() if not re.fullmatch("E[A-Z]+", v)}, {})
    lab.settle()
    eq((met.met, [p for p in tap.packets if p.proto in (6, 17)]), ([], []))


@net_case("a sandbox cannot reach another: nothing arrives there", ids=["N-06", "N-11"])
def other_sandbox(lab):
    first, address = listen_inside("--ipv6")
    sandbox = lab.sandbox(first, "python3")
    tap = lab.keep(Tap(sandbox, "eth0"))
    six = [a["local"] for x in json.loads(sandbox.output(["ip", "-j", "-6", "addr", "show", "dev", "eth0"])) for a in x["addr_info"]]
    addresses = [address, "10.213.0.0", *six]
    answers = reach([(p, a, port) for p in ("tcp", "udp") for a in addresses for port in (8000, 80)], "--ipv6")
    eq({k: v for k, v in answers.items() if not re.fullmatch("E[A-Z]+", v)}, {})
    lab.settle()
    eq(tap.packets, [], "what arrived at the other")
    eq(first.wait().expect().stdout, "ready\n")


@net_case("a listener inside cannot be reached by the host, the LAN, the internet or another sandbox", ids=["N-11"])
def no_way_in(lab):
    running, address = listen_inside()
    sandbox = lab.sandbox(running, "python3")
    tap = lab.keep(Tap(sandbox, "eth0"))
    lab.internet.ip(f"route add {POOL} via {UPLINK} table local")
    targets = [(p, address, 8000) for p in ("tcp", "udp")]
    answers = [*reach_from(lab.lan, targets, 0.5).values(), *reach_from(lab.internet, targets, 0.5).values(), *reach(targets).values()]
    lab.settle()
    eq([p for p in tap.packets if p.dport == 8000], [], "what arrived")
    answers += reach_from(lab.host, targets, 0.5).values()
    eq([a for a in answers if a.startswith("reached")], [])
    eq(running.wait().expect().stdout, "ready\n")


# --- sources ---------------------------------------------------------------------------


@net_case("packets from another source than the sandbox's own go nowhere", ids=["N-07"])
def false_sources(lab):
    other, address = listen_inside()
    tap = lab.tap()
    sources = [address, UPLINK, "8.8.4.4", LAN_PEER, "10.213.0.0", "127.0.0.1", "10.213.0.99"]
    r = inside_python(
        f"for i, a in enumerate({sources!r}): say(a, udp('8.8.8.8', 1000 + i, b'false', (a, 0)), tcp('8.8.8.8', 80, 0.3, (a, 0)))\n"
        "say('own', udp('8.8.8.8', 9))"
    ).expect()
    eq(r.stdout.splitlines()[-1], "own ok")
    lab.settle()
    eq([(p.proto, p.dport) for p in tap.to("8.8.8.8")], [(17, 9)], "arrived")
    eq(tap.to("8.8.8.8")[0].src, UPLINK, "masqueraded")
    eq(other.wait().expect().stdout, "ready\n")


# --- flows -----------------------------------------------------------------------------


@net_case("a rule that is added later also cuts the flows that are there", ids=["N-09"])
def cut_flows(lab):
    tap = lab.tap()
    running = start_python(
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for line in sys.stdin: say('sent', line.strip(), *[answer(s.sendto, line.encode(), (a, 9)) for a in ('8.8.8.8', '8.8.4.4')])\n",
        stdin="pipe",
    )

    def send(word):
        tap.forget()
        running.write(word.encode() + b"\n")
        running.expect_output(f"sent {word}")
        lab.settle()
        return [p.dst for p in tap.packets if p.dport == 9]

    eq(send("first"), ["8.8.8.8", "8.8.4.4"])
    network("up", config=lab.configure("denying.conf", deny="8.8.8.8")).expect()
    eq(send("second"), ["8.8.4.4"])
    network("up").expect()
    eq(send("third"), ["8.8.8.8", "8.8.4.4"])
    running.wait().expect()


@net_case("the answers of a flow come back, and nothing else does, not even what FTP asks for", ids=["N-09", "N-11"])
def no_helpers(lab):
    running = start_python(
        "l = socket.socket(); l.bind(('0.0.0.0', 5000)); l.listen(); l.settimeout(2)\n"
        "s = socket.create_connection(('8.8.8.8', 21))\n"
        "s.send(b'PORT 10,213,0,1,19,136\\r\\nEPRT |1|10.213.0.1|5000|\\r\\n'); say('asked', s.recv(99)); say(sys.stdin.readline())\n"
        "l.settimeout(0.2)\n"
        "try: say('met', l.accept())\n"
        "except OSError: say('nobody')\n",
        stdin="pipe",
    )
    listener = lab.internet.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 21))
    listener.listen()
    listener.settimeout(scaled(10))
    control, peer = listener.accept()
    control.recv(99)
    control.send(b"200 fine\r\n")
    running.expect_output("asked")
    lab.internet.ip(f"route add {POOL} via {UPLINK} table local")
    for target in (UPLINK, "10.213.0.1"):
        for port in (5000, peer[1]):
            with lab.internet.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                s.bind(("8.8.8.8", 20))
                s.settimeout(0.3)
                ok(s.connect_ex((target, port)) != 0, f"connected to {target}:{port}")
    running.write(b"go\n")
    contains(running.wait().expect().stdout, "nobody")
    control.close()
    listener.close()


def arrived_flows(lab, tap, command, *options):
    """So many flows arrive at the far side when a sandbox opens many at once."""
    tap.forget()
    r = egress(["/probe/net_probe", *command], *probe_options("net_probe"), *options).expect()
    lab.settle()
    return len({p.dport for p in tap.to("8.8.8.8") if p.proto == 17}), r


@net_case("a sandbox has no more flows than it may, the host's table stays small, and others still connect", ids=["N-10"])
def flow_limit(lab):
    tap = lab.tap()
    lab.answer()
    count = 20000 if SCALE <= 1 else 3000
    lab.configure(connections=500, connection_rate="unlimited")
    greedy = start_egress(
        ["sh", "-c", f"/probe/net_probe ports 8.8.8.8 1000 {count}; echo done; sleep 60"], *probe_options("net_probe")
    )
    greedy.expect_output("done")
    lab.settle()
    flows = len({p.dport for p in tap.to("8.8.8.8") if p.proto == 17})
    ok(0 < flows <= 500, f"{flows} flows arrived")
    tracked = int(lab.host.sysctl("netfilter/nf_conntrack_count"))
    ok(tracked < 700, f"{tracked} flows in the host's table")
    eq(reach([("tcp", "8.8.4.4", 80)])[("tcp", "8.8.4.4", 80)], "reached 8.8.4.4", "another sandbox")
    greedy.send(signal.SIGTERM)
    greedy.wait()


@net_case("new flows come no faster than they may", ids=["N-10"])
def flow_rate(lab):
    tap = lab.tap()
    lab.configure(connections="unlimited", connection_rate=50)
    started = time.monotonic()
    flows, _ = arrived_flows(lab, tap, ["ports", "8.8.8.8", "1000", "3000"])
    seconds = time.monotonic() - started
    most = 50 * (seconds + 5) + 10  # a burst of five seconds is fine
    ok(0 < flows <= most, f"{flows} flows in {seconds:.1f} s")
    lab.configure(connections="unlimited", connection_rate="unlimited")
    eq(arrived_flows(lab, tap, ["ports", "8.8.8.8", "1000", "3000"])[0], 3000, "flows without a limit")


# --- exceptions ------------------------------------------------------------------------


@net_case("--allow opens a private range, or one port of it, and nothing beside it", ids=["N-03", "N-04"])
def allowed(lab):
    lab.answer()
    pairs = [("10.1.2.3", 80), ("10.1.2.3", 443), ("10.2.0.1", 80), ("172.20.0.1", 443), ("172.20.0.1", 80), ("192.168.9.1", 80), ("192.168.9.2", 80)]
    targets = [(p, a, port) for a, port in pairs for p in ("tcp", "udp")]
    options = ["--allow", "10.1.0.0/16", "--allow", "172.20.0.0/14:443", "--allow", "192.168.9.1"]
    answers = reach(targets, *options)
    for protocol in ("tcp", "udp"):
        reached = {(a, port) for (p, a, port), v in answers.items() if v == f"reached {a}" and p == protocol}
        eq(reached, {("10.1.2.3", 80), ("10.1.2.3", 443), ("172.20.0.1", 443), ("192.168.9.1", 80)}, protocol)
    # The next sandbox has none of it.
    eq({v for v in reach(targets).values() if v.startswith("reached")}, set())
    answers = reach([("tcp", "fd00:1::1", 80), ("tcp", "fd00:1::1", 443), ("tcp", "fd00:2::1", 443)], "--ipv6", "--allow", "[fd00:1::/32]:443")
    eq([a for (_, a, port), v in answers.items() if v.startswith("reached")], ["fd00:1::1"])


@net_case("--allow opens what lies behind another interface than the uplink", ids=["N-04"])
def allowed_lan(lab):
    lab.answer(lab.lan)
    answers = reach([(p, LAN_PEER, port) for p in ("tcp", "udp") for port in (80, 443)], "--allow", f"{LAN_PEER}:80", seconds=1)
    eq({(p, port) for (p, _, port), v in answers.items() if v == f"reached {LAN_PEER}"}, {("tcp", 80), ("udp", 80)})


WIDE = ["10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "5.9.0.0/16", "100.64.0.0/10", "168.63.0.0/16", "192.0.0.0/24", "0.0.0.0/0"]


@net_case("--allow never opens metadata, the host or other sandboxes, however wide it is", ids=["N-04", "N-06", "N-30"])
def never_allowed(lab):
    services, internet = lab.answer(lab.host, SERVICES), lab.answer()
    other, address = listen_inside()
    platform = [METADATA, "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"]
    closed = [("tcp", a, 80) for a in [*platform, *HOST_ADDRESSES, "10.213.0.0", "10.213.0.2"]] + [("tcp", address, 8000)]
    command = ["/probe/net_probe", "reach", str(int(scaled(2000)))]
    for wide in WIDE:
        r = egress(command, *probe_options("net_probe"), "--allow", wide, input=probe_input(closed))
        if r.status == 125:
            matches(r.stderr, rf"^carrel: run: [^\n]*{wide}[^\n]*\n$")
        else:
            answers = parse_answers(r.expect().stdout)
            eq({k: v for k, v in answers.items() if not re.fullmatch("E[A-Z]+", v)}, {}, f"with --allow {wide}")
    eq((services.met, internet.reached(*platform)), ([], []))
    eq(other.wait().expect().stdout, "ready\n")


@net_case("--deny, the configuration, its file and CARREL_DENY close addresses that are open otherwise", ids=["N-03"])
def denied(lab):
    lab.answer()
    path = os.path.join(here.directory, "deny.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("# ours\n\n1.1.1.0/24 # a network\n1.2.3.4\n2a00:1::/32\n")
    lab.configure(deny="8.8.4.0/24, 2a00:2::1", deny_file=path)
    open_, closed = ["8.8.8.8", "1.1.2.1", "9.0.0.1"], ["8.8.4.4", "1.1.1.1", "1.2.3.4", "7.7.7.7", "6.6.0.1", "6.7.0.1"]
    six, six_closed = ["2a00:3::1"], ["2a00:1::1", "2a00:2::1", "2a00:4::1"]
    options = ["--deny", "7.7.7.0/24", "--deny", "2a00:4::/32", "--ipv6"]
    answers = reach([(p, a, 80) for p in ("tcp", "udp") for a in open_ + closed + six + six_closed], *options,
                    env={**os.environ, "CARREL_DENY": "6.6.0.0/16,6.7.0.1"})  # fmt: skip
    eq({a for (_, a, _), v in answers.items() if v == f"reached {a}"}, {*open_, *six})
    eq({a for (_, a, _), v in answers.items() if re.fullmatch("E[A-Z]+", v)}, {*closed, *six_closed})


# --- many ------------------------------------------------------------------------------


def count_rules(lab):
    listed = lab.host.ruleset("table", "inet", "carrel")
    return {kind: sum(kind in x for x in listed) for kind in ("chain", "rule", "set", "map")}


@net_case("the host has as many rules for twenty sandboxes as for one", ids=["N-13"], timeout=60)
def constant_rules(lab):
    first = start_egress(["sleep", "600"])
    inside(first, "sleep")
    one = count_rules(lab)
    ok(one["rule"] > 3, one)
    more = [start_egress(["sleep", "600"]) for _ in range(20 if SCALE <= 1 else 5)]
    for running in more:
        inside(running, "sleep")
    eq(len(lab.sandbox_interfaces()), len(more) + 1)
    eq(count_rules(lab), one, "rules with more sandboxes")
    for running in [first, *more]:
        running.send(signal.SIGTERM)
        running.wait()
    eq(count_rules(lab), one, "rules without sandboxes")
