# SPDX-License-Identifier: Apache-2.0
"""Floods: output without end, requests and connections by the thousand. What is flooded
stays small, everybody else is served meanwhile, and afterwards all is as it was."""

import base64
import random
import resource
import threading

from daemon import Daemon, INTERFACE, Refused
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "9"))
FAST = SCALE <= 1
FLOOD = 10**9 if FAST else 10**7
CAP = 256 << 10  # max_output

# Byte i of the flood is PATTERN[i % len(PATTERN)]: any part of it tells where it is from.
PATTERN_CODE = "import random; p = random.Random(3).randbytes(65521)"
PATTERN = random.Random(3).randbytes(65521)
WRITE_CODE = f"""{PATTERN_CODE}
import os, sys, threading
def flood(fd, size):
    at = 0
    while at < size:
        part = p[at % len(p):][:size - at]
        at += os.write(fd, part)
threads = [threading.Thread(target=flood, args=(fd, int(size))) for fd, size in ((1, sys.argv[1]), (2, sys.argv[2]))]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def part_of_flood(start, length):
    at = start % len(PATTERN)
    return (PATTERN * (length // len(PATTERN) + 2))[at : at + length]


@case("10^9 bytes on both streams for a client that does not read: counted to the byte, head and tail kept, no memory grown",
      ids=["FI-14", "E-37"], timeout=120)
def output_flood():
    with Daemon() as d:
        others = Others(d)
        known = daemon_processes(d, "carreld-front")
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        watch = d.connect(uid=4321)
        peaks = [(Peak(front_of(d, known)), 4 * CAP + (2 << 20) >> 10, "the front"), (Peak(d.process.pid), 1024, "the broker")]
        sizes = FLOOD, FLOOD // 7
        argv = ["/usr/bin/python3", "-c", WRITE_CODE, *map(str, sizes)]
        c.client.send(f"{INTERFACE}.Exec", {"name": "a", "argv": argv, "max_output": CAP}, more=True)
        wait_until(lambda: sandboxes(watch)["a"]["execs"] == 1, 10, "the flood begun")
        others.are_served(5)
        wait_until(lambda: sandboxes(watch)["a"]["execs"] == 0, 90, "the flood over, which nobody has read")
        for peak, kib, what in peaks:
            peak.most(kib, what)
        got, result = {"stdout": b"", "stderr": b""}, None
        while not result:
            reply = c.client.receive()
            for stream in got:
                got[stream] += base64.b64decode(reply.get(stream) or "")
            result = reply.get("result")
        eq((result["reason"], result["exit_code"]), ("exit", 0))
        eq(sum(map(len, got.values())) + result["truncated"], sum(sizes), "bytes")
        for stream, size in zip(got, sizes):
            data = got[stream]
            eq(len(data), CAP, stream)
            ok(data[: CAP // 2] == part_of_flood(0, CAP // 2), f"head of {stream}")
            ok(data[CAP // 2 :] == part_of_flood(size - CAP // 2, CAP // 2), f"tail of {stream}")


@case("a flood of single bytes, and one of a detached command: every byte is counted, the last ones are there",
      ids=["FI-14", "E-37"], timeout=60)
def small_writes():
    count = 200_000 if FAST else 20_000
    code = f"{PATTERN_CODE}\nimport os\nfor i in range({count}): os.write(1, p[i % len(p):][:1])"
    with Daemon() as d:
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        reply = c.call("Exec", name="a", argv=["/usr/bin/python3", "-c", code], max_output=4096)
        data = base64.b64decode(reply["stdout"])
        eq(len(data) + reply["result"]["truncated"], count, "bytes")
        ok(data == part_of_flood(0, 2048) + part_of_flood(count - 2048, 2048), "head and tail")
        size = FLOOD // 10
        front = Peak(daemon_processes(d, "carreld-front")[0])
        x = c.call("Exec", name="a", argv=["/usr/bin/python3", "-c", WRITE_CODE, str(size), "0"], detach=True)["started"]
        eq(c.call("Wait", name="a", exec=x, keep=True)["result"]["exit_code"], 0)

        def output(offset):
            return c.call("Output", name="a", exec=x, stream="stdout", offset=offset)

        last = wait_until(lambda: (lambda r: r["end"] and r)(output(0)), 10, "its last byte")
        data = base64.b64decode(last["data"])
        eq((last["next"], last["start"] + len(data)), (size, size))
        ok(len(data) == min(size, 1 << 20) and data == part_of_flood(last["start"], len(data)), "what is left of it")
        # Two rings, and once what a reply is made of.
        front.most(8 << 10, "the front")


@case("floods that do not end hold nobody up: not those of the same uid, not others; a cancel ends them",
      ids=["FI-14", "E-37", "E-48"], timeout=60)
def endless_floods():
    with Daemon() as d:
        others = Others(d)
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        floods = []
        for script in ("exec yes", "exec cat /dev/zero >&2", "while :; do printf x; done"):
            deaf = d.connect(uid=4321)
            deaf.client.send(f"{INTERFACE}.Exec", {"name": "a", "argv": ["sh", "-c", script], "max_output": CAP}, more=True)
            floods.append(deaf)
        x = c.call("Exec", name="a", argv=["yes"], detach=True)["started"]
        wait_until(lambda: sandboxes(c)["a"]["execs"] == 4, 5, "all floods begun")
        # Others' commands, and those of the flooded front's, from the beginning to the end.
        others.are_served(10)
        c.call("Ensure", name="b")
        for i in range(5):
            eq(shell(c, "b", f"echo {i}")[1], f"{i}\n")
        eq(sandboxes(c)["a"]["execs"], 4, "floods that run")
        c.call("Cancel", name="a", exec=x)
        eq(c.call("Wait", name="a", exec=x)["result"]["reason"], "cancelled")
        for deaf in floods:
            deaf.close()
        wait_until(lambda: sandboxes(c)["a"]["execs"] == 0, 5, "the floods ended")


# --- requests --------------------------------------------------------------------------


class Flood:
    """Requests on connections of one client, as many as there is room for, until stop()
    and at least `least` of them have been answered."""

    def __init__(self, connections, messages, least):
        self.connections, self.messages, self.least = connections, messages, least
        self.answered, self.over, self.error = 0, threading.Event(), None
        self.threads = [threading.Thread(target=self.run, args=(c,), daemon=True) for c in connections]

    def run(self, c):
        r = random.Random(f"{SEED} {self.connections.index(c)}")
        try:
            while not self.over.is_set() or self.answered < self.least:
                batch = r.sample(self.messages, min(100, len(self.messages)))
                c.client.sock.sendall(b"".join(batch))
                # Its replies are read as bytes: the flood is not to wait for Python.
                left = len(batch)
                while left:
                    data = c.client.sock.recv(1 << 18)
                    ok(data, "the connection was closed")
                    left -= data.count(b"\0")
                self.answered += len(batch)
        except (OSError, AssertionError) as e:
            self.error = e

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()
        if self.error:
            raise self.error


def message(method, **parameters):
    return json.dumps({"method": f"{INTERFACE}.{method}", "parameters": parameters}).encode() + b"\0"


@case("10^5 requests in any order from one uid: another's commands run meanwhile, memory and descriptors go back",
      ids=["FI-16", "E-58", "E-54"], timeout=120)
def request_flood():
    with Daemon() as d:
        check = Check(d)
        others = Others(d)
        known = daemon_processes(d, "carreld-front")
        c = d.connect(uid=4321)
        names = [f"n{i}" for i in range(5)]
        for name in names:
            c.call("Ensure", name=name)
        messages = [message("Info"), message("List", all=True), message("Metrics"), message("Stop", name="none"),
                    message("Nonsense"), message("Touch", name=1), message("Ensure", name=""), message("Execs", name="n0")]
        for name in names:
            messages += [message("Ensure", name=name), message("Touch", name=name), message("Pause", name=name),
                         message("Unpause", name=name), message("Ensure", name=name, hostname="else")]
        messages *= 4
        held = Held(d, front_of(d, known))
        connections = [d.connect(uid=4321) for _ in range(24)]
        least = 10**5 if FAST else 2000
        with Flood(connections, messages, least) as flood:
            others.are_served(20)
            # Served while it lasts, by construction: it ends when the others are done.
            eq(flood.error, None)
        ok(flood.answered >= least, f"{flood.answered} answers")
        for each in connections:
            each.close()
        held.again(4096, 1024)
        eq({s["generation"] for s in sandboxes(c).values()}, {1})
        check.settled([4321, 4999])
        d.remove_all([4321, 4999])


def connect_many(d, uid, count):
    """Connections of one uid, made by one process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            for _ in range(count):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                s.connect(d.socket)
                socket.send_fds(theirs, [b"x"], [s.fileno()])
                s.close()
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    found = []
    while True:
        data, fds, _, _ = socket.recv_fds(ours, 1, 1)
        if not data:
            break
        found += [socket.socket(fileno=fd) for fd in fds]
    ours.close()
    eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    return found


