# SPDX-License-Identifier: Apache-2.0
"""Process ids that are used again at once: the daemon in a pid namespace
among processes that count the signals they get."""

import base64
import random
import traceback

from daemon import Daemon, INTERFACE, Refused
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "23"))
FAST = SCALE <= 1
CLONE_NEWPID = 0x20000000
FIRST = 300  # from here on, they are used again and again
TYPED = ("NoSuchSandbox", "NoSuchExec", "WrongState", "StartFailed", "Failed")


# --- a pid namespace -------------------------------------------------------------------


def collect(pid):
    """What PID 1 does: waits for everybody, until `pid` has ended; gives its status."""
    while True:
        done, status = os.waitpid(-1, 0)
        if done == pid:
            return os.waitstatus_to_exitcode(status)


def with_own_pids(function):
    """Runs it in a pid namespace of its own, with that namespace's /proc."""
    read_end, write_end = os.pipe()
    if libc.unshare(CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    first = os.fork()
    if first == 0:
        private_mounts()
        mount("proc", "/proc", "proc")
        second = os.fork()
        if second:
            os._exit(collect(second) & 0xFF)
        status = 1
        try:
            function()
            status = 0
        except BaseException:  # told by the other end of the pipe
            os.write(write_end, traceback.format_exc()[-20000:].encode(errors="replace"))
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as f:
        text = f.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    ok(status == 0 and not text, f"status {status}\n{text}")


def set_last_pid(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid))


# --- sentinels -------------------------------------------------------------------------


class Sentinel:
    """A process that nobody has any business with. Signals wait in it to be found."""

    def __init__(self):
        read_end, self.end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 2
            with contextlib.suppress(BaseException):
                signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
                os.close(self.end)
                os.read(read_end, 1)
                status = 1 if signal.sigpending() else 0
            os._exit(status)
        os.close(read_end)

    def check(self):
        """Ends it: 0 when it has had no signal."""
        # Not by closing: those that were made later have this end too.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.end, b"x")
        os.close(self.end)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        ok(status == 0, f"a stranger with pid {self.pid} has had a signal ({status})")


def sentinel_with(pid):
    """One that has just this pid, which must be free."""

    def attempt():
        set_last_pid(pid - 1)
        s = Sentinel()
        if s.pid == pid:
            return s
        s.check()
        return None

    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 5, f"the end of {pid}")
    return wait_until(attempt, 5, f"a process with pid {pid}")


class Churn:
    """Sentinels that come and go, so that a pid from FIRST on is not free for long."""

    def __init__(self, count=40):
        self.stop, self.report = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.stop[1])
            os.set_blocking(self.stop[0], False)
            text = "no end"
            try:
                text = f"{self.run(count)}"
            except BaseException as e:
                text = f"error {e}"
            os.write(self.report[1], text.encode())
            os._exit(0)
        os.close(self.stop[0])
        os.close(self.report[1])

    def run(self, count):
        alive, used = [], {}
        while True:
            with contextlib.suppress(BlockingIOError):
                if not os.read(self.stop[0], 1):
                    break
            # The first that is free.
            set_last_pid(FIRST - 1)
            s = Sentinel()
            used[s.pid] = used.get(s.pid, 0) + 1
            alive.append(s)
            if len(alive) > count:
                alive.pop(0).check()
        for s in alive:
            s.check()
        return sum(n > 1 for n in used.values())

    def end(self):
        """How many pids have been used more than once. Fails if a sentinel had a signal."""
        os.close(self.stop[1])
        text = os.read(self.report[0], 1000).decode()
        os.close(self.report[0])
        os.waitpid(self.pid, 0)
        ok(text.isdigit(), text)
        return int(text)


# --- cases -----------------------------------------------------------------------------


def lands_inside(c, name):
    """An exec is a typed error, or runs in a sandbox."""
    try:
        result, text = shell(c, name, "cat /proc/1/comm; hostname")
    except Refused as e:
        ok(e.name in TYPED, f"{e}")
        return False
    ok(result["reason"] in ("exit", "stopped", "signal", "start_failed"), f"{result}")
    if result["reason"] == "exit":
        ok(text.split()[0] == "carrel-init", f"it ran beside {text!r}")
    return result["reason"] == "exit"


def recycled(d, uses):
    """PID 1 of a sandbox that the daemon has taken over dies, and its pid is a sentinel's
    before the daemon can have seen it; then the uses are made of it."""
    c = d.connect()
    box = c.call("Ensure", name="a")["sandbox"]["id"]
    d.restart()
    c, others = d.connect(), [d.connect() for _ in uses]
    eq(sandboxes(c)["a"]["id"], box, "it was taken over")
    pid = init_of(box)
    d.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    s = sentinel_with(pid)
    for o, (method, parameters) in zip(others, uses):
        o.client.send(f"{INTERFACE}.{method}", {"name": "a", **parameters})
    d.process.send_signal(signal.SIGCONT)
    answers = []
    for o, (method, _) in zip(others, uses):
        message = o.client.receive_message()
        name = message.get("error", "").removeprefix(INTERFACE + ".")
        ok(not name or name in TYPED, f"{method}: {message}")
        answers.append(message)
        o.close()
    return c, s, answers


