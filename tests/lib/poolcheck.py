# SPDX-License-Identifier: Apache-2.0
"""What must agree with each other while a daemon of a case's own is alive.

    check = Check(d)              # before the first sandbox
    check.settled([0, 1234])      # the clients whose sandboxes are there
"""

import base64
import os

import leakcheck
from daemon import Refused
from harness import *
from varlink import Closed

GONE = (Closed, OSError)  # a daemon that was killed in the middle of an answer


def shell(c, name, script, **kw):
    """Runs a script in the sandbox; gives result and standard output."""
    reply = c.call("Exec", name=name, argv=["sh", "-c", script], **kw)
    return reply["result"], base64.b64decode(reply.get("stdout") or "").decode()


def refused(error, function, *args, **kw):
    """The parameters of the error that the call must end with."""
    try:
        function(*args, **kw)
    except Refused as e:
        eq(e.name, error, f"error ({e})")
        return e.parameters
    raise AssertionError(f"{error} was expected")


def sandboxes(c):
    return {s["name"]: s for s in c.call("List", all=True)["sandboxes"]}


def wait_state(c, name, state, seconds=10):
    def look():
        s = sandboxes(c).get(name)
        return s and s["state"] == state and s

    return wait_until(look, seconds, f"{name} being {state}")


def daemon_processes(d, comm=None):
    """The broker's children that belong to the daemon: fronts, workers."""
    found = []
    for p in children(d.process.pid):
        name = comm_of(p)
        if name and name.startswith("carreld") and comm in (None, name):
            found.append(p)
    return found


def resident_kib(pid):
    """Anonymous memory: what a process holds alone."""
    return int(re.search(r"RssAnon:\s+(\d+)", read(f"/proc/{pid}/status")).group(1))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def front_of(d, known):
    """The front that is there since `known` were."""
    return wait_until(lambda: set(daemon_processes(d, "carreld-front")) - set(known), 5, "a front").pop()


def init_of(box):
    """Host pid of PID 1 of a sandbox, by its id."""
    for p in pids():
        with contextlib.suppress(OSError):
            if comm_of(p) == "carrel-init" and f"/{box}/" in read(f"/proc/{p}/cgroup"):
                return p
    return None


class Peak:
    """The most memory that a process has had from now on, in KiB."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/clear_refs", "w") as f:
            f.write("5")
        self.before = self.now()

    def now(self):
        return int(re.search(r"VmHWM:\s+(\d+)", read(f"/proc/{self.pid}/status")).group(1))

    def most(self, kib, what):
        grown = self.now() - self.before
        ok(grown <= kib, f"{what} has grown by {grown} KiB, more than {kib}")


class Held:
    """What a front and the broker have, to be held against what they have later."""

    def __init__(self, d, front):
        self.d, self.front, self.both = d, front, (front, d.process.pid)
        self.descriptors, self.memory = self.count(), [resident_kib(p) for p in self.both]
        self.peaks = [Peak(p) for p in self.both]

    def count(self):
        # Workers come when there is much to do, and stay: a descriptor each.
        workers = len(daemon_processes(self.d, "carreld-worker"))
        return descriptors(self.front), descriptors(self.d.process.pid) - workers

    def again(self, peak_kib, kept_kib):
        """As before, with at most `kept_kib` more, and never more than `peak_kib` more."""
        for peak, p in zip(self.peaks, self.both):
            peak.most(peak_kib, comm_of(p))
        try:
            wait_until(lambda: self.count() == self.descriptors, 5)
        except AssertionError:
            raise AssertionError(f"descriptors: {self.count()}, before {self.descriptors}") from None
        for p, had in zip(self.both, self.memory):
            ok(resident_kib(p) <= had + kept_kib, f"{comm_of(p)} keeps {resident_kib(p)} KiB, had {had}")


class Others:
    """Another client, of another uid: its commands run, one after the other."""

    def __init__(self, d, uid=4999):
        self.connection = d.connect(uid=uid)
        self.connection.call("Ensure", name="other")

    def are_served(self, times):
        for i in range(times):
            r = self.connection.call("Exec", name="other", argv=["sh", "-c", f"exit {i % 5}"])["result"]
            eq((r["reason"], r["exit_code"]), ("exit", i % 5))


class Check:
    """What the kernel and the state directory have, held against what clients are told."""

    def __init__(self, d):
        self.daemon = d
        self.snapshot = leakcheck.Snapshot(os.path.join(here.directory, "canaries"))

    def problems(self, uids):
        told, execs, stopped = set(), {}, 0
        for uid in uids:
            c = self.daemon.connect(uid)
            for s in c.call("List", all=True)["sandboxes"]:
                stopped += s["state"] == "stopped"
                if s["id"]:
                    told.add(s["id"])
                    execs[s["id"]] = {e["id"] for e in c.call("Execs", name=s["name"])["execs"] if e["running"]}
            c.close()
        found = []
        recorded = {os.path.basename(words[0]): words[0] for words in records().values() if words}
        if set(recorded) != told:
            found.append(f"recorded {sorted(recorded)}, told {sorted(told)}")
        groups = {os.path.basename(g) for g in self.snapshot.new_cgroups()}
        if groups - told:
            found.append(f"cgroups {sorted(groups - told)}")
        for name in told & set(recorded):
            inside = {g for g in os.listdir(recorded[name]) if os.path.isdir(os.path.join(recorded[name], g))}
            more = inside - execs[name] - {"init"}
            # One may be kept, empty, for the next command.
            kept = len(more) == 1 and not read(os.path.join(recorded[name], *more, "cgroup.procs"))
            if not inside >= execs[name] | {"init"} or more and not kept:
                found.append(f"{name} has groups {sorted(inside)}, commands {sorted(execs[name])}")
        definitions = os.listdir(os.path.join(here.state, "pool"))
        if len(definitions) != stopped:
            found.append(f"{len(definitions)} definitions of {stopped} stopped sandboxes")
        zombies = [p for p, state in descendants(self.daemon.process.pid).items() if state == "Z"]
        if zombies:
            found.append(f"zombies {zombies}")
        return found

    def settled(self, uids=(0,), seconds=10):
        """Waits until everything agrees."""
        last = []

        def look():
            try:
                last[:] = self.problems(uids)
            except FileNotFoundError as e:
                last[:] = [f"{e.filename} went while it was looked at"]
            return not last

        try:
            wait_until(look, seconds)
        except AssertionError:
            raise AssertionError("; ".join(last)) from None


def groups_of(box):
    """The cgroup directories of a sandbox by its id, v2 first."""
    found = [words for words in records().values() if words and words[0].endswith("/" + box)]
    ok(found, f"{box} is gone")
    return [word for word in found[0] if word.startswith("/")]
