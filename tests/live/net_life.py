# SPDX-License-Identifier: Apache-2.0
"""How the network comes and goes: up, down, churn, and death at any moment."""

import random

from harness import *
from netlab import *

SYS_fcntl = 72
STEPPER = os.path.join(BUILD, "probes", "stepper")  # see stepper.c
FOREIGN = """
table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 99 dnat to 192.168.7.2:80; }
	chain post { type nat hook postrouting priority 100; oifname lan0 masquerade; }; }
table inet filter { set mine { type ipv4_addr; flags interval; elements = { 1.2.3.0/24 } }
	chain in { type filter hook input priority 0; tcp dport 9999 drop; }
	chain forw { type filter hook forward priority 0; ip saddr @mine drop; }; }
table ip6 x { chain y { type filter hook output priority 0; }; }
table bridge b { }
table netdev n { chain i { type filter hook ingress device lan0 priority 0; }; }
table arp a { }
table inet carrel2 { chain z { }; }
"""


def without_change(objects):
    """nft's objects without what counts or numbers."""
    text = json.dumps(objects)
    return json.loads(re.sub(r'"(handle|packets|bytes|expires)": \d+', r'"\1": 0', text))


def foreign_part(lab):
    """All rules but ours."""

    def is_ours(item):
        (kind, body), *_ = item.items()
        return (body.get("family"), body.get("name" if kind == "table" else "table")) == ("inet", "carrel")

    return without_change([x for x in lab.host.ruleset() if not is_ours(x)])


def own_part(lab):
    return without_change(lab.host.ruleset("table", "inet", "carrel"))


def stop(running):
    running.send(signal.SIGTERM)
    return running.wait()


def forwarding(lab):
    names = ["ipv4/ip_forward", "ipv4/conf/up0/forwarding", "ipv4/conf/lan0/forwarding", "ipv6/conf/all/forwarding", "ipv6/conf/up0/accept_ra"]
    return {name: lab.host.sysctl(name) for name in names}


# --- up and down -----------------------------------------------------------------------


@net_case("network up and down can be said twice, run says up by itself, and down takes all of it away", ids=["FI-02"])
def up_and_down(lab):
    bare, before = lab.host.ruleset(), forwarding(lab)
    for verb in ("down", "up", "up"):
        network(verb).expect()
    first = own_part(lab)
    egress(["true"]).expect()
    network("up").expect()
    eq(own_part(lab), first, "what up makes, also after a run")
    for _ in range(2):
        network("down").expect()
        eq((lab.host.ruleset(), lab.sandbox_interfaces(), forwarding(lab)), (bare, [], before), "after down")
    egress(["true"], "--ipv6").expect()
    lab.wait_for_end()
    network("down").expect()
    eq((lab.host.ruleset(), forwarding(lab)), (bare, before), "after down, with IPv6")
    egress(["true"]).expect()
    lab.wait_for_end()
    eq(own_part(lab), first, "what run makes")
    ok("inet carrel" in lab.host.tables())


@net_case("network show says whether it is up, and what for, as text and as JSON")
def show(lab):
    def shown(config=None):
        return json.loads(network("show", "--format", "json", config=config).expect().stdout)

    eq(shown(), {"up": False, "current": False, "uplink": "", "sandboxes": 0}, "at first")
    contains(network("show").expect().stdout, "down")
    network("up").expect()
    eq(shown(), {"up": True, "current": True, "uplink": "up0", "sandboxes": 0}, "after up")
    contains(network("show").expect().stdout, "up0")
    running = start_egress(["sleep", "60"])
    inside(running, "sleep")
    eq(shown()["sandboxes"], 1, "sandboxes")
    other = lab.configure("other.conf", deny="7.0.0.0/8")
    eq(shown(other)["current"], False, "with other settings")
    stop(running)


