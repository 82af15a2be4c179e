# SPDX-License-Identifier: Apache-2.0
"""Names: which resolvers a sandbox may ask, and what an answer can do."""

from harness import *
from netlab import *

ZONE = [
    "--address=/open.test/93.184.216.34", "--address=/metadata.test/169.254.169.254", "--address=/private.test/10.0.0.1",
    "--address=/loop.test/127.0.0.1", "--address=/six.test/2a00::1", "--address=/mapped.test/::ffff:10.0.0.1",
]  # fmt: skip
RESOLVE = "def look(name): return sorted({a[4][0] for a in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})\n"


def own_resolv_conf(text):
    """Gives the host another /etc/resolv.conf, in a mount namespace of the case's own."""
    private_mounts()
    path = os.path.join(here.directory, "resolv.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    real = os.path.realpath("/etc/resolv.conf")
    if not os.path.exists(real):
        raise Skip(f"there is no {real} to mount over")
    mount(path, real, "", 4096)  # MS_BIND


@net_case("names are looked up at the configured resolver, by UDP and TCP", ids=["N-14"])
def resolves(lab):
    lab.serve_dns(lab.internet, RESOLVER, *ZONE)
    lab.answer(ports=[80])
    r = inside_python(
        RESOLVE + "say(open('/etc/resolv.conf').read().strip()); say(look('open.test'), tcp('open.test', 80))\n"
        "q = bytes.fromhex('123401000001000000000000') + b'\\4open\\4test\\0\\0\\1\\0\\1'\n"
        "s = socket.create_connection(('9.9.9.9', 53), 5); s.send(struct.pack('!H', len(q)) + q); say(socket.inet_ntoa(s.recv(512)[-4:]))\n"
    ).expect()
    lines = r.stdout.splitlines()
    contains(lines, f"nameserver {RESOLVER}")
    eq(lines[-2:], ["['93.184.216.34'] reached 93.184.216.34", "93.184.216.34"])


@net_case("/etc/resolv.conf inside names the resolvers that --dns gives, or the configuration, or the host's", ids=["N-14"])
def resolv_conf(lab):
    own_resolv_conf("# host\nsearch example.test\nnameserver 127.0.0.53\nnameserver 8.8.8.8\nnameserver ::1\nnameserver 1.1.1.1\noptions edns0\n")

    def named(*options):
        r = egress(["cat", "/etc/resolv.conf"], *options).expect()
        return re.findall(r"^nameserver (\S+)$", r.stdout, re.M)

    eq(named(), [RESOLVER], "the configuration's")
    eq(named("--dns", "8.8.4.4", "--dns", "1.0.0.1"), ["8.8.4.4", "1.0.0.1"], "those of --dns")
    lab.configure(dns="4.4.4.4, 5.5.5.5")
    eq(named(), ["4.4.4.4", "5.5.5.5"], "two of the configuration")
    lab.configure(dns=None)
    eq(named(), ["8.8.8.8", "1.1.1.1"], "the host's, but for those on its loopback")


@net_case("ports 53 and 853 are closed to all but the resolvers, and those are closed on every other port only where they lie in a denied range", ids=["N-14"])
def only_resolvers(lab):
    lab.answer()
    tap = lab.tap()
    others = [(p, a, port) for p in ("tcp", "udp") for a in ("8.8.8.8", "1.1.1.1", "9.9.9.10") for port in (53, 853)]
    answers = reach([*others, ("udp", RESOLVER, 53), ("tcp", RESOLVER, 53), ("tcp", RESOLVER, 853), ("tcp", RESOLVER, 443)])
    eq(answers.pop(("udp", RESOLVER, 53)), f"reached {RESOLVER}")
    eq(answers.pop(("tcp", RESOLVER, 53)), f"reached {RESOLVER}")
    eq(answers.pop(("tcp", RESOLVER, 443)), f"reached {RESOLVER}", "HTTPS to the resolver's address")
    eq({k: v for k, v in answers.items() if not re.fullmatch("E[A-Z]+", v)}, {})
    lab.settle()
    eq([p for p in tap.packets if p.dport in (53, 853) and p.dst != RESOLVER], [])


@net_case("a resolver in a denied range can be asked, on port 53 alone", ids=["N-14", "N-04"])
def private_resolver(lab):
    lab.serve_dns(lab.lan, "192.168.7.53", *ZONE)
    lab.lan.ip("neigh flush dev far0")
    lab.host.ip("route add 192.168.7.53 via 192.168.7.2 dev lan0")
    lan = lab.answer(lab.lan, [80, 853])
    lab.configure(dns="192.168.7.53")
    r = inside_python(RESOLVE + "say(look('open.test')); say(tcp('192.168.7.53', 80), tcp('192.168.7.53', 853), tcp('192.168.7.2', 53), udp('192.168.7.53', 80))")
    out = r.expect().stdout.splitlines()
    eq(out[0], "['93.184.216.34']")
    eq(out[1].split()[:3], ["ECONNREFUSED"] * 3)
    eq(lan.met, [])


@net_case("a resolver on an address of the host's own can be asked, and nothing else there", ids=["N-14", "N-04", "N-20"])
def resolver_on_host(lab):
    lab.serve_dns(lab.host, "172.17.0.53", *ZONE)
    services = lab.answer(lab.host, [80, 853])
    lab.configure(dns="172.17.0.53")
    r = inside_python(RESOLVE + "say(look('open.test')); say(*[tcp(a, p) for a, p in (('172.17.0.53', 80), ('172.17.0.53', 853), ('172.17.0.1', 53), ('5.9.1.2', 53))])")
    eq(r.expect().stdout.splitlines(), ["['93.184.216.34']", "ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED"])
    eq(services.met, [])


@net_case("a name that leads to a denied address, or changes to one between two lookups, leads nowhere", ids=["N-14"])
def rebinding(lab):
    lab.serve_dns(lab.internet, RESOLVER, *ZONE)
    lab.serve_dns(lab.internet, "8.8.4.4", "--address=/flip.test/93.184.216.34")
    lab.serve_dns(lab.internet, "1.1.1.1", "--address=/flip.test/169.254.169.254")
    lab.configure(dns="8.8.4.4, 1.1.1.1")
    responder, tap = lab.answer(ports=[80]), lab.tap()
    r = inside_python(
        RESOLVE + "say(look('flip.test'), tcp('flip.test', 80))\n"
        # The second resolver is asked once the first one is gone: what a short TTL does.
        "open('/tmp/resolv', 'w').write('')\n"
        "q = bytes.fromhex('123401000001000000000000') + b'\\4flip\\4test\\0\\0\\1\\0\\1'\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ('1.1.1.1', 53)); a = socket.inet_ntoa(s.recv(512)[-4:])\n"
        "say(a, tcp(a, 80))\n"
    ).expect()
    eq(r.stdout.splitlines(), ["['93.184.216.34'] reached 93.184.216.34", f"{METADATA} ECONNREFUSED"])
    lab.configure()
    for name in ("metadata", "private", "loop", "mapped"):
        r = inside_python(RESOLVE + f"say(*[tcp(a, 80) for a in look('{name}.test')])", "--ipv6").expect()
        ok(re.fullmatch("(E[A-Z]+ ?)+\n", r.stdout), f"{name}: {r}")
    lab.settle()
    eq([m for m in responder.met if m[1] != "93.184.216.34"], [])
    eq(tap.to(METADATA, "10.0.0.1"), [])


@net_case("a resolver that is given by IPv6 works with --ipv6", ids=["N-14"])
def resolver6(lab):
    lab.serve_dns(lab.internet, "2620:fe::9", *ZONE)
    lab.configure(dns="2620:fe::9")
    r = inside_python(RESOLVE + "say(look('open.test'), look('six.test'))", "--ipv6").expect()
    eq(r.stdout, "['93.184.216.34'] ['2a00::1']\n")


@net_case("without any resolver the network works, and names do not", ids=["N-14"])
def no_resolver(lab):
    own_resolv_conf("nameserver 127.0.0.1\n")
    lab.configure(dns=None)
    lab.answer()
    r = inside_python(RESOLVE + "say(tcp('8.8.8.8', 80))\ntry: look('open.test')\nexcept OSError as e: say('no', type(e).__name__)")
    eq(r.expect().stdout, "reached 8.8.8.8\nno gaierror\n")
