# SPDX-License-Identifier: Apache-2.0
"""What once went wrong: what stays behind a sandbox, what the host's own network does to
the filters, and what carrel does to others' traffic."""

import ipaddress

from harness import *
from netlab import *
from netspace import netfilter_request

LATE = 5001  # a port where somebody listens and never reads, nor closes
NEVER_READS = (
    "import socket, time\n"
    "l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)\n"
    f"l.bind(('0.0.0.0', {LATE})); l.listen(512)\n"
    "kept = []\n"
    "while True: kept.append(l.accept())\n"
)
OPEN_MANY = (
    "kept = []\n"
    "for i in range(50):\n"
    f"  s = socket.create_connection((f'7.7.7.{{1 + i}}', {LATE}), 5); s.setblocking(False); kept.append(s)\n"
)
FILL_THEM = (
    "for s in kept:\n"
    "  try:\n"
    "    while s.send(bytes(65536)): pass\n"
    "  except BlockingIOError: pass\n"
)  # fmt: skip


def never_read(lab):
    """Somebody in the internet who takes all connections and lets them be."""
    lab.serve(lab.internet, ["/usr/bin/python3", "-I", "-S", "-c", NEVER_READS])
    lab.wait_for(lab.internet, "7.7.7.7", LATE)


def each_build():
    """Uses all filters, then those of one place alone."""
    for name in (None, "only-inside", "only-host"):
        use_build(name)
        yield name or "both"
        network("down").expect()


# --- what stays behind a sandbox -------------------------------------------------------


@net_case("what a peer with a closed window has not taken does not keep a sandbox's network and address", ids=["N-35"], timeout=60)
def closed_window(lab):
    never_read(lab)
    lab.configure(pool="10.213.0.0/30")  # for two sandboxes
    for turn in range(3):
        r = inside_python(OPEN_MANY + FILL_THEM + "say('full', len(kept))\n")
        eq(r.expect().stdout, "full 50\n", f"turn {turn}")
        wait_until(lambda: not lab.sandbox_interfaces(), 5, "end of the host's end")
    eq(egress(["true"]).expect().result["network"]["address"], "10.213.0.1")


def flows_of(lab, address):
    """Entries of the host's table of connections that name the address."""
    with lab.host.entered():
        entries = netfilter_request(0x101)  # IPCTNL_MSG_CT_GET
    packed = ipaddress.ip_address(address).packed
    return [x for x in entries if packed in x]


@net_case("no flow of a sandbox stays in the host's table, whatever its peers do", ids=["N-10", "N-11"])
def flows_go(lab):
    never_read(lab)
    command = OPEN_MANY + "for i in range(200): udp('8.8.8.8', 2000 + i)\nsay('ready')\nsys.stdin.read(1)\n"
    for options in ([], ["--ipv6"]):
        running = start_python(command, *options, stdin="pipe")
        running.expect_output("ready")
        ok(len(flows_of(lab, "10.213.0.1")) >= 250, "flows while it lives")
        eq(running.wait().expect().result["network"]["address"], "10.213.0.1")
        eq(len(flows_of(lab, "10.213.0.1")), 0, f"flows that stay, with {options}")
        lab.wait_for_end()


@net_case("what is still sent to a sandbox that has gone does not reach the next with its address", ids=["N-11"])
def next_owner(lab):
    peer = lab.internet.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("7.7.7.7", 6000))
    peer.settimeout(scaled(10))
    own = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 4444)); s.settimeout(5)\n"
    running = start_python(own + "s.sendto(b'x', ('7.7.7.7', 6000)); say('got', s.recv(9)); s.sendto(b'y', ('7.7.7.7', 6000))\n")
    _, source = peer.recvfrom(9)
    peer.sendto(b"answer", source)
    eq(running.wait().expect().stdout, "got b'answer'\n")
    lab.wait_for_end()
    second = start_python(own + "say('ready'); sys.stdin.read(1)\n", stdin="pipe")
    second.expect_output("ready")
    tap = lab.keep(Tap(lab.sandbox(second, "python3"), "eth0"))
    for _ in range(5):
        peer.sendto(b"late", source)
    lab.settle()
    arrived = list(tap.packets)
    lab.forget_sandboxes()
    eq(arrived, [], "what arrived at the next one")
    eq(second.wait().expect().result["network"]["address"], "10.213.0.1")
    peer.close()