@net_case("rules of others stay as they are, whatever carrel does", ids=["FI-01", "N-13"])
def foreign_rules(lab):
    lab.host.nft(FOREIGN)
    before = foreign_part(lab)
    ok(len(before) > 12, before)
    for act in (lambda: network("up"), lambda: egress(["true"], "--ipv6"), lambda: network("up"), lambda: network("down"), lambda: egress(["true"])):
        act().expect()
        eq(foreign_part(lab), before, "rules of others")


@net_case("strict rules of the host for what comes in stay in force, and do not hinder sandboxes", ids=["N-04"])
def strict_host(lab):
    lab.host.nft("table inet strict { chain i { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept; ip protocol icmp accept; }; }")
    services = lab.answer(lab.host, [80])
    lab.answer()
    eq(reach([("tcp", "8.8.8.8", 80)]), {("tcp", "8.8.8.8", 80): "reached 8.8.8.8"})
    ok(reach_from(lab.internet, [("tcp", UPLINK, 80)], 0.3)[("tcp", UPLINK, 80)] == "silence")
    eq(services.met, [])


@net_case("network down while a sandbox lives does not open anything to it", ids=["N-33", "N-04"])
def down_with_sandbox(lab):
    lab.answer()
    services, tap = lab.answer(lab.host, [80]), lab.tap()
    running = start_python(
        "say('ready')\n"
        "for line in sys.stdin:\n"
        f"  say('done', line.strip(), *[tcp(a, 80, 0.3) for a in ('{METADATA}', '{UPLINK}', '10.213.0.0', '{LAN_PEER}')])\n",
        stdin="pipe",
    )
    running.expect_output("ready")
    r = network("down")
    eq((r.status, r.stdout), (125, ""), r)
    matches(r.stderr, r"^carrel: network: [^\n]*sandbox[^\n]*\n$")
    running.write(b"first\n")
    running.expect_output("done first")
    network("up").expect()
    running.write(b"second\n")
    running.expect_output("done second")
    r = running.wait()
    ok("reached" not in r.stdout, r)
    lab.settle()
    eq((services.met, tap.to(METADATA, LAN_PEER)), ([], []))


def start_slowly():
    """A start that stops for a while between its look at the host and its namespace."""
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unshare", "-e", f"inject=unshare:delay_enter={int(scaled(400000))}:when=1"]
    running = start_egress(["sh", "-c", "echo ready; read x"], stdin="pipe", wrapper=slow)
    time.sleep(scaled(0.2))
    return running


@net_case("a start that is overtaken by network down, or by one with other settings, has all its rules or does not happen", ids=["N-33", "N-03"])
def overtaken(lab):
    other = lab.configure("other.conf", deny="7.0.0.0/8")
    network("up").expect()
    expected = own_part(lab)
    for args in (["network", "down"], ["network", "up", "--config", other], ["run", "--network", "egress", "--config", other, "true"]):
        network("up").expect()
        running = start_slowly()
        carrel(args)
        wait_until(lambda: "ready" in running.stdout or running.process.poll() is not None, 10, "start or refusal")
        if "ready" in running.stdout:
            ok("inet carrel" in lab.host.tables(), f"it runs without the host's rules after {args}")
            if args[0] == "run":
                eq(own_part(lab), expected, f"rules after {args}")
        r = running.wait()
        ok(r.status in (1, 125), r)
        lab.wait_for_end()


# --- many at once ----------------------------------------------------------------------


# What adds elements to the host's sets for one sandbox.
SPECIAL = ["--deny", "7.7.7.0/24", "--allow", "10.9.0.0/16:443", "--dns", "1.1.1.1"]


class Worker(threading.Thread):
    """Starts one sandbox after the other, and remembers when each surely lived."""

    def __init__(self, lab, count):
        super().__init__(daemon=True)
        self.lab, self.count, self.lives, self.failure = lab, count, [], None

    def run(self):
        try:
            self.lab.host.enter()
            for i in range(self.count):
                options = SPECIAL if i % 3 == 0 else []
                running = start_egress(["sh", "-c", "echo ready; read x"], *options, stdin="pipe", timeout=30)
                running.expect_output("ready", 30)
                first = time.monotonic()
                last = time.monotonic()
                r = running.wait().expect(1)
                self.lives.append((first, last, r.result["network"]["address"]))
        except BaseException as e:  # pylint: disable=broad-except
            self.failure = e


