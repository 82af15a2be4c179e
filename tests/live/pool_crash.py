# SPDX-License-Identifier: Apache-2.0
"""The daemon's processes, PID 1 and commands, killed and stopped at any moment."""

import random
import threading

from daemon import INTERFACE, Daemon, Refused
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "4"))
STORM = "for i in 1 2 3; do (setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 0.1; done' &); done; sleep 1000"


class Owner(threading.Thread):
    """A client with sandboxes of its own, and what it knows of each: the id it was told
    last, or None where an answer is missing."""

    def __init__(self, d, number, seed):
        super().__init__(daemon=True)
        self.d, self.random = d, random.Random(seed)
        self.names = [f"box-{number}-{i}" for i in range(2)]
        self.known = {}
        self.over = False
        self.failure = None
        self.calls = 0

    def one(self, c):
        name = self.random.choice(self.names)
        what = self.random.choice(("ensure", "ensure", "exec", "exec", "exec", "detach", "stop", "remove"))
        self.calls += 1
        try:
            if what == "ensure":
                self.known[name] = c.call("Ensure", name=name)["sandbox"]["id"]
            elif name not in self.known:
                return
            elif what == "exec":
                c.call("Exec", name=name, argv=["true"])
            elif what == "detach":
                c.call("Exec", name=name, argv=["sh", "-c", STORM], detach=True)
            else:
                # Until the answer is there it may be one or the other.
                self.known.pop(name)
                c.call(*(("Stop",) if what == "stop" else ("Remove",)), name=name, **({"grace": 0} if what == "stop" else {"force": True}))
        except Refused as e:
            ok(e.name in ("NoSuchSandbox", "Busy"), f"{what} {name}: {e}")

    def run(self):
        try:
            c = self.d.connect()
            while not self.over:
                self.one(c)
        except GONE:
            pass
        except AssertionError as e:
            self.failure = e


def check_after_restart(d, owners):
    """Whatever was ensured lives, as it was, and can be ensured at once."""
    c = d.connect()
    now = sandboxes(c)
    for owner in owners:
        ok(not owner.failure, f"{owner.failure}")
        for name, box in owner.known.items():
            ok(name in now, f"{name} is lost")
            # A command starts what was stopped: then the id is a new one.
            if now[name]["state"] == "running":
                ok(init_of(now[name]["id"]), f"{name} has no PID 1")
            started = time.monotonic()
            again = c.call("Ensure", name=name)["sandbox"]
            ok(time.monotonic() - started < scaled(1), f"{name} took too long")
            if box and now[name]["id"] == box:
                eq(again["id"], box, name)
    c.close()


@case("kill -9 of the broker at random moments under load: nothing ensured is lost, nothing is left", ids=["FI-02", "FI-03", "R-06"], timeout=120)
def broker_killed_under_load():
    print(f"  seed {SEED}")
    moments, known, calls = random.Random(SEED), {}, 0
    with Daemon() as d:
        check = Check(d)
        for turn in range(20 if SCALE <= 1 else 4):
            owners = [Owner(d, i, SEED * 1000 + turn * 10 + i) for i in range(4)]
            for owner in owners:
                owner.known = {n: known[n] for n in owner.names if n in known}
                owner.start()
            time.sleep(moments.uniform(0.02, 0.2) * SCALE)
            d.kill()
            for owner in owners:
                owner.join(scaled(5))
                ok(not owner.is_alive(), "a client hangs")
                calls += owner.calls
            d.start()
            check_after_restart(d, owners)
            c = d.connect()
            known = {name: s["id"] for name, s in sandboxes(c).items()}
            eq([e for n in known for e in c.call("Execs", name=n)["execs"]], [], "commands of the killed daemon")
            c.close()
            check.settled()
        ok(calls > 100, f"only {calls} calls")
        d.remove_all()
        check.settled()


