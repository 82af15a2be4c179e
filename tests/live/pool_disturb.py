# SPDX-License-Identifier: Apache-2.0
"""What could upset the broker or hold it up: requests that cross each other, workers that
stop or die, descriptors that hurt whoever closes them, and streams without number."""

import contextlib
import os
import random
import signal
import socket
import struct
import threading
import time

from daemon import Daemon, Refused
from harness import *


def workers(d):
    """Processes of the daemon that do what takes long."""
    found = []
    for p in pids():
        with contextlib.suppress(OSError):
            # What stands behind the name, which is in brackets, begins with the state.
            state, parent = read(f"/proc/{p}/stat").rpartition(") ")[2].split()[:2]
            if comm_of(p) == "carreld-worker" and int(parent) == d.process.pid and state != "Z":
                found.append(p)
    return found


@contextlib.contextmanager
def stopped_workers(d):
    """Nothing that a worker does comes to an end meanwhile."""
    held = workers(d)
    ok(held, "no workers")
    for p in held:
        os.kill(p, signal.SIGSTOP)
    try:
        yield
    finally:
        for p in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGCONT)


def refusal(c, method, **parameters):
    """The error that the daemon answers with; None: it does not."""
    try:
        c.call(method, **parameters)
    except Refused as e:
        return e
    return None


class Calling:
    """A call on a connection of its own, whose end somebody else waits for."""

    def __init__(self, d, method, **parameters):
        self.connection = d.connect()
        self.reply = self.error = None
        self.thread = threading.Thread(target=self.run, args=(method, parameters))
        self.thread.start()

    def run(self, method, parameters):
        try:
            self.reply = self.connection.call(method, **parameters)
        except Exception as e:  # whatever it is: the case looks at it
            self.error = e

    def end(self):
        self.thread.join(scaled(15))
        ok(not self.thread.is_alive(), "no answer")
        self.connection.close()
        return self.reply

    def leave(self):
        """Goes away in the middle."""
        self.connection.client.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(scaled(15))
        self.connection.close()


def waiting_exec(d, c):
    """An exec that waits for its sandbox, which is being made by nobody."""
    maker = Calling(d, "Ensure", name="a")
    wait_until(lambda: c.call("List", all=True)["sandboxes"], 5, "the sandbox in the list")
    asker = Calling(d, "Exec", name="a", argv=["true"])
    wait_until(lambda: c.call("Execs", name="a")["execs"], 5, "the exec in the list")
    return maker, asker, c.call("Execs", name="a")["execs"][0]["id"]


@case("a command that waits for its sandbox can be cancelled by another connection: who asked for it hears so",
      ids=["E-48"], timeout=60)
def cancel_waiting():
    with Daemon() as d:
        c = d.connect()
        with stopped_workers(d):
            maker, asker, x = waiting_exec(d, c)
            waiter = Calling(d, "Wait", name="a", exec=x)
            time.sleep(0.2)
            c.call("Cancel", name="a", exec=x)
            eq(asker.end()["result"]["reason"], "cancelled")
            eq(waiter.end()["result"]["reason"], "cancelled")
        eq(maker.end()["sandbox"]["state"], "running")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@case("who waits for a command that is given up before it began hears that there is none", ids=["E-48"], timeout=60)
def waiter_outlives_asker():
    with Daemon() as d:
        c = d.connect()
        with stopped_workers(d):
            maker, asker, x = waiting_exec(d, c)
            waiter = Calling(d, "Wait", name="a", exec=x)
            time.sleep(0.2)
            asker.leave()
            waiter.end()
            eq(waiter.error.name, "NoSuchExec")
        maker.end()
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@case("waiting for, signalling or cancelling a command that is none is an error and nothing else", timeout=30)
def no_such_exec():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        for method, more in ("Wait", {}), ("Cancel", {}), ("Kill", {"signal": 9}):
            eq(refusal(c, method, name="a", exec="x99", **more).name, "NoSuchExec")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@case("workers that were killed are replaced: nobody notices but who was being served by one", timeout=60)
def killed_workers():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        for _ in range(3):
            killed = workers(d)
            for p in killed:
                os.kill(p, signal.SIGKILL)
            wait_until(lambda: not set(killed) & set(workers(d)), 5, "the workers to be waited for")
            eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
        with stopped_workers(d):
            asker = Calling(d, "Exec", name="a", argv=["true"])
            wait_until(lambda: c.call("Execs", name="a")["execs"], 5, "the exec in the list")
            time.sleep(0.2)
            for p in workers(d):
                os.kill(p, signal.SIGKILL)
            eq(asker.end()["result"]["reason"], "start_failed")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
        eq(c.call("List")["sandboxes"][0]["execs"], 0, "execs that are still counted")


