# SPDX-License-Identifier: Apache-2.0
"""What is idle is frozen, gives memory back and is stopped, as the kernel sees it; and a
command that comes at that very instant runs, in the old generation or in a new one."""

import heapq
import random
import threading

from daemon import Daemon
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "22"))
FAST = SCALE <= 1
MARK = "test -e /tmp/mark && echo old || echo new; : > /tmp/mark"


def memory_of(box):
    """Bytes that are charged to it."""
    for directory in groups_of(box):
        for name in ("memory.current", "memory.usage_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                return int(read(os.path.join(directory, name)))
    raise Skip("no memory controller")


def is_frozen(box):
    return "frozen 1" in read(os.path.join(groups_of(box)[0], "cgroup.events"))


def workspace_root():
    """A file system of the case's own, below directories that root alone can write to."""
    private_mounts()
    image, root = os.path.join(here.work, "image"), os.path.join(here.directory, "root")
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    os.mkdir(root)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, root], check=True)
    os.chmod(here.directory, 0o755)
    os.mkdir(os.path.join(root, "ws"))
    os.chown(os.path.join(root, "ws"), 4321, 4321)
    return root


@case("idle: frozen by the kernel, memory taken back from the frozen, then stopped; a command in between thaws it",
      ids=["FI-22", "FI-23"], timeout=60)
def tiers():
    root = workspace_root()
    idle = int(scaled(4))
    config = f"[profile default]\nfreeze_after = 1s\nreclaim_after = 2s\nidle_timeout = {idle}s\n"
    with Daemon(f"{config}[client any]\nuser = any\nworkspace_root = {root}\n") as d:
        c = d.connect(uid=4321)
        box = c.call("Ensure", name="a", workspace="ws")["sandbox"]["id"]
        # Page cache can be had back without swap.
        eq(shell(c, "a", "dd if=/dev/zero of=big bs=1M count=24 conv=fsync 2>/dev/null; " + MARK)[1], "new\n")
        full = memory_of(box)
        ok(full > 20 << 20, f"{full} bytes are charged")
        wait_until(lambda: is_frozen(box), 5, "the freezer")
        eq(sandboxes(c)["a"]["state"], "running", "clients need not know")
        wait_until(lambda: memory_of(box) < 8 << 20, 5, "memory taken back")
        ok(is_frozen(box), "frozen still")
        eq(shell(c, "a", MARK)[1], "old\n", "the same generation")
        eq(sandboxes(c)["a"]["id"], box)
        ok(not is_frozen(box), "thawed")
        wait_until(lambda: is_frozen(box), 5, "the freezer, again")
        group = groups_of(box)
        wait_state(c, "a", "stopped", idle / SCALE + 5)
        wait_until(lambda: not any(os.path.exists(g) for g in group if g.startswith("/")), 5, "its groups gone")
        eq(shell(c, "a", MARK)[1], "new\n")
        d.remove_all([4321])


@case("a paused sandbox is not thawed by a look at it, and its idle time goes on", ids=["FI-22", "FI-23"], timeout=40)
def paused():
    with Daemon() as d:
        c = d.connect()
        box = c.call("Ensure", name="a", idle_timeout=int(scaled(1000)))["sandbox"]["id"]
        c.call("Pause", name="a")
        ok(is_frozen(box))
        for method in ("Inspect", "Execs", "Stats"):
            c.call(method, name="a")
        refused("WrongState", c.call, "Exec", name="a", argv=["true"])
        wait_state(c, "a", "stopped", 8)
        eq(shell(c, "a", MARK)[1], "new\n")


class Racer(threading.Thread):
    """Comes back to each of its sandboxes at the instant at which that is idle enough."""

    def __init__(self, d, names, rounds):
        super().__init__(daemon=True)
        self.connection, self.names, self.rounds = d.connect(), names, rounds
        self.random = random.Random(f"{SEED} {names}")
        self.seen = {"old": 0, "new": 0}
        self.error = None

    def one(self, name, status):
        result, text = shell(self.connection, name, f"{MARK}; exit {status}")
        eq((result["reason"], result["exit_code"]), ("exit", status), name)
        self.seen[text.strip()] += 1

    def run(self):
        try:
            for name, profile in self.names.items():
                self.connection.call("Ensure", name=name, profile=profile, idle_timeout=2000 if profile == "cold" else 1000)
                self.one(name, 0)
                time.sleep(1 / len(self.names))
            self.seen = dict.fromkeys(self.seen, 0)
            # Half of the cold ones' come when they are frozen, half when they are stopped.
            due = [(time.monotonic() + 0.9, i, name) for i, name in enumerate(self.names)]
            count = 0
            while count < self.rounds or not all(self.seen.values()):
                at, i, name = heapq.heappop(due)
                time.sleep(max(0, at - time.monotonic()))
                self.one(name, count % 5)
                count += 1
                idle = 2 if self.names[name] == "cold" and self.random.random() < 0.5 else 1
                heapq.heappush(due, (time.monotonic() + idle + self.random.uniform(-0.006, 0.004), i, name))
        except Exception as e:  # whatever it is: the case looks at it
            self.error = e


@case("a command that comes at the instant of freezing, reclaiming or reaping runs: none is killed, none is lost",
      ids=["FI-22"], timeout=120)
def at_the_instant():
    config = "[profile default]\n[profile cold]\nfreeze_after = 1s\nreclaim_after = 1s\n[client any]\nuser = any\nprofiles = default, cold\n"
    with Daemon(config) as d:
        check = Check(d)
        racers = []
        for i in range(2):
            names = {f"r{i}-{n}": ("cold" if n % 3 == 0 else "default") for n in range(24 if FAST else 4)}
            racers.append(Racer(d, names, 100 if FAST else 12))
        for r in racers:
            r.start()
        for r in racers:
            r.join()
        for r in racers:
            if r.error:
                raise r.error
        d.remove_all()
        check.settled()


@case("Reap over and over while commands come: each runs to its end, and stops are counted exactly", ids=["FI-22"], timeout=90)
def reaped_all_the_time():
    with Daemon("[profile default]\n[profile warm]\nwarm = 2\n[client any]\nuser = any\nprofiles = default, warm\n") as d:
        racers = [Racer(d, {f"a{i}": "warm" if i % 2 else "default"}, 0) for i in range(4)]
        c = d.connect()
        over = threading.Event()
        stopped = [0]

        def reap():
            mine = d.connect()
            while not over.is_set():
                stopped[0] += mine.call("Reap")["stopped"]

        def run(r):
            try:
                rounds, i = 100 if FAST else 6, 0
                while i < rounds or (r.seen["new"] < 2 and i < 50 * rounds):
                    r.one(next(iter(r.names)), i % 5)
                    i += 1
            except Exception as e:
                r.error = e

        for r in racers:
            for name, profile in r.names.items():
                c.call("Ensure", name=name, profile=profile)
        threads = [threading.Thread(target=run, args=(r,), daemon=True) for r in racers]
        reaper = threading.Thread(target=reap, daemon=True)
        for t in (reaper, *threads):
            t.start()
        for t in threads:
            t.join()
        over.set()
        reaper.join()
        for r in racers:
            if r.error:
                raise r.error
        ok(sum(r.seen["new"] for r in racers) > len(racers), "they were reaped")
        wait_until(lambda: all(s["state"] in ("running", "stopped") for s in sandboxes(c).values()), 10, "rest")
        now = sandboxes(c).values()
        eq(stopped[0], sum(s["generation"] - 1 + (s["state"] == "stopped") for s in now), "stops")
        d.remove_all()
        wait_until(lambda: len(records()) == 2, 10, "nothing but two spares")