@net_case("hundreds of sandboxes that come and go at once: no address twice, no rule more, nothing left", ids=["N-35", "N-13"], timeout=120)
def churn(lab):
    workers, each = (6, 60) if SCALE <= 1 else (4, 5)
    egress(["true"]).expect()
    lab.wait_for_end()
    before = own_part(lab)
    started = [Worker(lab, each) for _ in range(workers)]
    for w in started:
        w.start()
    for w in started:
        w.join(scaled(100))
        ok(w.failure is None, f"a start failed: {w.failure!r}")
    lives = sorted(life for w in started for life in w.lives)
    eq(len(lives), workers * each, "sandboxes that lived")
    for i, (_, last, address) in enumerate(lives):
        for first, _, other in lives[i + 1 :]:
            ok(first > last or address != other, f"{address} given to two at once")
    lab.wait_for_end()
    egress(["true"]).expect()
    lab.wait_for_end()
    eq(own_part(lab), before, "rules and sets")


@net_case("two starts on a host where nothing is up yet do not meet", ids=["N-35"])
def first_starts(lab):
    for _ in range(10 if SCALE <= 1 else 3):
        running = [start_egress(["true"]) for _ in range(6)]
        for r in running:
            r.wait().expect()
        network("down").expect()


# --- death at any moment ---------------------------------------------------------------


def nothing_passed(lab, tap):
    lab.settle()
    eq(tap.to(METADATA), [], "packets to the metadata address")


def kill_after(args, seconds):
    running = start(args, raw=True)
    time.sleep(scaled(seconds))
    running.send(signal.SIGKILL)
    running.wait()


@net_case("carrel killed at random moments of starts and of network up: never a packet to a denied address", ids=["N-33", "FI-02"], timeout=90)
def killed_at_random(lab):
    tap = lab.tap()
    lab.answer(ports=[80])
    configs = [lab.configure(f"deny{i}.conf", deny=f"7.{i}.0.0/16, 8.8.8.{i}") for i in range(3)]
    knock = ["/probe/net_probe", "knock", METADATA, "80"]
    steady = start_egress(knock, *probe_options("net_probe"), timeout=90)
    steady.expect_output("knocked")
    chosen = random.Random(33)
    for turn in range(60 if SCALE <= 1 else 8):
        config = configs[turn % 3]
        network("up", config=config).expect()
        args = ["run", "--network", "egress", *SPECIAL, "--config", config, *probe_options("net_probe"), *knock]
        kill_after(args, chosen.random() * 0.03)
        kill_after(["network", "up", "--config", configs[(turn + 1) % 3]], chosen.random() * 0.012)
    network("up").expect()
    nothing_passed(lab, tap)
    eq(steady.stdout, "knocked\n", "who answered")
    stop(steady)
    egress(["true"]).expect()
    lab.wait_for_end()


def killed_at(boundary, args):
    """Runs carrel ARGS under the stepper, which kills it there (0: nowhere). Gives the
    number of boundaries and the status."""
    report = os.path.join(here.directory, "report")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(report)
    r = start(args, raw=True, wrapper=[STEPPER, report, "0", "kill", str(boundary)], timeout=10).wait()
    return int(read(report).split()[0]), r