@net_case("exceptions of a carrel that was killed are not those of the next sandbox with its address", ids=["N-33", "N-35", "N-03"])
def stale_exceptions(lab):
    use_build("only-host")
    lab.answer()
    opened = ["192.168.9.1", "fd00:9::1"]
    options = [word for a in opened for word in ("--allow", a)]
    running = start_egress(["sleep", "600"], "--ipv6", *options)
    inside(running, "sleep")
    eq(lab.sandbox_interfaces(), ["cr0ad50001"])
    running.send(signal.SIGKILL)
    running.wait()
    wait_until(lambda: not lab.sandbox_interfaces(), 10, "end of the killed one")
    # Another carrel's, which knows nothing of the dead one.
    other = lab.configure("other.conf")
    text = read(other).replace(here.state, here.state + "-other")
    with open(other, "w", encoding="utf-8") as f:
        f.write(text)
    targets = [("tcp", a, 80) for a in opened]
    r = egress(["/probe/net_probe", "reach", str(int(scaled(1000)))], *probe_options("net_probe"), "--ipv6", "--deny", "1.2.3.4",
               "--config", other, input=probe_input(targets), config=False).expect()  # fmt: skip
    eq(r.result["network"]["address"], "10.213.0.1")
    eq({k: v for k, v in parse_answers(r.stdout).items() if v.startswith("reached")}, {}, "reached")
    egress(["true"]).expect()


# --- the host's own network ------------------------------------------------------------


@net_case("what the host takes for itself without an address cannot be reached: broadcasts, networks made local", ids=["N-20", "N-04"], timeout=60)
def local_networks(lab):
    services = lab.answer(lab.host, [9999])
    lab.host.ip("route add local 6.6.6.0/24 dev lo", "route add local 2a01:4f8:99::/64 dev lo")
    local = [("udp", a, 9999) for a in ("6.6.6.6", "6.6.6.255", "2a01:4f8:99::5")]
    eq(set(reach_from(lab.host, local).values()), {f"reached {a}" for _, a, _ in local}, "for others they are there")
    targets = ["5.9.1.255", "192.168.7.255", "172.17.255.255", *(a for _, a, _ in local), UPLINK, UPLINK6, "2a01:4f8:1::"]
    for build in each_build():
        services.met.clear()
        code = (
            f"for a in {targets!r}:\n"
            "  s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_DGRAM)\n"
            "  s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
            "  say(a, answer(s.sendto, b'x', (a, 9999)))\n"
        )
        inside_python(code, "--ipv6").expect()
        lab.settle()
        eq(services.met, [], f"whom the host's service met, filters: {build}")
        lab.wait_for_end()


@net_case("where the host itself translates a destination, what it becomes must be allowed, too", ids=["N-05", "N-04"])
def translated(lab):
    internet, tap = lab.answer(), lab.tap()
    rules = {"1.2.3.4": "10.0.0.5", "1.2.3.5": METADATA, "1.2.3.6": "7.7.7.7", "1.2.3.7": "8.8.4.4"}
    six = {"2a00:5::1": "fd00:ec2::254"}
    lab.host.nft(
        "table inet theirs { chain pre { type nat hook prerouting priority -100;\n"
        + "".join(f"ip daddr {a} dnat ip to {b}\n" for a, b in rules.items())
        + "".join(f"ip6 daddr {a} dnat ip6 to {b}\n" for a, b in six.items())
        + "}; }"
    )
    targets = [(p, a, 80) for a in (*rules, *six) for p in ("tcp", "udp")]
    answers = reach(targets, "--ipv6", "--deny", "7.7.7.0/24", seconds=2)
    eq({k for k, v in answers.items() if v.startswith("reached")}, {("tcp", "1.2.3.7", 80), ("udp", "1.2.3.7", 80)}, "reached")
    lab.settle()
    closed = ["10.0.0.5", METADATA, "7.7.7.7", "fd00:ec2::254"]
    eq((internet.reached(*closed), tap.to(*closed)), ([], []), "at the far side")
    eq({m[1] for m in internet.met}, {"8.8.4.4"}, "who was met")


@net_case("forwarding on the uplink that somebody has switched off is on again with the next start", ids=["FI-02"])
def forwarding_back(lab):
    lab.answer()
    target = ("tcp", "8.8.8.8", 80)
    network("up").expect()
    before = own_forwarding(lab)
    for change in (lambda: lab.host.sysctl("ipv4/conf/up0/forwarding", 0), lambda: toggle(lab)):
        change()
        eq(lab.host.sysctl("ipv4/conf/up0/forwarding"), "0")
        eq(reach([target], seconds=2)[target], "reached 8.8.8.8")
        eq(own_forwarding(lab), before, "forwarding")
    lab.wait_for_end()
    network("down").expect()
    eq(lab.host.sysctl("ipv4/conf/up0/forwarding"), "0", "after down, as it was before carrel")