@case("a descriptor that can make whoever closes it wait is refused", ids=["E-56"], timeout=30)
def slow_to_close():
    with Daemon() as d, socket.socket() as s, open("/dev/null", "r+b") as null:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
        c = d.connect()
        c.call("Ensure", name="a")
        fds = [s.fileno(), null.fileno(), null.fileno()]
        eq(refusal(c, "Exec", name="a", argv=["true"], descriptors=3, fds=fds).parameters, {"parameter": "descriptors"})
        fds = [null.fileno()] * 3
        eq(c.call("Exec", name="a", argv=["true"], descriptors=3, fds=fds)["result"]["exit_code"], 0)


@case("a client has only so many streams of events and figures; those that it has go on", timeout=60)
def streams():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        held = []
        for _ in range(16):
            one = d.connect()
            stream = one.more("Stats", interval=200)
            next(stream)
            held.append((one, stream))
        for method, parameters in ("Stats", {"interval": 200}), ("Events", {}):
            one = d.connect()
            try:
                next(one.more(method, **parameters))
                raise AssertionError(f"another stream of {method}")
            except Refused as e:
                eq((e.name, e.parameters), ("Busy", {"what": "requests", "limit": 16}))
            one.close()
        eq(len(c.call("Stats")["stats"]), 1)
        for one, stream in held:
            eq(next(stream)["stats"][0]["name"], "a")
            one.close()
        one = d.connect()
        wait_until(lambda: refusal(one, "Stats") is None, 5, "room for another one")
        eq(next(one.more("Stats", interval=200))["stats"][0]["name"], "a")
        one.close()


# --- signals ---------------------------------------------------------------------------


def events_of(c, kind, name):
    return [e for e in c.call("Events")["events"] if (e["type"], e["name"]) == (kind, name)]


def connect_to_new_front(d, uid):
    """A connection, and the process that serves it."""
    d.connect().call("Info")
    before = set(children(d.process.pid))
    c = d.connect(uid=uid)
    c.call("Info")
    front, = {p for p in set(children(d.process.pid)) - before if comm_of(p) == "carreld-front"}
    return c, front


@case("the broker stopped for six seconds: what was due meanwhile comes then, each thing once; what was asked is answered",
      ids=["FI-06", "FI-21"], timeout=90)
def broker_stopped():
    with Daemon("[profile default]\nmax_duration = never\n") as d:
        c = d.connect()
        for name, more in (("a", {}), ("idle", {"idle_timeout": 1000}), ("old", {"max_duration": int(scaled(2000))})):
            c.call("Ensure", name=name, **more)
        c.call("Exec", name="old", argv=["sleep", "1000"], detach=True)
        due = c.call("Exec", name="a", argv=["sleep", "1000"], timeout=int(scaled(1000)), detach=True)["started"]
        long = c.call("Exec", name="a", argv=["sleep", "1000"], timeout=10**6, detach=True)["started"]
        ending = Calling(d, "Exec", name="a", argv=["sh", "-c", "sleep 0.5; exit 3"])
        wait_until(lambda: c.call("List")["sandboxes"][0]["execs"] == 3, 5, "the commands running")
        d.process.send_signal(signal.SIGSTOP)
        asked = [Calling(d, "Exec", name="a", argv=["sh", "-c", f"exit {i}"], timeout=int(scaled(5000))) for i in range(8)]
        asked += [Calling(d, "Touch", name="a") for i in range(100)]
        # An end by itself, a deadline, an idle time, a longest life.
        time.sleep(scaled(2) + 4)
        d.process.send_signal(signal.SIGCONT)
        eq(c.call("Wait", name="a", exec=due)["result"]["reason"], "timeout")
        eq(ending.end()["result"]["exit_code"], 3, "it ended by itself")
        for i, a in enumerate(asked):
            reply = a.end()
            ok(a.error is None, f"{a.error}")
            ok(i >= 8 or reply["result"]["exit_code"] == i, f"{reply}")
        for name, why in (("idle", "idle"), ("old", "max_duration")):
            wait_until(lambda: events_of(c, "stop", name), 10, f"the end of {name}")
            eq([e.get("why") for e in events_of(c, "stop", name)], [why])
        eq([e["id"] for e in c.call("Execs", name="a")["execs"]], [long], "what is not due runs on")
        for x in (due, ending.reply["result"]["exec"]):
            eq(len([e for e in events_of(c, "exec_end", "a") if e["exec"] == x]), 1, "ends")


@case("a front stopped while it carries a flood: others are served, deadlines hold; continued, it tells all of it",
      ids=["FI-06", "E-58"], timeout=60)