def scenario(d):
    """A bit of everything; Closed or OSError when the daemon goes."""
    c = d.connect()
    c.call("Ensure", name="kept")
    c.call("Exec", name="kept", argv=["true"])
    c.call("Exec", name="kept", argv=["sh", "-c", STORM], detach=True)
    c.call("Ensure", name="going")
    c.call("Pause", name="going")
    c.call("Unpause", name="going")
    c.call("Stop", name="going", grace=0)
    c.call("Exec", name="going", argv=["true"])
    c.call("Remove", name="going", force=True)
    c.call("Stop", name="kept", grace=0)
    c.call("Ensure", name="kept")
    c.call("Reap")


class Stepped(Daemon):
    """Killed by the stepper at the boundary of a system call of the broker's."""

    def __init__(self, at, other):
        super().__init__()
        self.report = os.path.join(here.directory, "report")
        stepper = os.path.join(BUILD, "probes", "stepper")
        if not os.path.exists(stepper):
            raise Skip("the stepper is not built")
        self.wrapper = [stepper, self.report, "0", "kill", str(at)]
        self.directory, self.socket, unused = other.directory, other.socket, self.directory
        os.rmdir(unused)

    def run(self):
        """Its whole life; gives how many boundaries there were."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.report)
        try:
            self.start()
            scenario(self)
            for p in children(self.process.pid):
                os.kill(p, signal.SIGTERM)
        except (AssertionError, *GONE) as e:
            if isinstance(e, AssertionError) and "carreld ended" not in str(e):
                raise
        self.process.wait(scaled(20))
        return int(read(self.report).split()[0])


@case("the broker killed at boundaries of its system calls, from its start to its end", ids=["FI-02", "R-01", "R-04"], timeout=150)
def broker_killed_at_calls():
    with Daemon() as d:
        d.stop()
        check = Check(d)
        whole = Stepped(0, d).run()
        ok(whole > 500, f"the stepper saw {whole} boundaries")
        count = 40 if SCALE <= 1 else 5
        offset = random.Random(SEED).random()
        for i in range(count):
            at = int((i + offset) * whole / count) + 1
            seen = Stepped(at, d).run()
            d.start()
            try:
                c = d.connect()

                def works():
                    # It may be dying: the last that the killed daemon has done.
                    c.call("Ensure", name="kept")
                    return c.call("Exec", name="kept", argv=["true"])["result"]["exit_code"] == 0

                wait_until(works, 1, "a command in it")
                check.settled()
                c.close()
            except (AssertionError, Refused) as e:
                raise AssertionError(f"boundary {at} of {seen}: {e}") from None
            d.kill()
        print(f"  {count} of {whole} boundaries")
        d.start()
        d.remove_all()
        check.settled()


@case("workers killed under load: errors with a name, and nothing is left, without a restart", ids=["FI-02", "FI-04"], timeout=90)
def workers_killed():
    def tolerant(owner, c):
        with contextlib.suppress(AssertionError):
            Owner.one(owner, c)

    with Daemon("[profile default]\nwarm = 2\n") as d:
        owners = [Owner(d, i, SEED + i) for i in range(4)]
        moments, killed = random.Random(SEED), 0
        for owner in owners:
            owner.one = tolerant.__get__(owner)
            owner.start()
        end = time.monotonic() + scaled(4)
        while time.monotonic() < end:
            for p in daemon_processes(d, "carreld-worker"):
                if moments.random() < 0.5:
                    with contextlib.suppress(OSError):
                        os.kill(p, signal.SIGKILL)
                        killed += 1
            time.sleep(moments.uniform(0.005, 0.08))
        for owner in owners:
            owner.over = True
        for owner in owners:
            owner.join(scaled(20))
            ok(not owner.is_alive(), "a client hangs")
        ok(killed > 20, f"{killed} workers killed")
        c = d.connect()
        ok(c.call("Ensure", name="after")["created"])
        eq(c.call("Exec", name="after", argv=["true"])["result"]["exit_code"], 0)
        c.call("Shutdown", remove=True)
        wait_until(lambda: not sandboxes(c), 20, "all removed")
        # The spares are in nobody's list.
        wait_until(lambda: len(records()) == 2, 20, "two spares and nothing else")
        eq({d_ for d_ in os.listdir(os.path.join(here.state, "pool"))}, set())


@case("PID 1 killed again and again while commands run: seen at once, started anew", ids=["FI-04", "FI-05"], timeout=60)
def inits_killed():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        for i in range(15 if SCALE <= 1 else 3):
            box = c.call("Ensure", name="a")["sandbox"]
            number = box["generation"]
            x = c.call("Exec", name="a", argv=["sh", "-c", STORM], detach=True)["started"]
            os.kill(init_of(box["id"]), signal.SIGKILL)
            # Who learns first of its end says why.
            ok(c.call("Wait", name="a", exec=x)["result"]["reason"] in ("stopped", "signal"))
            if i % 2:
                wait_state(c, "a", "stopped", 2)
            else:
                # One that was being started in it ends with it, the next one runs.
                ok(c.call("Exec", name="a", argv=["true"])["result"]["reason"] in ("exit", "stopped", "signal"))
                wait_state(c, "a", "running" if sandboxes(c)["a"]["generation"] > number else "stopped", 2)
                eq(c.call("Exec", name="a", argv=["true"])["result"]["reason"], "exit")
                eq(sandboxes(c)["a"]["generation"], number + 1)
                os.kill(init_of(sandboxes(c)["a"]["id"]), signal.SIGKILL)
                wait_state(c, "a", "stopped", 2)
        check.settled()
        d.remove_all()
        check.settled()


@contextlib.contextmanager
def held_in_death(init):
    """Whatever kills it, PID 1 cannot end before the block does: one in its namespace has a
    parent outside that does not wait for it."""
    ready, release = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        os.close(release[1])
        fd = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY)
        if libc.setns(fd, 0x20000000) < 0:
            os._exit(1)
        child = os.fork()
        if child == 0:
            while True:
                time.sleep(1000)
        os.write(ready[1], b"x")
        os.read(release[0], 1)
        os.waitpid(child, 0)
        os._exit(0)
    os.close(release[0])
    eq(os.read(ready[0], 1), b"x")
    try:
        yield
    finally:
        os.close(release[1])
        eq(os.waitpid(parent, 0)[1], 0, "the one that held it")
        os.close(ready[0])
        os.close(ready[1])


@case("a command for a sandbox whose PID 1 is dying runs in the next generation", ids=["FI-04", "FI-05"], timeout=60)
def exec_while_dying():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]
        init = init_of(box["id"])
        with held_in_death(init):
            os.kill(init, signal.SIGKILL)
            # The flags of the task: PF_EXITING.
            wait_until(lambda: int(read(f"/proc/{init}/stat").rpartition(")")[2].split()[6]) & 4, 5, "the end begun")
            eq(sandboxes(c)["a"]["state"], "running", "nobody has been told")
            r = c.call("Exec", name="a", argv=["sh", "-c", "exit 7"])["result"]
            eq((r["reason"], r["exit_code"]), ("exit", 7))
        eq(sandboxes(c)["a"]["generation"], 2)
        # The broker hears of both at once, of the command first.
        init = init_of(sandboxes(c)["a"]["id"])
        d.process.send_signal(signal.SIGSTOP)
        c.client.send(f"{INTERFACE}.Exec", {"name": "a", "argv": ["sh", "-c", "exit 8"]})
        time.sleep(scaled(0.2))
        os.kill(init, signal.SIGKILL)
        time.sleep(scaled(0.2))
        d.process.send_signal(signal.SIGCONT)
        r = c.client.receive()["result"]
        eq((r["reason"], r["exit_code"]), ("exit", 8))
        eq(sandboxes(c)["a"]["generation"], 3)
        check.settled()
        d.remove_all()
        check.settled()


@case("a payload that kills all it can reach ends itself alone", ids=["FI-05", "E-48"], timeout=40)
def payload_kills_all():
    with Daemon() as d:
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]
        other = c.call("Exec", name="a", argv=["sleep", "1000"], uid=1001, gid=1001, detach=True)["started"]
        result, _ = shell(c, "a", "kill -9 1; kill -9 -1; sleep 0.1; echo alive")
        eq(sandboxes(c)["a"]["id"], box["id"])
        eq([e["running"] for e in c.call("Execs", name="a")["execs"] if e["id"] == other], [True])
        ok(result["reason"] in ("exit", "signal"), f"{result}")
        c.call("Cancel", name="a", exec=other)


@case("the main process of a command killed from outside: told as such, the rest ended", ids=["FI-04", "E-48"], timeout=40)
def mains_killed():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]["id"]
        for _ in range(10 if SCALE <= 1 else 2):
            x = c.call("Exec", name="a", argv=["sh", "-c", STORM], detach=True)["started"]
            group = [w[0] for w in records().values() if w[0].endswith(box)][0]
            main = [p for p in map(int, read(f"{group}/{x}/cgroup.procs").split()) if stat_fields(p)[0] == d.process.pid]
            eq(len(main), 1, "children of the broker's in the group")
            os.kill(main[0], signal.SIGKILL)
            r = c.call("Wait", name="a", exec=x)["result"]
            eq((r["reason"], r["signal"], r["exit_code"]), ("signal", 9, 137))
        check.settled()


@case("a front killed takes its own clients with it and nobody else; the next connection gets a new one", ids=["FI-02", "E-57"], timeout=60)
def fronts_killed():
    with Daemon() as d:
        check = Check(d)
        other = d.connect(uid=1234)
        other.call("Ensure", name="theirs")
        x = other.call("Exec", name="theirs", argv=["sleep", "1000"], detach=True)["started"]
        others = set(daemon_processes(d, "carreld-front"))
        for _ in range(10 if SCALE <= 1 else 2):
            c = d.connect(uid=4321)
            c.call("Ensure", name="mine")
            front = set(daemon_processes(d, "carreld-front")) - others
            eq(len(front), 1, "new fronts")
            kept = c.call("Exec", name="mine", argv=["sleep", "1000"], detach=True)["started"]
            c.client.send(f"{INTERFACE}.Exec", {"name": "mine", "argv": ["sh", "-c", STORM]})
            probe = d.connect(uid=4321)
            wait_until(lambda: sandboxes(probe)["mine"]["execs"] == 2, 5, "the command running")
            os.kill(front.pop(), signal.SIGKILL)
            for each in (c, probe):
                try:
                    each.call("Info")
                    raise AssertionError("answered by a dead front")
                except GONE:
                    each.close()
            c = d.connect(uid=4321)
            wait_until(lambda: sandboxes(c)["mine"]["execs"] == 1, 5, "what was not detached cancelled")
            c.call("Cancel", name="mine", exec=kept)
            c.call("Wait", name="mine", exec=kept)
            eq(other.call("Info")["sandboxes"], 1)
            c.close()
        eq([e["running"] for e in other.call("Execs", name="theirs")["execs"]], [True])
        other.call("Cancel", name="theirs", exec=x)
        check.settled([1234, 4321])
        d.remove_all([1234, 4321])


@case("the broker stopped and continued: deadlines count, each command is ended once", ids=["FI-06"], timeout=60)
def broker_stopped():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        x = c.call("Exec", name="a", argv=["sh", "-c", STORM], timeout=int(scaled(500)), detach=True)["started"]
        d.process.send_signal(signal.SIGSTOP)
        time.sleep(scaled(2))
        d.process.send_signal(signal.SIGCONT)
        r = c.call("Wait", name="a", exec=x)["result"]
        eq((r["reason"], r["exit_code"]), ("timeout", 124))
        box = sandboxes(c)["a"]["id"]
        os.kill(init_of(box), signal.SIGSTOP)
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0, "PID 1 is stopped")
        c.call("Stop", name="a", grace=0)
        wait_state(c, "a", "stopped")
        check.settled()
        eq(len([e for e in c.call("Events")["events"] if e["type"] == "exec_end" and e["exec"] == x]), 1)


@case("the daemon killed while sandboxes are frozen: nothing is frozen after the restart", ids=["FI-23", "FI-02"], timeout=40)
def killed_while_frozen():
    with Daemon("[profile default]\nfreeze_after = 1s\n") as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="paused")
        x = c.call("Exec", name="paused", argv=["sh", "-c", STORM], detach=True)["started"]
        c.call("Ensure", name="idle")
        c.call("Pause", name="paused")
        group = {os.path.basename(w[0]): w[0] for w in records().values()}
        frozen = [os.path.join(group[s["id"]], "cgroup.events") for s in sandboxes(c).values()]
        wait_until(lambda: all("frozen 1" in read(f) for f in frozen), 10, "both frozen")
        d.restart()
        c = d.connect()
        wait_until(lambda: all("frozen 0" in read(f) for f in frozen), 1, "nothing frozen")
        for name in ("paused", "idle"):
            eq(c.call("Exec", name=name, argv=["true"])["result"]["exit_code"], 0)
        ok(x)
        check.settled()


@case("a client that goes at each byte of a request and of a response leaves no command", ids=["FI-08", "E-59"], timeout=60)
def clients_vanish():
    message = json.dumps({"method": f"{INTERFACE}.Exec", "parameters": {"name": "a", "argv": ["sleep", "1000"]}}).encode() + b"\0"
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        for length in range(1, len(message) + 1):
            going = d.connect()
            going.client.send_bytes(message[:length])
            going.close()
        wait_until(lambda: sandboxes(c)["a"]["execs"] == 0, 5, "no command left")
        answer = json.dumps({"method": f"{INTERFACE}.Exec", "parameters": {"name": "a", "argv": ["echo", "hello"]}}).encode() + b"\0"
        for length in range(0, 160, 1 if SCALE <= 1 else 20):
            going = d.connect()
            going.client.send_bytes(answer)
            if length:
                going.client.sock.recv(length, socket.MSG_WAITALL)
            going.close()
        wait_until(lambda: sandboxes(c)["a"]["execs"] == 0, 5, "no command left")
        check.settled()
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)


@contextlib.contextmanager
def failing(d, call, error):
    """The broker's calls of that kind fail until the end of the block."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    tracer = subprocess.Popen(
        ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "-p", str(d.process.pid)])
    try:
        wait_until(lambda: f"TracerPid:\t{tracer.pid}\n" in read(f"/proc/{d.process.pid}/status"), 10, "strace attached")
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@case("a command that somebody else has waited for has ended all the same", ids=["FI-04"], timeout=40)
def waited_for_by_others():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        with failing(d, "waitid", "ECHILD"):
            r = c.call("Exec", name="a", argv=["true"])["result"]
        # How it has ended is not known any more.
        eq((r["reason"], r["signal"]), ("signal", 9))
        r = c.call("Exec", name="a", argv=["true"])["result"]
        eq((r["reason"], sandboxes(c)["a"]["execs"]), ("exit", 0))
        check.settled()


@case("a command that cannot be watched is ended, told as such, and not counted", ids=["FI-11"], timeout=40)
def unwatched():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["reason"], "exit")
        for more in ({}, {"timeout": 100000}, {"detach": True}):
            with failing(d, "epoll_ctl", "ENOMEM"):
                reply = c.call("Exec", name="a", argv=["sh", "-c", STORM], **more)
            contains(reply["result"]["error"], "watch a descriptor")
            eq(reply["result"]["reason"], "start_failed")
            eq((sandboxes(c)["a"]["execs"], c.call("Execs", name="a")["execs"]), (0, []))
            eq(c.call("Exec", name="a", argv=["true"])["result"]["reason"], "exit")
            check.settled()
        d.remove_all()