def own_forwarding(lab):
    return [lab.host.sysctl(f"ipv4/conf/{name}/forwarding") for name in ("up0", "lan0", "dmz0")]


def toggle(lab):
    """What a service does that is started and stopped."""
    lab.host.sysctl("ipv4/ip_forward", 1)
    lab.host.sysctl("ipv4/ip_forward", 0)


@net_case("an ordinary user cannot hold up a start, or network up and down, with a lock", ids=["N-35"])
def foreign_lock(lab):
    holder = (
        "import fcntl, os, sys, time\n"
        "for path in ['/proc/self/ns/net', *sys.argv[1:]]:\n"
        "  try: fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)\n"
        "  except PermissionError: pass\n"
        "print('held', flush=True); time.sleep(600)\n"
    )
    network("up").expect()
    inode = os.stat("/proc/thread-self/ns/net").st_ino
    locks = [os.path.join("/run", name) for name in os.listdir("/run") if str(inode) in name]
    process = subprocess.Popen(
        ["/usr/bin/python3", "-I", "-S", "-c", holder, *locks], stdout=subprocess.PIPE, user=65534, group=65534, extra_groups=[]
    )
    lab.started.append(process)
    with process.stdout:
        eq(process.stdout.readline(), b"held\n")
    for args in (["network", "up"], ["network", "down"]):
        carrel([*args, "--config", here.config], timeout=5).expect()
        egress(["true"], timeout=5).expect()
        lab.wait_for_end()
    ok(process.poll() is None, "the lock was held all the time")


# --- traffic of others -----------------------------------------------------------------


STRANGERS = {"tcp": 6, "udp": 17}
FAR, FAR6 = "8.8.8.8", "2a00::8"


def between(lab, seconds=0.4):
    """Who is reached: machines of the LAN from the internet, and the other way."""
    inwards = reach_from(lab.internet, [(p, a, 80) for p in STRANGERS for a in (LAN_PEER, LAN_PEER6)], seconds)
    outwards = reach_from(lab.lan, [(p, a, 80) for p in STRANGERS for a in (FAR, FAR6)], seconds)
    return {k[:2] for k, v in (inwards | outwards).items() if v.startswith("reached")}


def lead_to_lan(lab):
    """Routes and servers on both sides of the host; gives that of the LAN."""
    lab.internet.ip(f"route add 192.168.7.0/24 via {UPLINK} table local", f"route add fd07::/64 via {UPLINK6} table local")
    lan, far = lab.answer(lab.lan, [80]), [("udp", LAN_PEER6, 80), ("udp", FAR6, 80)]
    lab.answer()
    # Afterwards it knows its neighbours: what it forwards does not wait until its
    # link-local addresses are ready.
    eq(reach_from(lab.host, far), {k: f"reached {k[1]}" for k in far})
    lan.met.clear()
    return lan


BOTH_WAYS = {(p, a) for p in STRANGERS for a in (LAN_PEER, LAN_PEER6, FAR, FAR6)}


@net_case("a host that forwards only for sandboxes forwards nothing of strangers, from no side", ids=["N-04"], timeout=60)
def strangers(lab):
    lead_to_lan(lab)
    taps = lab.tap(lab.lan), lab.tap()

    def nothing_passes(when):
        eq(between(lab), set(), f"reached {when}")
        lab.settle()
        arrived = taps[0].to(LAN_PEER, LAN_PEER6) + taps[1].to(FAR, FAR6)
        eq([p for p in arrived if p.proto in STRANGERS.values()], [], f"what arrived {when}")

    nothing_passes("before carrel")
    for options in ([], ["--allow", f"{LAN_PEER}:80"], ["--dns", LAN_PEER], ["--ipv6"]):
        running = start_egress(["sleep", "600"], *options)
        inside(running, "sleep")
        nothing_passes(f"while one lives with {options}")
        running.send(signal.SIGTERM)
        running.wait()
        lab.wait_for_end()
        nothing_passes(f"after one with {options}")


@net_case("a host that forwarded before carrel came still does, with carrel and after it", ids=["N-04", "N-13"], timeout=60)
def routers(lab):
    lead_to_lan(lab)
    lab.host.sysctl("ipv4/ip_forward", 1)
    lab.host.sysctl("ipv6/conf/all/forwarding", 1)
    eq(between(lab), BOTH_WAYS, "before carrel")
    for options in ([], ["--ipv6", "--allow", f"{LAN_PEER}:80"]):
        egress(["true"], *options).expect()
        eq(between(lab), BOTH_WAYS, f"after a run with {options}")
    lab.wait_for_end()
    network("down").expect()
    eq(between(lab), BOTH_WAYS, "after down")


