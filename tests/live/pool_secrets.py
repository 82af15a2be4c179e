# SPDX-License-Identifier: Apache-2.0
"""What one client sends and receives is in no process that serves another, and nobody else
on the host can look it up."""

import secrets

from daemon import Daemon, INTERFACE
from harness import *
from poolcheck import *

NOBODY = 65533


def memory_has(pid, marks):
    """Those of the marks that are anywhere in the memory of a process."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            area, rights = line.split()[:2]
            if not rights.startswith("r") or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(n, 16) for n in area.split("-"))
            try:
                mem.seek(start)
                data = b"".join(iter(lambda: mem.read(min(1 << 20, end - mem.tell())), b""))
            except OSError:
                continue
            found |= {m for m in marks if m.encode() in data}
    return found


class Secrets:
    """A client whose every word is a secret: each place has a mark of its own."""

    def __init__(self, d, uid=4999):
        self.marks = {what: secrets.token_hex(16) for what in ("env", "own", "argv", "out", "stdin", "label", "name")}
        m = self.marks
        self.connection = d.connect(uid=uid)
        self.connection.call("Ensure", name="b", env={"ENV": m["env"]}, labels={"l": m["label"]})
        self.connection.call("Ensure", name=m["name"])

    def execute(self, **more):
        """A command that has them all, and writes one of them without having been told."""
        m = self.marks
        script = f"cat > /dev/null; echo {m['out'][:16]}''{m['out'][16:]}; : $ENV; exec sleep 1000"
        return self.connection.call(
            "Exec", name="b", argv=["sh", "-c", script, m["argv"]], env={"OWN": m["own"]},
            stdin=base64.b64encode(m["stdin"].encode()).decode(), **more,
        )

    def all(self):
        return set(self.marks.values())


def secret_names(marks, found):
    return sorted(what for what, mark in marks.items() if mark in found)


@case("nothing of what a client sends or gets is in the memory, environment or command line of another's front or sandbox",
      ids=["E-47"], timeout=60)
def fronts_apart():
    daemon_env = {"PATH": os.environ["PATH"], "TOKEN": secrets.token_hex(16)}
    with Daemon(env=daemon_env) as d:
        d.connect().call("Info")
        root = set(daemon_processes(d, "carreld-front"))
        before = d.connect(uid=4321)
        before.call("Ensure", name="a")
        early = set(daemon_processes(d, "carreld-front")) - root
        b = Secrets(d)
        theirs = set(daemon_processes(d, "carreld-front")) - early - root
        x = b.execute(detach=True)["started"]
        eq(b.execute(timeout=int(scaled(500)))["result"]["reason"], "timeout")
        wait_until(lambda: b.marks["out"] in base64.b64decode(
            b.connection.call("Output", name="b", exec=x, stream="stdout", offset=0)["data"]).decode(), 5, "its output")
        # One that is made by a broker that knows it all.
        after = d.connect(uid=4322)
        after.call("Ensure", name="c")
        late = set(daemon_processes(d, "carreld-front")) - early - theirs - root
        eq((len(early), len(theirs), len(late)), (1, 1, 1), "fronts")
        # What is looked for would be found: a message that is not complete is in memory.
        own = secrets.token_hex(16)
        before.client.send_bytes(f'{{"method":"{own}'.encode())
        wait_until(lambda: memory_has(*early, {own}) == {own}, 5, "a front's own data in its memory")
        ok(b.marks["out"] in memory_has(*theirs, b.all()), "output is in the memory of the front that keeps it")
        others = {*early, *late, *(init_of(sandboxes(c)[n]["id"]) for c, n in ((d.connect(uid=4321), "a"), (after, "c")))}
        for pid in others:
            found = memory_has(pid, b.all() | {daemon_env["TOKEN"]})
            eq(secret_names(b.marks, found), [], f"in the memory of {comm_of(pid)}")
            eq(found, set(), f"in the memory of {comm_of(pid)}")
        for pid in {*others, *theirs}:
            eq(read(f"/proc/{pid}/environ"), "", f"environment of {comm_of(pid)}")
        for pid in [d.process.pid, *daemon_processes(d), *others]:
            for mark in b.all() | {daemon_env["TOKEN"]}:
                ok(mark not in read(f"/proc/{pid}/cmdline"), f"on the command line of {comm_of(pid)}")
        for what in ("env", "own", "argv", "out", "stdin", "label"):
            ok(b.marks[what] not in d.log(), f"{what} is in the log")
        # Nor does another client's command find any of it.
        again = d.connect(uid=4321)
        look = "cat /proc/self/environ /proc/*/cmdline /proc/*/environ 2>/dev/null; env; ls -laR /tmp /run /dev/shm"
        text = shell(again, "a", look)[1]
        eq([m for m in b.all() if m in text], [])


@case("events are numbered for each client by itself: what others do cannot be told from them", ids=["E-57", "E-47"], timeout=40)
def events_apart():
    with Daemon() as d:
        a, b = d.connect(uid=4321), d.connect(uid=4999)
        stream, told = d.connect(uid=4321).client, []
        stream.send(f"{INTERFACE}.Events", {}, more=True)
        for i in range(6):
            for c in (b, a, b):
                c.call("Ensure", name=f"n{i}")
                c.call("Exec", name=f"n{i}", argv=["true"])
        lists = [c.call("Events")["events"] for c in (a, b)]
        while not told or told[-1]["number"] < lists[0][-1]["number"]:
            told += stream.receive()["events"]
        for events in (told, *lists):
            numbers = [e["number"] for e in events]
            eq(numbers, list(range(numbers[0], numbers[0] + len(numbers))), "numbers")
        eq([events[0]["number"] for events in lists], [1, 1], "the first ones")
        d.remove_all([4321, 4999])


def look_around(marks):
    """What NOBODY can read of processes: {(mark, file), ...}."""
    found = set()
    for pid in pids():
        for name in ("cmdline", "environ", "comm", "status", "stack", "cgroup", "mountinfo"):
            with contextlib.suppress(OSError):
                text = read(f"/proc/{pid}/{name}", binary=True)
                found |= {(what, comm_of(pid) or "", name) for what, m in marks.items() if m.encode() in text}
    return found


def as_nobody(function):
    """What it gives as a user who has nothing to do with any of it."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(*[NOBODY] * 3)
            os.setresuid(*[NOBODY] * 3)
            os.write(write_end, json.dumps(sorted(function())).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as f:
        text = f.read()
    os.waitpid(pid, 0)
    return {tuple(row) for row in json.loads(text)}


@case("another user of the host sees the words of a command that runs, and nothing else; with hidepid, not even those",
      ids=["E-47"], timeout=60)
def seen_from_the_host():
    private_mounts()
    os.chmod(here.directory, 0o755)
    for options in ("hidepid=0", "hidepid=2"):
        mount("proc", "/proc", "proc", data=options)
        with Daemon() as d:
            b = Secrets(d)
            x = b.execute(detach=True)["started"]
            wait_until(lambda: b.connection.call("Output", name="b", exec=x, stream="stdout", offset=0)["data"], 5, "output")
            # A second one is a shell still: its command line has all of argv.
            b.connection.call("Exec", name="b", argv=["sh", "-c", "sleep 1000; :", b.marks["argv"]], detach=True)

            def seen():
                return as_nobody(lambda: look_around(b.marks))

            if options == "hidepid=0":
                wait_until(lambda: ("argv", "sh", "cmdline") in seen(), 5, "what the documentation warns of")
                eq(seen(), {("argv", "sh", "cmdline")})
            else:
                found = as_nobody(lambda: [(str(p),) for p in pids() if stat_fields(p)])
                eq(len(found), 1, "processes that it sees: itself")
                eq(seen(), set())
            eq(as_nobody(lambda: [(p,) for p in (here.state, os.path.join(here.state, "pool"), os.path.join(here.state, "run"))
                                  if os.access(p, os.R_OK | os.X_OK)]), set(), "the state directory")
            # And a whole life is possible there.
            eq(shell(b.connection, "b", "echo $ENV")[1], b.marks["env"] + "\n")
            b.connection.call("Inspect", name="b")
            d.restart()
            c = d.connect(uid=4999)
            eq(shell(c, "b", "echo $ENV")[1], b.marks["env"] + "\n")
            d.remove_all([4999])
