# SPDX-License-Identifier: Apache-2.0
"""The daemon's state directory damaged, its configuration changed, its descriptors used up."""

import random
import resource
import threading

from daemon import CARRELD, Daemon, Refused
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "4"))
IGNORES_ALL = "import signal, time\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: time.sleep(100)"


def pool_file(name):
    return os.path.join(here.state, "pool", name)


def run_file(name):
    return os.path.join(here.state, "run", name)


def table():
    return os.path.join(here.state, f"slots-{here.id_first:x}")


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def damages(data, count):
    """The same bytes, damaged in different ways."""
    r = random.Random(SEED)
    yield b""
    yield data + b"\0"
    yield data * 2
    yield bytes(len(data))
    yield b"~" * len(data)
    for i in range(count):
        yield data[: len(data) * i // count]
        at = r.randrange(len(data))
        yield data[:at] + bytes([data[at] ^ 1 << r.randrange(7)]) + data[at + 1 :]


def expect_end(d, text):
    """It must not start, and say why."""
    d.start(wait=False)
    eq(d.process.wait(scaled(10)), 1, "exit status")
    contains(d.log().splitlines()[-1], text)


@case("definitions damaged in every way are skipped; sound ones are kept, and all names can be had again", ids=["FI-07"], timeout=60)
def damaged_definitions():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        count = 25 if SCALE <= 1 else 5
        names = [f"v{i}" for i in range(2 * count + 5)]
        for name in ["sound", *names]:
            c.call("Ensure", name=name, labels={"of": name}) if name == "sound" else None
        c.call("Stop", name="sound", grace=0)
        sound = os.listdir(pool_file(""))[0]
        data = read(pool_file(sound), binary=True)
        d.kill()
        for i, damaged in enumerate(damages(data, count)):
            write(pool_file(f"{i:0{len(sound)}x}"), damaged)
        # A sound one under another name, and what is no file at all.
        write(pool_file(f"{1 << 60:0{len(sound)}x}"), data)
        os.symlink(sound, pool_file("a" * len(sound)))
        os.mkfifo(pool_file("b" * len(sound)))
        os.mkdir(pool_file("c" * len(sound)))
        write(pool_file("README"), b"foreign")
        write(pool_file("." + sound), b"a draft")
        d.start()
        c = d.connect()
        eq({n: s["labels"] for n, s in sandboxes(c).items()}, {"sound": {"of": "sound"}})
        ok(len([e for e in c.call("Events")["events"] if e["type"] == "skip"]) >= 2 * count, "each is told of")
        ok(not os.path.exists(pool_file("." + sound)), "the draft is gone")
        eq(c.call("Exec", name="sound", argv=["true"])["result"]["exit_code"], 0)
        for name in os.listdir(pool_file("")):
            path = pool_file(name)
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        # Its own file damaged: the name is free.
        c.call("Stop", name="sound", grace=0)
        write(pool_file(sound), data[:-1])
        d.restart()
        c = d.connect()
        eq(sandboxes(c), {})
        ok(c.call("Ensure", name="sound")["created"])
        check.settled()
        d.remove_all()


@case("foreign files in run/ neither stop the daemon nor are touched", ids=["FI-07", "FI-27"], timeout=40)
def foreign_records():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]["id"]
        free = f"{here.id_first + 9 * ID_RANGE:x}"
        for content in (b"", b"garbage\n", b"\0" * 5000, b"/sys/fs/cgroup\nresident\n", b"/\nresident\ninit 1 1\n",
                        b"resident\n", b"/sys/fs/cgroup/unified/carrel-none\nresident\ninit 1 0\n", b"x" * 1_000_000):
            write(run_file(free), content)
            write(run_file("README"), content)
            write(run_file("7"), content)
            d.restart()
            c = d.connect()
            eq(sandboxes(c)["a"]["id"], box, f"with {content[:40]!r}")
            ok(os.path.exists(run_file("README")) and os.path.exists(run_file("7")), "foreign files stay")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(run_file(free))
        os.mkdir(run_file(f"{here.id_first + 10 * ID_RANGE:x}"))
        os.symlink("/etc/passwd", run_file(f"{here.id_first + 11 * ID_RANGE:x}"))
        d.restart()
        c = d.connect()
        eq(sandboxes(c)["a"]["id"], box)
        ok(c.call("Ensure", name="b")["created"])
        os.rmdir(run_file(f"{here.id_first + 10 * ID_RANGE:x}"))
        for name in (f"{here.id_first + 11 * ID_RANGE:x}", "README", "7"):
            os.unlink(run_file(name))
        check.settled()
        d.remove_all()
        check.settled()


