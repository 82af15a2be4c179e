# SPDX-License-Identifier: Apache-2.0
"""A laboratory for what the network does: a host, an internet and a LAN that exist for
the length of one case, and from which no packet can leave.

    sandbox ---cr0ad50001--- host ---up0 5.9.1.2------5.9.1.1 far0--- internet
                              |  \\---lan0 192.168.7.1--192.168.7.2 far0--- LAN
                              \\-----dmz0 172.17.0.1 (nobody there)

The host is a namespace that the case's own process has moved into, so carrel, started the
usual way, runs in it. The internet answers on every address there is (AnyIP), on the
ports of ANSWERED, and says at which address it was reached. A Tap shows what arrives.

    @net_case("what holds", ids=["N-04"])
    def name(lab):
        r = egress(["sh", "-c", "..."])
"""

import contextlib
import functools
import socket

import harness
from harness import *
from netspace import Namespace, netns_name
from netwatch import MARKER_PORT, Responder, Tap

UPLINK, GATEWAY = "5.9.1.2", "5.9.1.1"
UPLINK6, GATEWAY6 = "2a01:4f8:1::2", "2a01:4f8:1::1"
LAN_HOST, LAN_PEER = "192.168.7.1", "192.168.7.2"
LAN_HOST6, LAN_PEER6 = "fd07::1", "fd07::2"
DMZ = "172.17.0.1"
PUBLIC = "5.9.7.7"  # one more address of the host, on no link
HOST_ADDRESSES = [UPLINK, LAN_HOST, DMZ, PUBLIC]
HOST_ADDRESSES6 = [UPLINK6, LAN_HOST6]
RESOLVER = "9.9.9.9"
METADATA = "169.254.169.254"
POOL, POOL6 = "10.213.0.0/19", "fd63:6172:7265:6c00::/64"  # carrel's, unless configured
ANSWERED = [21, 22, 53, 80, 443, 853, 8080]


def net_case(sentence, ids=(), timeout=30, **options):
    """@case with a Lab of its own, given to the function; options are Lab's."""

    def mark(function):
        @case(sentence, ids, timeout)
        @functools.wraps(function)
        def run_in_lab():
            with Lab(**options) as lab:
                function(lab)
                lab.check_nothing_left()

        return run_in_lab

    return mark


# --- the laboratory --------------------------------------------------------------------


