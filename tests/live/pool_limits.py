# SPDX-License-Identifier: Apache-2.0
"""What clients may have: ceilings, names, profiles, workspaces; and nobody else's leftovers."""

import base64
import threading

from daemon import Daemon, Refused
from harness import *
from varlink import Closed


def refused(error, function, *args, **kw):
    try:
        function(*args, **kw)
    except Refused as e:
        eq(e.name, error, "error")
        return e.parameters
    raise AssertionError(f"{error} was expected")


def shell(c, name, script):
    reply = c.call("Exec", name=name, argv=["sh", "-c", script])
    return base64.b64decode(reply["stdout"]).decode()


def workspace_root():
    """A directory that root alone can write to, all the way up."""
    path = tempfile.mkdtemp(prefix="carrel-test-root.", dir="/var/lib" if can_idmap("/var/lib") else "/srv")
    os.chmod(path, 0o755)
    return path


@case("at the ceiling the least recently used idle sandbox makes room; one with a command does not", ids=["E-58"], timeout=40)
def eviction():
    with Daemon("[client any]\nuser = any\nmax_sandboxes = 2\n") as d:
        c = d.connect(uid=4200)
        for name in ("a", "b"):
            c.call("Ensure", name=name)
            time.sleep(0.05)
        c.call("Touch", name="a")
        c.call("Ensure", name="c")
        states = {s["name"]: s["state"] for s in c.call("List", all=True)["sandboxes"]}
        eq(states, {"a": "running", "b": "stopped", "c": "running"})
        for name in ("a", "c"):
            c.call("Exec", name=name, argv=["sleep", "1000"], detach=True)
        eq(refused("Busy", c.call, "Ensure", name="d"), {"what": "sandboxes", "limit": 2})


@case("Busy names the ceiling that was hit: the client's, or the one of all", ids=["E-58"], timeout=40)
def ceilings():
    with Daemon("[pool]\nmax_sandboxes = 2\n[client any]\nuser = any\nmax_sandboxes = 50\nmax_execs = 3\n") as d:
        c, other = d.connect(uid=4200), d.connect(uid=4203)
        for each in (c, other):
            each.call("Ensure", name="a")
            each.call("Exec", name="a", argv=["sleep", "1000"], detach=True)
        eq(refused("Busy", c.call, "Ensure", name="b"), {"what": "sandboxes", "limit": 2})
        for _ in range(2):
            c.call("Exec", name="a", argv=["sleep", "1000"], detach=True)
        eq(refused("Busy", c.call, "Exec", name="a", argv=["true"]), {"what": "execs", "limit": 3})


@case("names, profiles, limits and networks outside of what a client may have are refused by name", ids=["E-44", "E-57"], timeout=40)
def refusals():
    config = ("[profile small]\nmemory = 64m\n[profile secret]\nmemory = 64m\n"
              "[client any]\nuser = any\nprofiles = default, small\nname_prefix = web-\nmemory = 1g\nnetwork = none\n")
    with Daemon(config) as d:
        c = d.connect(uid=4201)
        eq(refused("Refused", c.call, "Ensure", name="other")["what"], "name")
        unknown = refused("Refused", c.call, "Ensure", name="web-a", profile="nosuch")
        hidden = refused("Refused", c.call, "Ensure", name="web-a", profile="secret")
        eq(unknown["what"], "profile")
        eq(unknown["why"].replace("nosuch", "X"), hidden["why"].replace("secret", "X"))
        eq(refused("Refused", c.call, "Ensure", name="web-a", limits={"memory": 2 << 30})["what"], "limits")
        eq(refused("Refused", c.call, "Ensure", name="web-a", network="egress")["what"], "network")
        eq(refused("Refused", c.call, "Ensure", name="web-a", workspace="x")["what"], "workspace")
        eq(c.call("Ensure", name="web-a", profile="small")["sandbox"]["limits"]["memory"], 64 << 20)
        for name in ("", ".", "web-" + "n" * 125, "web-\n", "web-\x7f", "web-\u0085"):
            try:
                c.call("Ensure", name=name)
                raise AssertionError(f"{name!r} was taken")
            except Refused:
                pass
        for name in ("web-..", "web-a/b", "web-$(x)", "web-é", "web-A", "web-%s%n"):
            c.call("Ensure", name=name)
        eq(len(c.call("List")["sandboxes"]), 7, "each of them another one")