@case("a sandbox that is dead and whose pid is somebody else's: typed errors, nothing lands there, no signal",
      ids=["FI-09", "E-23"], timeout=60)
def recycled_under_the_daemon():
    def run():
        with Daemon() as d:
            check = Check(d)
            run_it = {"argv": ["sh", "-c", "cat /proc/1/comm"]}
            for uses in ([("Exec", run_it)], [("Inspect", {})], [("Pause", {}), ("Exec", run_it)],
                         [("Stop", {"grace": 0})], [("Stats", {}), ("Exec", run_it), ("Remove", {"force": True})]):
                c, s, answers = recycled(d, uses)
                for (method, _), answer in zip(uses, answers):
                    out = base64.b64decode(answer.get("parameters", {}).get("stdout") or "")
                    ok(method != "Exec" or out in (b"", b"carrel-init\n"), f"{answer}")
                    text = json.dumps(answer)
                    ok(method != "Inspect" or "error" in answer or f'"Pid": {s.pid}' not in text, f"{answer}")
                lands_inside(c, "a")
                c.call("Ensure", name="a")
                ok(lands_inside(c, "a"), f"a new one, after {answers}")
                s.check()
                check.settled()
            d.remove_all()

    with_own_pids(run)


@case("a daemon that starts finds another process with the pid that a record names: it is no sandbox, and gets no signal",
      ids=["FI-09", "E-23", "FI-02"], timeout=60)
def recycled_while_away():
    def run():
        with Daemon() as d:
            check = Check(d)
            c = d.connect()
            box = c.call("Ensure", name="a", labels={"of": "a"})["sandbox"]["id"]
            kept = c.call("Ensure", name="kept")["sandbox"]["id"]
            pid = init_of(box)
            d.kill()
            os.kill(pid, signal.SIGKILL)
            s = sentinel_with(pid)
            d.start()
            c = d.connect()
            eq(sandboxes(c)["kept"]["id"], kept)
            ok(sandboxes(c).get("a", {}).get("id") != box, "the dead one is dead")
            c.call("Ensure", name="a", labels={"of": "a"})
            ok(lands_inside(c, "a"))
            check.settled()
            s.check()
            d.remove_all()
            check.settled()

    with_own_pids(run)


@case("stop, timeout, cancel, kill -9 of PID 1 and of the daemon while pids are used again and again: no stranger gets a signal",
      ids=["FI-09", "E-23", "E-48"], timeout=90)
def recycling():
    def run():
        r = random.Random(SEED)
        set_last_pid(FIRST - 1)
        with Daemon() as d:
            check = Check(d)
            churn = Churn()
            c = d.connect()
            for i in range(120 if FAST else 12):
                name = f"n{r.randrange(3)}"
                box = c.call("Ensure", name=name)["sandbox"]["id"]
                what = i % 6
                if what == 0:
                    reply = c.call("Exec", name=name, argv=["sh", "-c", "sleep 1000 & setsid sleep 1000"], timeout=20)
                    eq(reply["result"]["reason"], "timeout")
                elif what == 1:
                    x = c.call("Exec", name=name, argv=["sh", "-c", "sleep 0.01"], detach=True)["started"]
                    for method, more in (("Kill", {"signal": 9}), ("Cancel", {})) * 10:
                        with contextlib.suppress(Refused):
                            c.call(method, name=name, exec=x, **more)
                    c.call("Wait", name=name, exec=x)
                elif what == 2:
                    os.kill(init_of(box), signal.SIGKILL)
                    lands_inside(c, name)
                elif what == 3:
                    c.call("Exec", name=name, argv=["sh", "-c", "while :; do (setsid sleep 0.01 &); done"], detach=True)
                    c.call("Stop", name=name, grace=r.choice((0, 30)))
                elif what == 4:
                    c.call("Exec", name=name, argv=["sleep", "1000"], detach=True)
                    c.call("Remove", name=name, force=True)
                elif i % 4 == 1:
                    d.restart()
                    c = d.connect()
                ok(d.process.poll() is None, "the daemon")
            again = churn.end()
            ok(again > 30, f"only {again} pids were used again")
            for s in sandboxes(c):
                wait_until(lambda: lands_inside(c, s), 10, f"{s} is usable")
            check.settled()
            d.remove_all()
            check.settled()

    with_own_pids(run)