@net_case("a port that the host publishes works, also if the host starts to forward after carrel", ids=["N-04"])
def published(lab):
    lan = lead_to_lan(lab)
    publish = (
        "table inet publish {\n"
        " chain pre { type nat hook prerouting priority -100;\n"
        f"  iifname up0 ip daddr {UPLINK} tcp dport 8080 dnat ip to {LAN_PEER}:80\n"
        f"  iifname up0 ip6 daddr {UPLINK6} tcp dport 8080 dnat ip6 to [{LAN_PEER6}]:80; }}\n"
        " chain post { type nat hook postrouting priority 100; ip saddr 192.168.7.0/24 oifname up0 masquerade; }; }"
    )
    targets = {("tcp", UPLINK, 8080): f"reached {LAN_PEER}", ("tcp", UPLINK6, 8080): f"reached {LAN_PEER6}"}
    egress(["true"], "--ipv6", "--allow", f"{LAN_PEER}:80").expect()
    lab.host.nft(publish)
    lab.host.sysctl("ipv4/ip_forward", 1)
    eq(reach_from(lab.internet, list(targets), 1), targets, "published")
    eq({m[3] for m in lan.met}, {GATEWAY, GATEWAY6}, "who asked")


@net_case("traffic of others that comes from an address of the pool is not translated", ids=["N-13", "N-07"])
def others_in_pool(lab):
    tap = lab.tap()
    stranger = "10.213.5.5"
    lab.host.sysctl("ipv4/ip_forward", 1)
    lab.lan.ip(f"addr add {stranger}/32 dev lo")
    egress(["true"]).expect()
    lab.wait_for_end()
    lab.host.ip(f"route add 10.213.5.0/24 via {LAN_PEER}")
    with lab.lan.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((stranger, 0))
        s.sendto(b"x", ("8.8.8.8", 7777))
    wait_until(lambda: tap.to("8.8.8.8"), 5, "arrival of the stranger's packet")
    lab.settle()
    eq([(p.src, p.dport) for p in tap.to("8.8.8.8")], [(stranger, 7777)], "arrived")


# --- unusual packets -------------------------------------------------------------------


ROUTED = (
    "import socket\n"
    "for kind in (0, 2, 4):\n"
    "  for hop in ('2001:4860::8', 'fd00:ec2::254'):\n"
    "    body = bytes([0, 4, 4, 1, 1, 0, 0, 0]) if kind == 4 else bytes([0, 2, kind, 1, 0, 0, 0, 0])\n"
    "    body += (bytes(16) if kind == 4 else b'') + socket.inet_pton(socket.AF_INET6, hop)\n"
    "    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
    "    set = answer(s.setsockopt, 41, 57, body)\n"  # IPV6_RTHDR
    "    say(kind, hop, set, *[answer(s.sendto, b'x', ('2001:4860::9', port)) for port in (9, 53, 853)] if set == 'ok' else [])\n"
    "say('plain', udp('2001:4860::9', 9))\n"
)


@net_case("a packet with a routing header does not leave, or leaves as the host's own", ids=["N-34", "N-07"], timeout=60)
def routing_headers(lab):
    tap = lab.tap()
    accepted = set()
    for build in each_build():
        tap.forget()
        r = inside_python(ROUTED, "--ipv6").expect()
        lines = [line.split() for line in r.stdout.splitlines()]
        accepted |= {line[0] for line in lines if line[2:3] == ["ok"]}
        eq(lines[-1], ["plain", "ok"])
        wait_until(lambda: [p for p in tap.to("2001:4860::9") if p.proto == 17], 5, "arrival of the plain packet")
        lab.settle()
        left = {(p.src, p.dst, p.proto) for p in tap.packets if p.version == 6 and ipaddress.ip_address(p.src) in ipaddress.ip_network(POOL6)}
        # The sandbox's side cannot know it: the host's is where packets are translated.
        if build != "only-inside":
            eq(left, set(), f"packets that left as they were, filters: {build}")
        eq(tap.to("fd00:ec2::254"), [], f"packets to a denied hop, filters: {build}")
        lab.wait_for_end()
    if not accepted:
        raise Skip("this kernel refuses routing headers from an ordinary process")