@case("10^3 connections from one uid: as many as it may have are kept, the rest hear Busy; others are served, all goes back",
      ids=["FI-16", "E-58", "E-54"], timeout=60)
def connection_flood():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    count = 1000 if FAST else 300
    with Daemon() as d:
        others = Others(d)
        known = daemon_processes(d, "carreld-front")
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        held = Held(d, front_of(d, known))
        many = connect_many(d, 4321, count)
        eq(len(many), count)
        others.are_served(3)
        busy = kept = 0
        for s in many:
            s.settimeout(scaled(20))
            with contextlib.suppress(BrokenPipeError):
                s.sendall(message("Touch", name="a"))
        for s in many:
            data = b""
            while not data.endswith(b"\0"):
                part = s.recv(4096)
                ok(part, f"closed after {data!r}")
                data += part
            answer = json.loads(data[:-1])
            if answer.get("error") == f"{INTERFACE}.Busy":
                eq(answer["parameters"], {"what": "connections", "limit": 256})
                busy += 1
            else:
                eq(answer, {"parameters": {}})
                kept += 1
        eq((kept, busy), (255, count - 255), "kept, turned away")
        others.are_served(3)
        # All of them begin a message and do not end it; whoever is there already goes on.
        for s in many:
            with contextlib.suppress(OSError):
                s.sendall(message("Touch", name="a" * 100)[:-50])
        others.are_served(3)
        eq(shell(c, "a", "echo served")[1], "served\n")
        for s in many:
            s.close()
        held.again(8192, 4096)
        d.connect(uid=4321).call("Info")
        d.remove_all([4321, 4999])