class Lab:
    """uplink=False: a host without a default route. ipv6=False: none of its interfaces
    has an IPv6 address."""

    def __init__(self, uplink=True, ipv6=True):
        self.started = []
        self.threads = []
        self.sandboxes = []
        self.base_config = read(here.config)
        self.machine = netns_name()
        self.host = Namespace.new()
        self.internet, self.lan = self.new_namespace(), self.new_namespace()
        self.uplink, self.ipv6 = uplink, ipv6
        self.build_host()
        self.build_internet()
        self.build_lan()
        self.markers = self.internet.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.markers.bind((GATEWAY, MARKER_PORT))
        self.markers.settimeout(scaled(20))
        self.configure()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
        # First: it stops and forgets the threads of sandboxes, which would be stopped twice.
        self.forget_sandboxes()
        for thread in self.threads:
            thread.stop()
        self.markers.close()

    def new_namespace(self):
        made = Namespace.new()
        self.host.enter()
        return made

    def build_host(self):
        h, lines = self.host, []
        # Every refusal is heard of, also of many in a moment.
        h.sysctl("ipv4/icmp_ratemask", 0)
        h.sysctl("ipv6/icmp/ratelimit", 0)
        h.sysctl("ipv6/icmp/ratemask", 255)
        # As on a machine that has never routed anything.
        h.sysctl("ipv4/ip_forward", 0)
        h.sysctl("ipv6/conf/all/forwarding", 0)
        for name, there, peer in (("up0", self.internet, "far0"), ("lan0", self.lan, "far0"), ("dmz0", self.lan, "unused")):
            lines.append(f"link add {name} type veth peer name {peer} netns {there.path}")
        lines += [
            "link set lo up",
            f"addr add {PUBLIC}/32 dev lo",
            f"addr add {UPLINK}/24 dev up0",
            f"addr add {LAN_HOST}/24 dev lan0",
            f"addr add {DMZ}/16 dev dmz0",
        ]
        if self.ipv6:
            lines += [f"addr add {UPLINK6}/64 dev up0 nodad", f"addr add {LAN_HOST6}/64 dev lan0 nodad"]
        lines += ["link set up0 up", "link set lan0 up", "link set dmz0 up"]
        if self.uplink:
            lines.append(f"route add default via {GATEWAY} dev up0")
        if self.uplink and self.ipv6:
            lines.append(f"route add default via {GATEWAY6} dev up0")
        h.ip(*lines)

    def build_internet(self):
        n = self.internet
        for name, value in (("rp_filter", 0), ("accept_local", 1), ("route_localnet", 1)):
            n.sysctl(f"ipv4/conf/all/{name}", value)
            n.sysctl(f"ipv4/conf/far0/{name}", value)
        n.sysctl("ipv4/icmp_ratelimit", 0)
        n.ip(
            "link set lo up",
            f"addr add {GATEWAY}/24 dev far0",
            f"addr add {GATEWAY6}/64 dev far0 nodad",
            "link set far0 up",
            # AnyIP, in the table that says what an own address is; the link itself and
            # what lies behind it come first, being longer.
            "route add 5.9.1.0/24 dev far0 table local",
            "route add local 0.0.0.0/0 dev lo table local",
            "route add 2a01:4f8:1::/64 dev far0 table local",
            "route add fe80::/64 dev far0 table local",
            "route add local ::/0 dev lo table local",
        )

    def build_lan(self):
        self.lan.ip(
            "link set lo up",
            f"addr add {LAN_PEER}/24 dev far0",
            f"addr add {LAN_PEER6}/64 dev far0 nodad",
            "link set far0 up",
            "link set unused up",
            f"route add default via {LAN_HOST}",
            f"route add default via {LAN_HOST6}",
        )

    # --- carrel ---

    def configure(self, name=None, **keys):
        """Writes the configuration that run() uses, or one called `name` beside it, with
        these keys in [network]; gives its path."""
        path = os.path.join(here.directory, name) if name else here.config
        keys = {"dns": RESOLVER, **keys}
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.base_config + "\n[network]\n")
            f.write("".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None))
        return path

    def sandbox_interfaces(self):
        return sorted(name for name in self.host.interfaces() if re.fullmatch("cr[0-9a-f]{8}", name))

    def sandbox(self, running, comm=None):
        """The Namespace of a running sandbox. It does not end before forget_sandboxes()."""
        found = Namespace.of(running, comm)
        self.sandboxes.append(found)
        return found

    def forget_sandboxes(self):
        """Closes their Namespaces, and the Taps there."""
        for namespace in self.sandboxes:
            for thread in [t for t in self.threads if t.namespace is namespace]:
                thread.stop()
                self.threads.remove(thread)
            namespace.close()
        self.sandboxes = []

    def wait_for_end(self):
        """Returns when no interface of a sandbox is left, and no record."""
        self.forget_sandboxes()
        wait_until(lambda: not self.sandbox_interfaces() and not records(), 10, "end of the sandboxes")

    def check_nothing_left(self):
        """No interface of a sandbox stays; what carrel made for all of them goes with
        `network down`."""
        ok(netns_name() != self.machine, "in the machine's own network namespace")
        self.wait_for_end()
        if "inet carrel" in self.host.tables():
            network("down").expect()
            ok("inet carrel" not in self.host.tables(), "table inet carrel left after network down")

    # --- what takes part ---

    def serve(self, namespace, argv):
        """Starts a server in a namespace; it ends with the lab."""
        with namespace.entered():
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def serve_dns(self, namespace, address, *options):
        """dnsmasq on an address, which it gets; knows what the options say alone."""
        namespace.ip(f"addr replace {address}/{128 if ':' in address else 32} dev lo")
        self.serve(namespace, ["/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                               "--bind-interfaces", f"--listen-address={address}", "--user=root", "--pid-file", *options])  # fmt: skip
        self.wait_for(namespace, address, 53)

    def serve_http(self, namespace, address, port, directory):
        """Python's server of the files below a directory, on an address, which it gets."""
        namespace.ip(f"addr replace {address}/{128 if ':' in address else 32} dev lo")
        self.serve(namespace, ["/usr/bin/python3", "-I", "-m", "http.server", "--bind", address, "--directory", directory, str(port)])
        self.wait_for(namespace, address, port)

    def wait_for(self, namespace, address, port):
        """Returns when somebody listens there."""

        def listens():
            with namespace.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as s:
                return s.connect_ex((address, port)) == 0

        wait_until(listens, 20, f"listener on {address} port {port}")

    def answer(self, namespace=None, ports=tuple(ANSWERED)):
        """A Responder, in the internet if nothing else is said."""
        return self.keep(Responder(namespace or self.internet, ports))

    def tap(self, namespace=None, interface="far0"):
        """A Tap, on the internet's end of the uplink if nothing else is said."""
        return self.keep(Tap(namespace or self.internet, interface))

    def keep(self, thread):
        """Stops it with the lab."""
        self.threads.append(thread)
        return thread

    def settle(self):
        """Returns when all that was sent before, on any processor, has arrived and is in
        the taps. Packets queue per processor, once on each link: so markers go on every
        processor, more often than there are links on the way."""
        cpus = os.sched_getaffinity(0)
        with self.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for turn in range(3):
                for cpu in cpus:
                    os.sched_setaffinity(0, {cpu})
                    token = f"marker {turn} {cpu} {time.monotonic()}".encode()
                    s.sendto(token, (GATEWAY, MARKER_PORT))
                    while self.markers.recv(99) != token:
                        pass
        os.sched_setaffinity(0, cpus)
        for thread in self.threads:
            thread.catch_up()


def use_build(name):
    """name: None, or that of a build that lacks one of the two filters."""
    if name:
        path = os.path.join(BUILD, name, "carrel")
        if not os.path.exists(path):
            raise Skip(f"{path} is not built")
        harness.CARREL = path


def egress(args, *options, **kw):
    """Runs `carrel run --network egress OPTIONS ARGS`."""
    return run(["--network", "egress", *options, *args], **kw)


def start_egress(args, *options, **kw):
    return start(["--network", "egress", *options, *args], **kw)


def network(verb, *options, config=None):
    """Runs `carrel network VERB`."""
    return carrel(["network", verb, "--config", config or here.config, *options])


# --- asking many addresses at once -----------------------------------------------------


def parse_answers(text):
    """{(protocol, address, port): answer} of what net_probe prints."""
    found = {}
    for line in text.splitlines():
        protocol, address, port, answer = line.split(" ", 3)
        found[protocol, address, int(port)] = answer
    return found


def probe_input(targets):
    return "".join(f"{protocol} {address} {port}\n" for protocol, address, port in targets).encode()


def reach(targets, *options, seconds=5, **kw):
    """Asks from inside a sandbox. targets: (protocol, address, port); see net_probe.c."""
    command = ["/probe/net_probe", "reach", str(int(scaled(seconds) * 1000))]
    kw.setdefault("timeout", 60)
    r = egress(command, *probe_options("net_probe"), *options, input=probe_input(targets), **kw).expect()
    answers = parse_answers(r.stdout)
    eq(len(answers), len(set(targets)), "answers of net_probe")
    return answers


def reach_from(namespace, targets, seconds=5):
    """Asks from a namespace, without a sandbox."""
    command = [probe("net_probe"), "reach", str(int(scaled(seconds) * 1000))]
    return parse_answers(namespace.output(command, probe_input(targets).decode()))


def inside_python(code, *options, **kw):
    """Runs Python in a sandbox with a network; `answer` calls a function and gives "ok"
    or the errno's name."""
    return egress(["/usr/bin/python3", "-I", "-S", "-c", INSIDE + code], *options, **kw)


def start_python(code, *options, **kw):
    return start_egress(["/usr/bin/python3", "-I", "-S", "-c", INSIDE + code], *options, **kw)


INSIDE = r"""
import errno, fcntl, os, socket, struct, sys
def answer(f, *a, **k):
    try:
        f(*a, **k)
        return 'ok'
    except OSError as e:
        return errno.errorcode[e.errno]
def tcp(address, port, seconds=5, source=None):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(seconds)
    try:
        if source:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            s.bind(source)
        s.connect((address, port))
        return s.recv(100).decode().strip()
    except socket.timeout:
        return 'silence'
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        s.close()
def udp(address, port, data=b'x', source=None):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        s.bind(source)
    return answer(s.sendto, data, (address, port))
def say(*words):
    print(*words, flush=True)
"""