def sweep(lab, tap, args, most, before=lambda: None):
    """Kills carrel ARGS at boundaries spread over all there are, each time after
    before()."""
    before()
    whole, _ = killed_at(0, args)
    count = min(whole, most if SCALE <= 1 else most // 15)
    for i in range(count):
        before()
        killed_at(1 + i * whole // count, args)
    print(f"  {count} of {whole} boundaries")
    nothing_passed(lab, tap)


@net_case("carrel run killed at any boundary: nothing passes, and the next start has all it needs", ids=["N-33", "FI-02", "N-02"], timeout=90)
def run_killed(lab):
    tap = lab.tap()
    lab.answer(ports=[80])
    knock = ["sh", "-c", f"timeout 0.02 /probe/net_probe knock {METADATA} 80"]
    args = ["run", "--network", "egress", *SPECIAL, "--config", here.config, *probe_options("net_probe"), *knock]
    network("up").expect()
    before = own_part(lab)
    sweep(lab, tap, args, 150)
    egress(["true"]).expect()
    lab.wait_for_end()
    eq(own_part(lab), before, "rules and sets")
    network("down").expect()
    sweep(lab, tap, args, 60)
    eq(reach([("tcp", "8.8.8.8", 80), ("tcp", METADATA, 80)]), {("tcp", "8.8.8.8", 80): "reached 8.8.8.8", ("tcp", METADATA, 80): "ECONNREFUSED"})


@net_case("network up and down killed at any boundary: nothing passes, and the next one mends it", ids=["N-33", "FI-02"], timeout=90)
def network_killed(lab):
    tap = lab.tap()
    lab.answer(ports=[80])
    bare = forwarding(lab)
    other = lab.configure("other.conf", deny="8.8.8.0/24, 2a00::/32")
    network("up").expect()
    before = own_part(lab)
    steady = start_egress(["/probe/net_probe", "knock", METADATA, "80"], *probe_options("net_probe"), timeout=90)
    steady.expect_output("knocked")
    sweep(lab, tap, ["network", "up", "--config", other], 60, lambda: network("up").expect())
    eq(steady.stdout, "knocked\n", "who answered")
    stop(steady)
    lab.wait_for_end()
    for verb, opposite in (("down", "up"), ("up", "down")):
        sweep(lab, tap, ["network", verb, "--config", other], 40, lambda: network(opposite).expect())
    network("up").expect()
    eq(own_part(lab), before, "rules and sets")
    network("down").expect()
    eq(forwarding(lab), bare, "forwarding")


@net_case("a call of carrel's that fails: one line and status 125, or a network with all its rules", ids=["FI-01", "N-02"], timeout=90)
def failing_calls(lab):
    tap = lab.tap()
    lab.answer(ports=[80])
    command = ["/probe/net_probe", "reach", str(int(scaled(1000)))]
    targets = probe_input([("tcp", METADATA, 80), ("tcp", "8.8.8.8", 80)])

    def step(at, action):
        """How it went, how many calls there were, and which was the chosen one."""
        report = os.path.join(here.directory, "report")
        r = egress(command, *probe_options("net_probe"), input=targets, wrapper=[STEPPER, report, "0", action, str(at)], timeout=10)
        _, calls, nr, _ = read(report).split()
        return r, int(calls), int(nr)

    whole, calls, _ = step(0, "kill")
    good = whole.stdout
    eq(good, f"tcp {METADATA} 80 ECONNREFUSED\ntcp 8.8.8.8 80 reached 8.8.8.8\n")
    first = next(i for i in range(1, 99) if step(2 * i, "kill")[2] == SYS_fcntl)  # behind libc's own start
    count = min(calls - first, 240 if SCALE <= 1 else 12)
    wrong = []
    for i in range(count):
        at, number = first + i * (calls - first) // count, (errno.EPERM, errno.ENOMEM, errno.EIO, errno.ENOBUFS)[i % 4]
        r, _, nr = step(at, str(number))
        if r.stdout != good and not (r.stdout == "" and re.fullmatch("carrel: [^\n]*\n", r.stderr)):
            wrong.append(f"call {at} of {calls}, nr {nr}, {errno.errorcode[number]}: {r!r}")
    ok(not wrong, "\n".join(wrong[:10]))
    nothing_passed(lab, tap)
    egress(["true"]).expect()
    lab.wait_for_end()