def front_stopped():
    with Daemon() as d:
        other = d.connect(uid=4999)
        other.call("Ensure", name="o")
        c, front = connect_to_new_front(d, 4321)
        c.call("Ensure", name="a")
        c.client.send("io.carrel.Pool.Exec", {"name": "a", "argv": ["yes"], "timeout": int(scaled(700))})
        time.sleep(scaled(0.2))  # more than is kept of it
        os.kill(front, signal.SIGSTOP)
        try:
            # Each is told to the broker's clients of that uid, who do not listen now.
            for i in range(30):
                eq(other.call("Exec", name="o", argv=["sh", "-c", f"exit {i}"])["result"]["exit_code"], i)
            group = [w[0] for w in records().values() if not w[0].endswith(other.call("List")["sandboxes"][0]["id"])][0]
            wait_until(lambda: "populated 0" in read(os.path.join(group, "x1", "cgroup.events")) if
                       os.path.exists(os.path.join(group, "x1")) else True, 5, "the end of what is due")
        finally:
            os.kill(front, signal.SIGCONT)
        result = c.client.receive()["result"]
        eq((result["reason"], result["exit_code"]), ("timeout", 124))
        ok(result["truncated"] > 0, "it was a flood")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@case("events by the thousand for a front that stands still: they wait, the front and its clients live on",
      ids=["FI-06", "E-58"], timeout=60)
def events_pile_up():
    names, each = [f"n{i}" for i in range(4)], 31 if SCALE <= 1 else 5
    with Daemon("[client any]\nuser = any\nmax_execs = 200\n") as d:
        c, front = connect_to_new_front(d, 4321)
        for name in names:
            c.call("Ensure", name=name)
        listeners = [d.connect(uid=4321).client for _ in range(16)]
        for one in listeners:
            one.send("io.carrel.Pool.Events", {}, more=True)
        fifo = "while [ ! -e /tmp/go ]; do sleep 0.1; done"
        for name in names:
            for _ in range(each):
                c.call("Exec", name=name, argv=["sh", "-c", fifo], detach=True)
        for name in names:
            # All of them end while nobody listens.
            c.call("Exec", name=name, argv=["sh", "-c", "(sleep 0.3; touch /tmp/go) & sleep 1000"], detach=True)
        os.kill(front, signal.SIGSTOP)
        groups = [w[0] for w in records().values()]
        wait_until(lambda: all(len([g for g in os.listdir(g) if g.startswith("x")]) <= 2 for g in groups), 20, "their ends")
        os.kill(front, signal.SIGCONT)
        eq(c.call("Info")["sandboxes"], len(names), "the front answers")
        last = c.call("Events")["events"][-1]["number"]
        for one in listeners:
            told = []
            while not told or told[-1] < last:
                told += [e["number"] for e in one.receive()["events"]]
            eq(told, list(range(told[0], told[0] + len(told))), "events")


@case("a payload that stops all it can reach is ended by its deadline and by Stop all the same", ids=["FI-06", "E-48"], timeout=60)
def payload_stops_itself():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        stop = "(setsid sh -c 'kill -STOP $$' &); kill -STOP -1; kill -STOP $$"
        r = c.call("Exec", name="a", argv=["sh", "-c", stop], timeout=int(scaled(300)))["result"]
        eq((r["reason"], r["exit_code"]), ("timeout", 124))
        x = c.call("Exec", name="a", argv=["sh", "-c", stop], detach=True)["started"]
        group = os.path.join(*[w[0] for w in records().values()], x)
        wait_until(lambda: {stat_fields(p)[1] for p in map(int, read(f"{group}/cgroup.procs").split())} == {"T"}, 5, "all stopped")
        c.call("Stop", name="a", grace=int(scaled(200)))
        eq(c.call("Wait", name="a", exec=x)["result"]["reason"], "stopped")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@case("Ctrl-C and the end of a terminal reach the broker alone: it reloads, or ends what runs within its bound, and once",
      ids=["FI-20", "E-48"], timeout=60)
def signals_of_a_terminal():
    with Daemon(wrapper=("setsid",)) as d:
        group = d.process.pid
        eq(os.getpgid(group), group)
        c = d.connect(uid=4321)
        box = c.call("Ensure", name="a")["sandbox"]["id"]
        fronts = {p for p in children(group) if comm_of(p) == "carreld-front"}
        ok(fronts and workers(d), "fronts and workers")
        # A reload brings new workers; an end needs those that there are.
        wait_until(lambda: not [p for p in descendants(group) if os.getpgid(p) == group], 5, "nobody else in its group")
        stream = d.connect(uid=4321)
        stream.client.send("io.carrel.Pool.Exec", {"name": "a", "argv": ["sh", "-c", "sleep 0.5; exit 5"]})
        for i in range(30):
            for sig in (signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
                os.killpg(group, sig)
            if i % 10 == 0:
                c.call("Ensure", name=f"b{i}")
        eq(stream.client.receive()["result"]["exit_code"], 5)
        ok(fronts <= set(children(group)), "fronts have gone")
        ok("reload.done" in d.log(), "it has reloaded")
        c.call("Exec", name="a", argv=["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 0.1; done"], detach=True)
        started = time.monotonic()
        while d.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, random.choice((signal.SIGTERM, signal.SIGINT)))
            ok(time.monotonic() - started < scaled(5) + 1, "it does not end")
            time.sleep(0.005)
        eq(d.process.returncode, 0)
        d.start()
        c = d.connect(uid=4321)
        eq({s["name"]: s["id"] for s in c.call("List")["sandboxes"]}["a"], box)
        eq(c.call("Execs", name="a")["execs"], [])
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