@case("workspaces: below the client's root, its own, no link, whatever is exchanged meanwhile", ids=["E-40", "E-49"], timeout=60)
def workspaces():
    root, outside = workspace_root(), tempfile.mkdtemp(dir=here.directory)
    try:
        for name, uid in (("mine", 4202), ("other", 4203)):
            os.mkdir(os.path.join(root, name))
            os.chown(os.path.join(root, name), uid, uid)
        os.symlink(outside, os.path.join(root, "link"))
        with open(os.path.join(root, "file"), "w"):
            pass
        with Daemon(f"[client any]\nuser = any\nworkspace_root = {root}\n") as d:
            c = d.connect(uid=4202)
            for bad in ("..", "../x", "/etc", "mine/..", "mine//x", ".", "link", "link/x", "file", "none", "other"):
                try:
                    c.call("Ensure", name="bad", workspace=bad)
                    raise AssertionError(f"{bad} was taken")
                except Refused as e:
                    ok(e.name in ("Refused", "StartFailed"), f"{bad}: {e}")
                    ok(root not in str(e.parameters) and outside not in str(e.parameters), f"{bad}: {e}")
            eq(c.call("List", all=True)["sandboxes"], [])
            c.call("Ensure", name="a", workspace="mine")
            shell(c, "a", "echo made inside > made")
            st = os.stat(os.path.join(root, "mine/made"))
            eq((st.st_uid, st.st_gid), (4202, 4202), "owner on disk")
            ended = threading.Event()

            def swap():
                place, spare = os.path.join(root, "mine"), os.path.join(root, "spare")
                while not ended.is_set():
                    os.rename(place, spare)
                    os.symlink(outside, place)
                    os.unlink(place)
                    os.rename(spare, place)

            thread = threading.Thread(target=swap)
            thread.start()
            for i in range(60 if SCALE <= 1 else 10):
                with contextlib.suppress(Refused):
                    c.call("Ensure", name=f"s{i}", workspace="mine")
                    eq(shell(c, f"s{i}", "cat made"), "made inside\n", "what is mounted")
                with contextlib.suppress(Refused):
                    c.call("Remove", name=f"s{i}", force=True)
            ended.set()
            thread.join()
            eq(os.listdir(outside), [], "outside")
    finally:
        shutil.rmtree(root)


@case("a spare is bound to one user, once: nothing of the one before is there for the next", ids=["E-46"], timeout=60)
def residue():
    marks = ("echo mark > /tmp/m; echo mark > /dev/shm/m; echo mark > ~/m; echo mark > /run/m; echo mark > /workspace/m; "
             "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"\\0mark\")'; "
             "(setsid sleep 1000 &) ; echo done")
    look = ("cat /tmp/m /dev/shm/m ~/m /run/m /workspace/m 2>/dev/null; set -- /proc/[0-9]*; echo $#; "
            "grep -c mark /proc/net/unix; cat /proc/sysvipc/shm | wc -l")
    with Daemon("[profile default]\nwarm = 2\n") as d:
        a, b = d.connect(uid=4301), d.connect(uid=4302)
        b.call("Ensure", name="clean")
        clean = shell(b, "clean", look)
        for i in range(4):
            a.call("Ensure", name=f"a{i}")
            eq(shell(a, f"a{i}", marks), "done\n")
            a.call("Remove", name=f"a{i}", force=True)
            b.call("Ensure", name=f"b{i}")
            eq(shell(b, f"b{i}", look), clean, "what the next one finds")


@case("SIGHUP takes a good configuration over and leaves a bad one; SIGTERM ends within its bound", ids=["FI-20"], timeout=60)
def signals():
    with Daemon("[client any]\nuser = any\nmax_sandboxes = 1\n") as d:
        c = d.connect()
        eq(c.call("Info")["max_sandboxes"], 1)
        d.configure("[client any]\nuser = any\nmax_sandboxes = 3\n")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: c.call("Info")["max_sandboxes"] == 3, 5, "the new ceiling")
        d.configure("[client any]\nuser = any\nmax_sandboxes = many\n")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload.failed" in d.log(), 5, "word of the bad file")
        contains(d.log(), "max_sandboxes")
        eq(c.call("Info")["max_sandboxes"], 3)
        d.configure("[client any]\nuser = any\nmax_sandboxes = 3\n")
        c.call("Ensure", name="a")
        c.call("Exec", name="a", argv=["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"], detach=True)
        eq(d.stop(10), 0, "exit status")
        d.start()
        eq([s["state"] for s in d.connect().call("List")["sandboxes"]], ["running"], "it has lived on")


@case("descriptors that nobody asked for close the connection, and none stays", ids=["E-56"], timeout=60)
def unasked_descriptors():
    with Daemon() as d:
        c = d.connect()
        c.call("Info")
        front = [p for p in pids() if (comm_of(p) or "") == "carreld-front" and (stat_fields(p) or (0,))[0] == d.process.pid]
        assert front, "no front"
        counts = [len(os.listdir(f"/proc/{p}/fd")) for p in (d.process.pid, *front)]
        null = os.open("/dev/null", os.O_RDWR)
        for _ in range(300 if SCALE <= 1 else 20):
            other = d.connect()
            try:
                other.client.send("io.carrel.Pool.Info", {}, fds=[null] * 250)
                other.client.receive()
                raise AssertionError("they were taken")
            except (Closed, OSError):
                pass
            other.close()
        os.close(null)
        wait_until(lambda: [len(os.listdir(f"/proc/{p}/fd")) for p in (d.process.pid, *front)] == counts, 5, "descriptors")
        c.call("Info")
