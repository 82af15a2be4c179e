# SPDX-License-Identifier: Apache-2.0
"""Commands in sandboxes of the daemon: streams, ends, limits, terminals, detached ones."""

import base64
import threading

from daemon import Daemon, Refused
from harness import *
from poolcheck import groups_of
from varlink import Closed


def text(reply, key="stdout"):
    return base64.b64decode(reply.get(key) or "").decode("utf-8", "surrogateescape")


def execute(c, name, *argv, fds=(), **kw):
    if fds:
        kw["descriptors"] = len(fds)
    return c.call("Exec", name=name, argv=list(argv), fds=fds, **kw)


def sandbox_processes(d, c, name):
    """Host pids of everything inside but carrel-init."""
    box = [s for s in c.call("List")["sandboxes"] if s["name"] == name][0]["id"]
    found = []
    for p in pids():
        try:
            if f"/{box}/" in read(f"/proc/{p}/cgroup") and comm_of(p) != "carrel-init":
                found.append(p)
        except OSError:
            pass
    return found


@case("many commands at once in one sandbox, each with its own output and result", ids=["E-60"], timeout=60)
def many_at_once():
    with Daemon() as d:
        d.connect().call("Ensure", name="a")
        results = {}

        def one(i):
            c = d.connect()
            results[i] = execute(c, "a", "sh", "-c", f"echo {i}; exit {i}")
            c.close()

        threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for i in range(24):
            eq((text(results[i]), results[i]["result"]["exit_code"]), (f"{i}\n", i))
        eq(len({r["result"]["exec"] for r in results.values()}), 24, "ids")


@case("the client's own descriptors become the command's, secrets above 2 among them", ids=["E-47", "E-13"], timeout=30)
def descriptors():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        in_r, in_w = os.pipe()
        out_r, out_w = os.pipe()
        secret_r, secret_w = os.pipe()
        os.write(in_w, b"from the client\n")
        os.write(secret_w, b"token")
        for fd in (in_w, secret_w):
            os.close(fd)
        reply = execute(c, "a", "sh", "-c", "cat; cat <&3; ls /proc/self/fd | wc -l", fds=(in_r, out_w, out_w, secret_r))
        eq(reply["result"]["exit_code"], 0)
        ok("stdout" not in reply, "no output passes through the daemon")
        eq(os.read(out_r, 1000).decode().split("\n")[:2], ["from the client", "token5"])
        for fd in (in_r, out_r, out_w, secret_r):
            os.close(fd)
        directory = os.open("/", os.O_RDONLY)
        path = os.open("/", os.O_PATH)
        null = os.open("/dev/null", os.O_RDWR)
        for bad in (directory, path):
            try:
                execute(d.connect(), "a", "true", fds=(bad, null, null))
                raise AssertionError("a directory was taken")
            except (Refused, Closed):
                pass
        for fd in (directory, path, null):
            os.close(fd)
        eq(execute(c, "a", "true")["result"]["exit_code"], 0, "others are served")


@case("a command ends when its main process does, and takes along what it has left behind", ids=["E-39", "E-48"], timeout=40)
def ends_with_main():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        for script in ("sleep 1000 & echo hi", "(setsid sh -c 'sleep 1000 & sleep 1001' &) ; sleep 0.1; echo hi",
                       "nohup sleep 1000 > /dev/null 2>&1 & echo hi"):
            start = time.monotonic()
            eq(text(execute(c, "a", "sh", "-c", script)), "hi\n")
            ok(time.monotonic() - start < scaled(3), script)
        wait_until(lambda: not sandbox_processes(d, c, "a"), 5, "nobody left")


@case("timeout, cancel and a client that goes away end everything, also frozen in the middle", ids=["E-48", "E-59", "FI-08", "FI-23"], timeout=60)
def ended_by_us():
    storm = "for i in 1 2 3 4 5; do (setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 0.1; done' &); done; sleep 1000"
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        r = execute(c, "a", "sh", "-c", storm, timeout=int(scaled(300)))["result"]
        eq((r["reason"], r["exit_code"]), ("timeout", 124))
        x = execute(c, "a", "sh", "-c", storm, detach=True)["started"]
        time.sleep(0.2)
        c.call("Cancel", name="a", exec=x)
        eq(c.call("Wait", name="a", exec=x)["result"]["reason"], "cancelled")
        going = d.connect()
        going.client.send("io.carrel.Pool.Exec", {"name": "a", "argv": ["sh", "-c", storm]})
        wait_until(lambda: len(sandbox_processes(d, c, "a")) > 4, 5, "the command runs")
        going.close()
        wait_until(lambda: not sandbox_processes(d, c, "a"), 5, "nobody left")
        x = execute(c, "a", "sh", "-c", storm, detach=True)["started"]
        c.call("Pause", name="a")
        c.call("Cancel", name="a", exec=x)
        eq(c.call("Wait", name="a", exec=x)["result"]["reason"], "cancelled")
        c.call("Unpause", name="a")
        wait_until(lambda: not sandbox_processes(d, c, "a"), 5, "nobody left")


