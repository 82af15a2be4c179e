# SPDX-License-Identifier: Apache-2.0
"""A network that cannot be had as asked is refused: one line, status 125, nothing left."""

from harness import *
from netlab import *


def host_state(lab):
    return lab.host.tables(), lab.sandbox_interfaces()


def refused(lab, options, *parts, command=("true",), **kw):
    """The command does not run; one line names every part; nothing is made."""
    before, recorded = host_state(lab), set(records())
    r = egress(list(command), *options, **kw)
    shown = repr(options)[:300]
    eq((r.status, r.stdout), (125, ""), f"{shown}: {r!r}")
    ok(re.fullmatch(r"carrel: run: [^\x00-\x1f\x7f]+\n", r.stderr), f"{shown}: stderr {r.stderr[-500:]!r}")
    for part in parts:
        contains(r.stderr, part, shown)
    eq(host_state(lab), before, f"{shown}: tables and interfaces")
    eq(set(records()), recorded, f"{shown}: records")


NO_NETWORKS = ["", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "10/8", "010.0.0.0/8", "0x0a.0.0.0/8", "1.2.3.4/", "/8", "1.2.3.4/-1",
               "1.2.3.4/08", "1.2.3.4/+8", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "::/129", "fe80::1%eth0", "localhost", "1.2.3.256",
               "1.2.3.4.5", "16909060", "::ffff:10.0.0.0/104", "1::2::3", ":::", "12345::", "1.2.3.4/32/32", "*", "any", "１.2.3.4",
               "1.2.3.4;1.2.3.5", "\x1b[31m"]  # fmt: skip


@net_case("malformed networks of --deny are named", timeout=60)
def bad_deny(lab):
    # It takes several with commas in between, and spaces around them.
    for text in [*[n for n in NO_NETWORKS if n == n.strip(" ")], "1.2.3.4:80", "[::1]", "[::1]:80", "1.2.3.4,x"]:
        refused(lab, ["--deny", text], "--deny")


@net_case("malformed networks and ports of --allow are named", timeout=60)
def bad_allow(lab):
    for text in [*NO_NETWORKS, "10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:x", "10.0.0.0/8:", "10.0.0.0/8:080", "10.0.0.0/8:-1",
                 "[fd00::/8]:0", "[fd00::/8", "fd00::/8]", "[10.0.0.0/8]:80]", "10.0.0.0/8:80:80", "none"]:  # fmt: skip
        refused(lab, ["--allow", text], "--allow")


@net_case("--allow of a metadata address, of the host's own or of the sandboxes' pool is refused", ids=["N-04"])
def hopeless_allow(lab):
    for text in (METADATA, "169.254.170.2", "168.63.129.16", "100.100.100.200", "169.254.169.254/32", "169.254.169.254:80", "fd00:ec2::254",
                 "[fd00:ec2::254]:80", "192.0.0.192:443"):  # fmt: skip
        refused(lab, ["--allow", text], re.sub(r"^\[|\]?:(80|443)$|/32$", "", text))


@net_case("resolvers that are no addresses are refused", ids=["N-14"])
def bad_dns(lab):
    for text in ("", "dns.google", "1.2.3.4:53", "1.2.3.4/32", "1.2.3", "x", "::1%lo", "[::1]", "1.2.3.4,1.0.0.1", " 1.2.3.4"):
        refused(lab, ["--dns", text], "--dns")


@net_case("options of the network without one are refused")
def without_network(lab):
    for options in (["--deny", "1.2.3.4"], ["--allow", "10.0.0.0/8"], ["--dns", "1.1.1.1"], ["--ipv6"]):
        for network_options in ([], ["--network", "none"]):
            r = run([*network_options, *options, "true"])
            ok(r.status == 125 and r.stderr.count("\n") == 1, f"{network_options} {options}: {r!r}")
            contains(r.stderr, options[0])


@net_case("options without a value, and networks that are not offered, are refused")
def missing_values(lab):
    for word in ("--deny", "--allow", "--dns"):
        r = run(["--network", "egress", word])
        eq((r.status, r.stderr.count("\n")), (125, 1), word)
        contains(r.stderr, word)
    for value in ("host", "bridge", "", "None", "Egress", "egress,none"):
        r = run(["--network", value, "true"])
        eq((r.status, r.stderr.count("\n")), (125, 1), value)
        contains(r.stderr, "--network")


CONFIGURATION = {
    "pool": ["", "x", "10.213.0.1/19", "10.213.0.0/32", "10.213.0.0/33", "10.213.0.0", "fd00::/64", "0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/8"],
    "pool6": ["", "x", "10.0.0.0/8", "fd63::1/64", "fd63::/128", "::/0"],
    "uplink": ["", "no-such-interface-name", "../x", "eth/0"],
    "dns": ["x", "1.2.3.4/24", "1.2.3.4 1.1.1.1", "dns.google"],
    "deny": ["x", "10.0.0.1/8", "1.2.3.4:80", "1.2.3.4 1.1.1.1"],
    "deny_file": ["", "relative/path"],
    "allow": ["x", "10.0.0.0/8:x", "any, none", "10.0.0.1/8"],
    "connections": ["", "0", "-1", "x", "1.5", "01", "99999999999999999999", "Unlimited"],
    "connection_rate": ["", "0", "-1", "x", "200/s", "99999999999999999999"],
    "no_such_key": ["x"],
}


@net_case("bad values of the configuration are named with file and line", timeout=60)
def bad_configuration(lab):
    for key, values in CONFIGURATION.items():
        for value in values:
            lab.configure(**{"dns": RESOLVER, key: value})
            line = read(here.config).splitlines().index(f"{key} = {value}") + 1
            refused(lab, [], f"{here.config}:{line}")


