# SPDX-License-Identifier: Apache-2.0
"""What could upset the broker or hold it up: requests that cross each other, workers that
stop or die, descriptors that hurt whoever closes them, and streams without number."""

import contextlib
import os
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