@case("duplicate ensures in any order make each sandbox once; beyond a ceiling, the answer is Busy and what it is that is full",
      ids=["FI-16", "E-58", "E-60"], timeout=90)
def ensure_flood():
    limits = "max_sandboxes = 6\nmax_execs = 10\nmax_definitions = 8\nmax_waiters = 12\n"
    with Daemon(f"[client any]\nuser = any\n{limits}") as d:
        check = Check(d)
        others = Others(d)
        c = d.connect(uid=4321)
        names = [f"n{i}" for i in range(6)]
        order = names * (40 if FAST else 6)
        random.Random(SEED).shuffle(order)
        made, ids, refusals, lock = [], {}, [], threading.Lock()

        def caller(mine):
            connection = d.connect(uid=4321)
            for name in mine:
                while True:
                    try:
                        reply = connection.call("Ensure", name=name)
                    except Refused as e:
                        with lock:
                            refusals.append((e.name, e.parameters))
                        continue
                    break
                with lock:
                    ids.setdefault(name, set()).add(reply["sandbox"]["id"])
                    made.extend([name] if reply["created"] else [])
            connection.close()

        threads = [threading.Thread(target=caller, args=(order[i::24],)) for i in range(24)]
        for t in threads:
            t.start()
        others.are_served(5)
        for t in threads:
            t.join()
        eq(sorted(made), names, "made")
        eq({len(each) for each in ids.values()}, {1}, "sandboxes of each name")
        ok(all(r == ("Busy", {"what": "requests", "limit": 12}) for r in refusals), f"{refusals[:3]}")
        for name in names:
            c.call("Exec", name=name, argv=["sleep", "1000"], detach=True)
        for i in range(300 if FAST else 20):
            eq(refused("Busy", c.call, "Ensure", name=f"more{i}"), {"what": "sandboxes", "limit": 6})
        for i in range(300 if FAST else 20):
            begin = c.call if i < 4 else lambda *a, **k: refused("Busy", c.call, *a, **k)
            answer = begin("Exec", name="n0", argv=["sleep", "1000"], detach=True)
            ok(i < 4 or answer == {"what": "execs", "limit": 10}, f"{i}: {answer}")
        others.are_served(3)
        check.settled([4321, 4999])
        d.remove_all([4321, 4999])
        check.settled([4321, 4999])