@case("a living sandbox's record damaged behind its groups: it lives on or is removed, nothing of it is left", ids=["FI-07", "R-01"], timeout=90)
def damaged_records():
    with Daemon() as d:
        check = Check(d)
        kept = d.connect().call("Ensure", name="kept")["sandbox"]["id"]
        count = 12 if SCALE <= 1 else 2
        for i in range(2 * count + 5):
            c = d.connect()
            c.call("Ensure", name="a")
            ours = [n for n, words in records().items() if not words[0].endswith(kept)]
            data = read(run_file(ours[0]), binary=True)
            d.kill()
            # What lists its groups is whole: it was written before there were any.
            head, mark, tail = data.partition(b"resident\n")
            damaged = head + mark + list(damages(tail, count))[i]
            write(run_file(ours[0]), damaged)
            d.start()
            c = d.connect()
            eq(sandboxes(c)["kept"]["id"], kept)
            c.call("Ensure", name="a")
            eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
            group = head.decode().split()[0]

            def is_settled():
                return sandboxes(c)["a"]["id"] == os.path.basename(group) or not os.path.exists(group)

            wait_until(is_settled, 10, f"the end of the one with {damaged[len(head) :]!r}")
            # Its ids go to nobody else before the next boot if it cannot be understood.
            for name in [n for n, words in records().items() if words[0] == group and not os.path.exists(group)]:
                os.unlink(run_file(name))
            check.settled()
        d.remove_all()
        check.settled()


def own_group(name, owner=None):
    """A cgroup beside those of sandboxes, with a process that is not carrel's."""
    parent = os.path.dirname(next(iter(records().values()))[0])
    path = os.path.join(parent, name)
    os.mkdir(path)
    if owner:
        os.setxattr(path, "trusted.carrel_owner", owner)
        os.setxattr(path, "trusted.carrel", b"label")
    sleeper = subprocess.Popen(["sleep", "1000"])
    with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as f:
        f.write(str(sleeper.pid))
    return path, sleeper