@net_case("an uplink that does not exist, and a host without a default route, are named")
def no_such_uplink(lab):
    lab.configure(uplink="nosuch0")
    refused(lab, [], "nosuch0")
    lab.configure()
    lab.host.ip(f"route del default via {GATEWAY6}")
    refused(lab, ["--ipv6"], "default route", "IPv6")
    lab.host.ip("route del default")
    refused(lab, [], "default route", "IPv4")
    lab.configure(uplink="up0")
    egress(["true"]).expect()


@net_case("a pool in which somebody else has a network is refused, and named")
def taken_pool(lab):
    for pool, route in (("192.168.0.0/16", "192.168.7.0/24"), ("5.9.1.0/24", "5.9.1.0/24"), ("172.16.0.0/12", "172.17.0.0/16")):
        lab.configure(pool=pool)
        refused(lab, [], pool, route)
    lab.host.ip("route add 10.213.4.0/24 via 192.168.7.9 dev lan0")
    lab.configure()
    refused(lab, [], "10.213.0.0/19", "10.213.4.0/24")
    lab.configure(pool6="fd07::/64")
    lab.host.ip("route del 10.213.4.0/24")
    refused(lab, ["--ipv6"], "fd07::/64")


@net_case("--allow beyond what the configuration lets be asked for is refused", ids=["N-04"])
def allow_ceiling(lab):
    lab.configure(allow="none")
    refused(lab, ["--allow", "10.0.0.0/8"], "--allow", "10.0.0.0/8")
    lab.configure(allow="10.1.0.0/16, 10.2.0.0/16:443, fd07::/64")
    for text in ("10.0.0.0/8", "10.3.0.1", "10.2.0.1", "10.2.0.1:80", "192.168.7.2", "fd08::1"):
        refused(lab, ["--allow", text], "--allow", text.split(":80")[0])
    for text in ("10.1.0.0/16", "10.1.2.3:80", "10.2.3.4:443", "10.2.0.0/16:443"):
        egress(["true"], "--allow", text).expect()


@net_case("a deny file that is missing, no file, or has a line that is none is named, with the line")
def bad_deny_file(lab):
    path = os.path.join(here.directory, "deny.txt")
    os.mkfifo(path + ".fifo")
    for name in (path + ".missing", path + ".fifo", here.directory):
        lab.configure(deny_file=name)
        refused(lab, [], name)
    lines = [f"5.{i >> 8}.{i & 255}.0/24" for i in range(3000)]
    for bad in ("1.2.3.4/33", "x", "1.2.3.4 5.6.7.8", "1.2.3.4/24", "1.2.3.4\0", "\xff", "1.2.3.4,5.6.7.8"):
        text = "\n".join([*lines, "# comment", "", bad, "6.6.6.6"]) + "\n"
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)
        lab.configure(deny_file=path)
        refused(lab, [], f"{path}:3003")


@net_case("a malformed CARREL_DENY is named")
def bad_environment(lab):
    for text in ("x", "1.2.3.4 5.6.7.8", "10.0.0.1/8", "1.2.3.4;5.6.7.8", "1.2.3.4:80"):
        refused(lab, [], "CARREL_DENY", env={**os.environ, "CARREL_DENY": text})
    egress(["true"], env={**os.environ, "CARREL_DENY": ""}).expect()


@net_case("a table inet carrel that is somebody else's is left alone, and the start refused")
def foreign_table(lab):
    lab.host.nft("table inet carrel { set mine { type ipv4_addr; }; chain x { type filter hook input priority 0; }; }")
    before = lab.host.ruleset()
    refused(lab, [], "inet carrel")
    for verb in ("up", "down"):
        r = network(verb)
        eq((r.status, r.stdout, r.stderr.count("\n")), (125, "", 1), f"{verb}: {r!r}")
        matches(r.stderr, r"^carrel: network: [^\n]*inet carrel")
    eq(lab.host.ruleset(), before, "the table")
    lab.host.nft("delete table inet carrel")


@net_case("carrel network wants one of its words, and no more")
def network_words(lab):
    for args in ([], ["nonsense"], ["up", "x"], ["--nonsense"], ["up", "--nonsense"], ["show", "--format", "xml"], ["show", "--format"], ["up", "down"]):
        r = carrel(["network", *args])
        eq((r.status, r.stdout, r.stderr.count("\n")), (125, "", 1), f"{args}: {r!r}")
        ok(r.stderr.startswith("carrel: network: "), r)
    eq(host_state(lab), (set(), []))


@net_case("a pool that is used up is one line that says so, and a place that becomes free is used again", ids=["N-35"])
def pool_exhausted(lab):
    lab.configure(pool="10.99.0.0/29")
    running = [start_egress(["sleep", "600"]) for _ in range(4)]
    for r in running:
        inside(r, "sleep")
    eq(lab.sandbox_interfaces(), ["cr0a630001", "cr0a630003", "cr0a630005", "cr0a630007"])
    refused(lab, [], "10.99.0.0/29")
    running[2].send(signal.SIGTERM)
    freed = running[2].wait().result["network"]["address"]
    wait_until(lambda: len(lab.sandbox_interfaces()) == 3, 10)
    r = egress(["true"]).expect()
    eq(r.result["network"]["address"], freed)
    for i in (0, 1, 3):
        running[i].send(signal.SIGTERM)
        running[i].wait()


@net_case("an ordinary user, or root without CAP_NET_ADMIN, is told what is missing")
def no_privilege(lab):
    r = egress(["true"], wrapper=["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
    eq((r.status, r.stdout), (125, ""))
    matches(r.stderr, r"^carrel: run: [^\n]*(CAP_NET_ADMIN|not permitted)[^\n]*\n$")
    eq(host_state(lab), (set(), []))