@case("memory that one command uses up ends that one alone, and is told of it alone", ids=["FI-15", "E-48"], timeout=40)
def out_of_memory():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a", limits={"memory": 96 << 20})
        x = execute(c, "a", "sleep", "1000", detach=True)["started"]
        r = execute(c, "a", "/usr/bin/python3", "-c", "x = b'x' * 10**9", limits={"memory": 48 << 20})["result"]
        eq((r["reason"], r["exit_code"], r["oom"]), ("oom", 137, True))
        ok(0 < r["mem_peak"] <= 48 << 20, f"peak {r['mem_peak']}")
        eq([e["running"] for e in c.call("Execs", name="a")["execs"] if e["id"] == x], [True], "the other runs on")
        r = execute(c, "a", "true")["result"]
        eq((r["reason"], r["oom"]), ("exit", False))
        c.call("Cancel", name="a", exec=x)


@case("limits of a command must not exceed its sandbox's, and hold", timeout=30)
def tighter_limits():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a", limits={"pids": 40, "memory": 96 << 20})
        for limits in ({"pids": 41}, {"memory": 97 << 20}, {"cpu_milli": 10**6}):
            try:
                execute(c, "a", "true", limits=limits)
                raise AssertionError(f"{limits} was taken")
            except Refused as e:
                eq(e.name, "Refused")
        r = execute(c, "a", "sh", "-c", "i=0; while [ $i -lt 12 ]; do sleep 5 & i=$((i+1)); done; echo all", limits={"pids": 6}, timeout=int(scaled(4000)))
        contains(text(r, "stderr"), "ork")


@case("output beyond the cap: head and tail are kept, the rest is counted to the byte", ids=["FI-14", "E-37"], timeout=60)
def capped_output():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        r = execute(c, "a", "/usr/bin/python3", "-c", "import sys; sys.stdout.write('A' * 10 + 'x' * 5000000 + 'Z' * 10)", max_output=4096)
        out = text(r)
        ok(out.startswith("A" * 10) and out.endswith("Z" * 10), f"{out[:20]!r} … {out[-20:]!r}")
        ok(len(out) <= 4096, f"{len(out)} bytes")
        eq(len(out) + r["result"]["truncated"], 5000020, "bytes")
        r = execute(c, "a", "sh", "-c", "yes", max_output=4096, end_on_max_output=True)["result"]
        eq(r["reason"], "output")


@case("with `more`, output comes while the command runs", timeout=30)
def streamed():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        seen, order = "", []
        for reply in c.more("Exec", name="a", argv=["sh", "-c", "echo one; sleep 0.4; echo two >&2; exit 3"]):
            order += [k for k in ("started", "stdout", "stderr", "result") if reply.get(k)]
            seen += text(reply) + text(reply, "stderr")
        eq(seen, "one\ntwo\n")
        eq([order[0], order[-1]], ["started", "result"])


@case("a detached command is listed, its output read by offset, signalled, waited for and then forgotten", timeout=40)
def detached():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        x = execute(c, "a", "sh", "-c", "trap 'echo got it; exit 9' USR1; echo begun; while :; do sleep 0.05; done", detach=True)["started"]

        def output(offset):
            r = c.call("Output", name="a", exec=x, stream="stdout", offset=offset)
            return base64.b64decode(r["data"]).decode(), r["next"], r["end"]

        wait_until(lambda: output(0)[0] == "begun\n", 5, "its first line")
        eq(output(6)[:2], ("", 6))
        e = d.connect().call("Execs", name="a")["execs"][0]
        eq((e["id"], e["running"], e["detached"], e["argv"][0]), (x, True, True, "sh"))
        c.call("Kill", name="a", exec=x, signal=10)
        r = c.call("Wait", name="a", exec=x, keep=True)["result"]
        eq((r["reason"], r["exit_code"]), ("exit", 9))
        eq(output(6)[0], "got it\n")
        ok(wait_until(lambda: output(13)[2], 5, "the end"), "nothing more")
        eq(c.call("Wait", name="a", exec=x)["result"]["exit_code"], 9)
        for method, more in (("Wait", {}), ("Kill", {"signal": 9}), ("Output", {"stream": "stdout", "offset": 0})):
            try:
                c.call(method, name="a", exec=x, **more)
                raise AssertionError(f"{method} found it")
            except Refused as e:
                eq(e.name, "NoSuchExec", method)