@case("a living sandbox whose record is damaged before the end of its groups, or gone, is ended; no other is", ids=["FI-07", "R-01", "FI-27"], timeout=90)
def lost_records():
    with Daemon() as d:
        check = Check(d)
        kept = d.connect().call("Ensure", name="kept")["sandbox"]["id"]
        kept_record = next(iter(records()))
        foreign = [own_group("carrel-3-0badcafe"), own_group("carrel-4-0badcafe", b"1:2"), own_group("carrel-99999-x", b"")]
        own = start(["sleep", "1000"])
        wait_until(lambda: len(records()) == 2, 10, "a sandbox of carrel run")
        try:
            for i in range(6 if SCALE <= 1 else 3):
                c = d.connect()
                c.call("Ensure", name="a")
                box = sandboxes(c)["a"]["id"]
                c.call("Exec", name="a", argv=["sh", "-c", "setsid sleep 1000 & sleep 1000"], detach=True)
                record, = [n for n, words in records().items() if words[0].endswith(box)]
                group, init, data = records()[record][0], init_of(box), read(run_file(record), binary=True)
                d.kill()
                if i == 0:
                    os.unlink(run_file(record))
                else:
                    write(run_file(record), [b"", data[: len(data) // 3], b"~" + data, b"resident\n", data.replace(b"resident", b"\0")][i - 1])
                d.start()
                c = d.connect()
                wait_until(lambda: not os.path.exists(group) and not os.path.exists(f"/proc/{init}"), 10, f"the end of it ({i})")
                ok("it has no record" in d.log(), "it is told of")
                eq({n: s["id"] for n, s in sandboxes(c).items()}, {"kept": kept})
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(run_file(record))
            for path, sleeper in foreign:
                eq((sleeper.poll(), os.path.exists(path)), (None, True), path)
            eq(own.process.poll(), None, "carrel run's")
            eq(c.call("Exec", name="kept", argv=["true"])["result"]["exit_code"], 0)
            ok(os.path.exists(run_file(kept_record)))
        finally:
            own.process.send_signal(signal.SIGTERM)
            own.wait()
            for path, sleeper in foreign:
                sleeper.kill()
                sleeper.wait()
                wait_until(lambda p=path: "populated 0" in read(os.path.join(p, "cgroup.events")), 5)
                os.rmdir(path)
        check.settled()
        d.remove_all()


@case("the table of slots damaged, while the daemon is down or up: living sandboxes stay", ids=["FI-07"], timeout=60)
def damaged_table():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        boxes = {n: s["id"] for n, s in sandboxes(c).items()}
        size = os.path.getsize(table())
        for damage in (lambda: write(table(), b""), lambda: os.truncate(table(), 10), lambda: write(table(), b"\xff" * size),
                       lambda: write(table(), bytes(size)), lambda: os.unlink(table()), lambda: os.truncate(table(), size - 8)):
            d.kill()
            damage()
            d.start()
            c = d.connect()
            eq({n: s["id"] for n, s in sandboxes(c).items()}, boxes)
            c.call("Ensure", name="b")
            c.call("Remove", name="b", force=True)
            damage()
            ok(c.call("Ensure", name="c")["created"], "while it runs")
            eq(len({words[0] for words in records().values()}), 2, "slots")
            c.call("Remove", name="c", force=True)
            check.settled()
        d.remove_all()
        check.settled()


@case("a state directory without room, or read-only: typed errors; exec, stop and removal work on", ids=["FI-07", "FI-12"], timeout=60)
def full_state():
    private_mounts()
    os.makedirs(here.state, exist_ok=True)
    mount("none", here.state, "tmpfs", data="size=400k,mode=700")
    with Daemon() as d:
        c = d.connect()
        for name in ("a", "b", "c"):
            c.call("Ensure", name=name)
        filler = os.open(os.path.join(here.state, "filler"), os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while os.write(filler, bytes(4096)):
                pass
        os.close(filler)
        contains(refused("StartFailed", c.call, "Ensure", name="d")["why"], "No space")
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
        c.call("Stop", name="a", grace=0)
        c.call("Remove", name="b", force=True)
        eq(c.call("Reap")["stopped"], 1)
        wait_until(lambda: all(s["state"] == "stopped" for s in sandboxes(c).values()), 10, "all stopped")
        os.unlink(os.path.join(here.state, "filler"))
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
        d.kill()
        eq(libc.mount(None, here.state.encode(), None, 32 | 1, None), 0, "remount read-only")
        expect_end(d, "Read-only")
        eq(libc.mount(None, here.state.encode(), None, 32, None), 0, "remount writable")
        d.start()
        c = d.connect()
        eq(sandboxes(c)["a"]["state"], "running")
        d.remove_all()


def other_daemon(d, config=""):
    """A second one with a configuration file and a log of its own."""
    other = Daemon()
    other.config += ".other"
    other.log_path += ".other"
    with open(other.config, "w") as f:
        f.write(config or read(d.config))
    return other


@case("two daemons: not with one state directory or one socket; with two of each they do not see each other", ids=["R-06", "FI-27"], timeout=60)
def two_daemons():
    half = ID_RANGES // 2
    first = f"[state]\ndir = {here.state}\n[ids]\nfirst = {here.id_first}\nranges = {half}\n"
    second = f"[state]\ndir = {here.directory}/state2\n[ids]\nfirst = {here.id_first + half * ID_RANGE}\nranges = {half}\n"
    write(here.config, first.encode())
    with Daemon() as d:
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]["id"]
        other = other_daemon(d)
        expect_end(other, "another carreld has state directory")
        with open(other.config, "w") as f:
            f.write(second)
        own = other.socket
        other.socket = d.socket
        expect_end(other, "another daemon listens there")
        eq(c.call("Ensure", name="a")["sandbox"]["id"], box, "the first one is as it was")
        other.socket = own
        other.start()
        o = other.connect()
        eq(sandboxes(o), {})
        theirs = o.call("Ensure", name="a")["sandbox"]["id"]
        ok(theirs != box, "ids")
        for each in (d, other):
            each.restart()
        c, o = d.connect(), other.connect()
        eq((sandboxes(c)["a"]["id"], sandboxes(o)["a"]["id"]), (box, theirs))
        other.remove_all()
        other.stop()
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0)
        os.rmdir(other.directory)


@case("SIGHUP: a bad file changes nothing; a good one holds for all from then on", ids=["FI-20", "E-57"], timeout=60)
def reload_configuration():
    clients = "[profile default]\n[profile extra]\n[client one]\nuser = 1234\n{}\n[client two]\nuser = 4321\n"
    with Daemon(clients.format("memory = 256m")) as d:
        check = Check(d)
        c, two = d.connect(uid=1234), d.connect(uid=4321)
        c.call("Ensure", name="a", limits={"memory": 200 << 20})
        c.call("Ensure", name="old", limits={"memory": 200 << 20})
        c.call("Stop", name="old", grace=0)
        two.call("Ensure", name="b")
        x = two.call("Exec", name="b", argv=["sleep", "1000"], detach=True)["started"]

        def hup(config, event):
            d.configure(config)
            before = d.log().count(event)
            d.process.send_signal(signal.SIGHUP)
            wait_until(lambda: d.log().count(event) > before, 5, event)

        hup("[nonsense]\nx = y\n", "reload.failed")
        hup("[client one]\nuser = 1234\nmemory = lots\n", "reload.failed")
        eq(c.call("Info")["profiles"][0], "default")
        eq(two.call("Execs", name="b")["execs"][0]["running"], True)
        hup("[profile other]\n" + clients.split("[client two]")[0].format("memory = 100m\nprofiles = default"), "reload.done")
        eq(refused("Refused", c.call, "Ensure", name="c", limits={"memory": 200 << 20})["what"], "limits")
        eq(c.call("Info")["profiles"], ["default"])
        eq(c.call("Exec", name="a", argv=["true"])["result"]["exit_code"], 0, "it lives on as it is")
        contains(str(refused("StartFailed", c.call, "Exec", name="old", argv=["true"])), "memory")
        try:
            two.call("Info")
            raise AssertionError("a client that has no section any more is served")
        except GONE:
            pass
        gone = d.connect(uid=4321)
        try:
            gone.call("Info")
            raise AssertionError("a client that has no section any more is taken")
        except GONE:
            pass
        hup(clients.format("memory = 256m"), "reload.done")
        eq(c.call("Exec", name="old", argv=["true"])["result"]["exit_code"], 0, "it may again")
        two = d.connect(uid=4321)
        eq(two.call("Execs", name="b")["execs"][0]["id"], x, "what it left runs on")
        two.call("Cancel", name="b", exec=x)
        two.call("Wait", name="b", exec=x)
        check.settled([1234, 4321])
        d.remove_all([1234, 4321])


@case("SIGHUP renews spares: none that was made by the old configuration goes to anybody", ids=["E-46", "FI-20"], timeout=40)
def reload_spares():
    config = "[profile default]\nwarm = 2\ntmpfs = /{}\n"
    with Daemon(config.format("before")) as d:
        c = d.connect()
        wait_until(lambda: len([w for w in records().values() if "init" in w]) == 2, 10, "two spares")
        d.configure(config.format("after"))
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload.done" in d.log(), 5, "reloaded")
        for name in ("a", "b", "c"):
            c.call("Ensure", name=name)
            eq(shell(c, name, "test -d /after && test ! -e /before; echo $?")[1], "0\n")
        d.remove_all()
        wait_until(lambda: len(records()) == 2, 10, "spares alone are left")


@case("SIGTERM ends all commands within its five seconds, whatever they ignore; sandboxes live on", ids=["FI-20", "E-48"], timeout=60)
def drain():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        boxes = {n: c.call("Ensure", name=n)["sandbox"]["id"] for n in ("a", "paused")}
        for name in boxes:
            c.call("Exec", name=name, argv=["/usr/bin/python3", "-c", IGNORES_ALL], detach=True)
            c.call("Exec", name=name, argv=["sh", "-c", "while :; do (setsid sleep 0.2 &); done"], detach=True)
        c.call("Pause", name="paused")
        waits = d.connect()
        waits.client.send("io.carrel.Pool.Exec", {"name": "a", "argv": ["/usr/bin/python3", "-c", IGNORES_ALL]})
        wait_until(lambda: sandboxes(c)["a"]["execs"] == 3, 5, "all run")
        started = time.monotonic()
        eq(d.stop(20), 0)
        ok(time.monotonic() - started < scaled(5) + 1, "too slow")
        with contextlib.suppress(*GONE):
            eq(waits.client.receive()["result"]["reason"], "stopped")
        for box in boxes.values():
            ok(init_of(box), f"{box} lives")
        d.start()
        c = d.connect()
        eq({n: s["id"] for n, s in sandboxes(c).items()}, boxes)
        for name in boxes:
            eq(c.call("Execs", name=name)["execs"], [])
            eq(c.call("Exec", name=name, argv=["true"])["result"]["exit_code"], 0)
        check.settled()
        d.remove_all()


@case("keep_running = no: SIGTERM stops every sandbox, in the midst of being made too, and keeps definitions", ids=["FI-20"], timeout=60)
def keep_nothing():
    with Daemon("[profile default]\nwarm = 1\n[pool]\nkeep_running = no\n") as d:
        check = Check(d)
        c = d.connect()
        for name in ("a", "b"):
            c.call("Ensure", name=name, labels={"of": name})
        c.call("Exec", name="a", argv=["/usr/bin/python3", "-c", IGNORES_ALL], detach=True)
        for i in range(4):
            d.connect().client.send("io.carrel.Pool.Ensure", {"name": f"late-{i}"})
        eq(d.stop(20), 0)
        eq(records(), {})
        wait_until(lambda: not check.snapshot.new_cgroups(), 5, "no groups left")
        d.start()
        now = sandboxes(d.connect())
        eq({s["state"] for s in now.values()}, {"stopped"})
        eq((now["a"]["labels"], now["b"]["labels"]), ({"of": "a"}, {"of": "b"}))
        d.remove_all()


@case("storms of SIGHUP and SIGCHLD while commands run: no child is lost", ids=["FI-20"], timeout=40)
def signal_storm():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        c.call("Ensure", name="a")
        over = threading.Event()

        def storm():
            while not over.is_set():
                for sig in (signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                    d.process.send_signal(sig)
                time.sleep(0.001)

        thread = threading.Thread(target=storm, daemon=True)
        thread.start()
        try:
            for i in range(150 if SCALE <= 1 else 20):
                r = c.call("Exec", name="a", argv=["sh", "-c", f"exit {i % 7}"])["result"]
                eq((r["reason"], r["exit_code"]), ("exit", i % 7))
        finally:
            over.set()
            thread.join()
        check.settled()
        d.remove_all()


class Activated(Daemon):
    """Its socket is the service manager's: ours."""

    def __init__(self):
        super().__init__()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.socket)
        self.listener.listen(64)

    def start(self, wait=True):
        fd = self.listener.fileno()
        script = f'exec 3<&{fd}; test {fd} = 3 || exec {fd}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", script, "sh", CARRELD, "--config", self.config, "--socket", "/run/none/of/this"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[fd],
            )
        if wait:
            self.wait_ready()
        return self


@case("a socket of the service manager's: clients that came early are served, and it stays", ids=["R-06"], timeout=40)
def activated():
    d = Activated()
    early = d.connect()
    with d:
        ok(early.call("Ensure", name="a")["created"], "who came before the daemon")
        box = early.call("Ensure", name="a")["sandbox"]["id"]
        for end in (d.kill, lambda: eq(d.stop(), 0)):
            end()
            ok(os.path.exists(d.socket), "the socket stays")
            early = d.connect()
            early.client.send("io.carrel.Pool.Ensure", {"name": "a"})
            d.start()
            eq(early.client.receive()["sandbox"]["id"], box)
        d.remove_all()
    d.listener.close()


@case("descriptors used up: errors with a name, stop works, and all is well again without a restart", ids=["FI-11"], timeout=90)
def few_descriptors():
    for more in (0, 1, 2, 3, 5, 8, 13, 30, 60) if SCALE <= 1 else (2, 30):
        with Daemon() as d:
            d.connect().call("Info")
            limit = descriptors(d.process.pid) + more
            hard = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
            check = Check(d)
            try:
                use_up(d)
                resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
                c = d.connect()
                eq(c.call("Exec", name=c.call("Ensure", name="after")["sandbox"]["name"], argv=["true"])["result"]["exit_code"], 0)
                check.settled()
            except AssertionError as e:
                raise AssertionError(f"{more} descriptors: {e}") from None


def use_up(d):
    """As many sandboxes, commands and connections as it can be had."""
    pid, connections = d.process.pid, []
    null = os.open("/dev/null", os.O_RDWR)
    c = d.connect()
    for i in range(12):
        try:
            c.call("Ensure", name=f"b{i}")
            for _ in range(4):
                c.call("Exec", name=f"b{i}", argv=["sleep", "1000"], fds=[null] * 12, descriptors=12, detach=True)
        except Refused as e:
            ok(e.name in ("StartFailed", "Failed", "Busy"), f"{e}")
        except GONE:
            c = d.connect()
    for i in range(40):
        with contextlib.suppress(OSError):
            connections.append(d.connect(uid=2000 + i))
    os.close(null)
    eq(d.process.poll(), None, "the broker")
    for each in connections:
        each.close()

    def stop_all():
        with contextlib.suppress(Refused, *GONE):
            again = d.connect()
            again.call("Shutdown", remove=True)
            found = sandboxes(again)
            again.close()
            return not found

    wait_until(stop_all, 20, "all stopped")
    eq(d.process.pid, pid)
    eq(d.process.poll(), None)


def heard(sock, seconds=10):
    sock.settimeout(scaled(seconds))
    return sock.recv(4096).decode().splitlines()


@case("the watchdog is fed by the event loop, twice as often as asked, to the end; not when nobody asks", ids=["FI-06"], timeout=60)
def watchdog():
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(os.path.join(here.directory, "notify"))
    env = dict(os.environ, NOTIFY_SOCKET=manager.getsockname())
    with Daemon(env={**env, "WATCHDOG_USEC": "400000"}) as d:
        eq(heard(manager), ["WATCHDOG=1"], "before the first sandbox is looked after")
        contains(heard(manager), "READY=1")
        for _ in range(4):
            eq(heard(manager), ["WATCHDOG=1"])
        d.process.send_signal(signal.SIGSTOP)
        with contextlib.suppress(TimeoutError):
            while True:
                heard(manager, 1)
        d.process.send_signal(signal.SIGCONT)
        eq(heard(manager), ["WATCHDOG=1"], "it goes on")
        # Inherited by nobody.
        c = d.connect()
        c.call("Ensure", name="a")
        eq(shell(c, "a", "env | grep -c WATCHDOG")[1], "0\n")
        d.kill()
        # Another process's.
        d.env = {**env, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        with contextlib.suppress(TimeoutError):
            while True:
                heard(manager, 0.1)
        d.start()
        contains(heard(manager), "READY=1")
        d.remove_all()
        eq(d.stop(), 0)
        eq(heard(manager), ["STOPPING=1"], "nothing in between")