@case("a terminal of the sandbox's own: its master comes to the client, who sets the size", ids=["E-36"], timeout=30)
def terminal():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")
        c.client.send("io.carrel.Pool.Exec", {"name": "a", "argv": ["sh", "-c", "tty; read x; stty size; echo got $x"], "terminal": True}, more=True)
        first = c.client.receive()
        ok(first["started"] and first.continues, f"{first}")
        master = first.fds[0]
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        os.write(master, b"word\n")
        last = c.client.receive()
        eq(last["result"]["exit_code"], 0)
        out = b""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                break
            if not data:
                break
            out += data
        os.close(master)
        for part in (b"/dev/pts/0", b"33 77", b"got word"):
            contains(out, part)


@case("the environment is the listed one: profile's, sandbox's, command's", ids=["E-47"], timeout=30)
def environment():
    config = "[profile default]\nenv = A=profile\nenv = B=profile\nenv = C=profile\n"
    with Daemon(config, env={"PATH": os.environ["PATH"], "SECRET": "daemon"}) as d:
        c = d.connect()
        c.call("Ensure", name="a", env={"B": "sandbox", "C": "sandbox"})
        out = text(execute(c, "a", "env", env={"C": "exec"}))
        got = dict(line.split("=", 1) for line in out.splitlines())
        eq((got.pop("A"), got.pop("B"), got.pop("C")), ("profile", "sandbox", "exec"))
        eq(set(got), {"PATH", "HOME", "LANG"})


@case("the posture of a command is that of carrel run's, whoever asks and however often", ids=["E-18", "E-19", "S-44", "E-14"], timeout=40)
def posture():
    with Daemon() as d:
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Groups", "Uid", "Gid")

        def fields(out):
            return {k: v.split() for k, v in (l.split(":", 1) for l in out.splitlines() if ":" in l) if k in wanted}

        alone = fields(run(["cat", "/proc/self/status"]).expect(0).stdout)
        for _ in range(3):
            eq(fields(text(execute(c, "a", "cat", "/proc/self/status"))), alone)
        eq(text(execute(c, "a", "cat", "/proc/self/cgroup")).splitlines()[-1], "0::/")
        eq(text(execute(c, "a", "sh", "-c", "ls /proc/1/fd 2>&1; cat /proc/1/environ 2>&1" )).count("denied"), 2)


def groups_below(box):
    """Names of the groups in those of a sandbox, in all hierarchies."""
    return {x.name for group in groups_of(box) for x in os.scandir(group) if x.is_dir()}


@case("the groups of commands go when these have ended, and with them those made for the next", ids=["E-39", "E-60"], timeout=60)
def groups_go():
    with Daemon() as d:
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]["id"]
        for i in range(80):  # more than are removed at a time
            execute(c, "a", "sh", "-c", "setsid sleep 1000 & exit 0" if i % 10 == 0 else "exit 0")
        threads = [threading.Thread(target=lambda: execute(d.connect(), "a", "sleep", "0.05")) for _ in range(16)]
        for t in threads:
            t.start()
        kept = execute(c, "a", "true", detach=True)["started"]
        waited = execute(c, "a", "true", detach=True)["started"]
        c.call("Wait", name="a", exec=waited)
        long = execute(c, "a", "sleep", "1000", detach=True)["started"]
        for t in threads:
            t.join()
        ok(long in groups_below(box), "one that runs has a group")
        wait_until(lambda: groups_below(box) == {"init", long}, 10, "groups that are left")
        eq([x["id"] for x in c.call("Execs", name="a")["execs"] if not x["running"]], [kept])
        c.call("Kill", name="a", exec=long, signal=9)
        wait_until(lambda: groups_below(box) == {"init"}, 10, "no group that is left")
        # One that cannot be removed does not keep those behind it, and goes when it can.
        stuck = execute(c, "a", "sleep", "1000", detach=True)["started"]
        directory = os.path.join(groups_of(box)[0], stuck, "in-the-way")
        os.mkdir(directory)
        c.call("Kill", name="a", exec=stuck, signal=9)
        for i in range(150):
            execute(c, "a", "true")
        wait_until(lambda: groups_below(box) == {"init", stuck}, 10, "groups behind one that is stuck")
        os.rmdir(directory)
        wait_until(lambda: groups_below(box) == {"init"}, 10, "nor that one")
        # The next one finds none that has been made for it.
        eq(execute(c, "a", "sh", "-c", "exit 3")["result"]["exit_code"], 3)
