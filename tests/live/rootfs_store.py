# SPDX-License-Identifier: Apache-2.0
"""carrel rootfs: the store, who may have what is in it, and what is left of what is killed."""

import base64

from daemon import Daemon, Refused
from harness import *
from pool_limits import workspace_root
from rootstore import *


def small(text="first\n"):
    """An archive that cannot be run, but told from another."""
    return tar([entry("etc"), entry("etc/motd", text)])


class Slow:
    """An import that waits for the rest of what it reads: all is there but the end."""

    def __init__(self, store, name, data, *options, half=None):
        self.rest = data[half:] if half else b""
        before = store.content()
        self.running = start(store.words("import", *options, name, "-"), stdin="pipe", raw=True)
        self.running.write(data[:half])
        (self.tmp,) = wait_until(lambda: set(store.content()) - set(before), 5, "directory")
        self.child = wait_until(lambda: children(self.running.pid), 5, "child")[0]
        self.wait_reading()

    def wait_reading(self):
        """It has taken all and waits for more: then it is confined, too."""
        pipe = self.running.process.stdin.fileno()
        wait_until(lambda: not struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0], 5, "reading")
        wait_until(lambda: status_of(self.child)["Seccomp"] == "2", 5, "confinement")

    def finish(self):
        self.running.write(self.rest)
        return self.running.wait()


def status_of(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)


# --- names and lists -------------------------------------------------------------------


@case("import, ls and rm by name; a table, names alone, or JSON; a store that is not there is empty")
def life():
    s = Store()
    eq(s.run("ls").expect(0).stdout.split(), ["NAME", "SOURCE", "FILES", "SIZE", "CREATED", "DIGEST"])
    eq((s.names(), os.path.exists(s.path)), ([], False))
    contains(s.run("rm", "a").expect(125).stderr, "No such file")
    before = time.time()
    eq(s.run("import", "b", s.source(small())).expect(0).stdout, "b: archive, 2 files, 6B\n")
    eq(s.run("import", "-q", "a", s.source(small("second\n"))).expect(0).stdout, "a\n")
    lines = s.run("ls").expect(0).stdout.splitlines()
    eq([line.split()[:4] for line in lines[1:]], [["a", "archive", "2", "7B"], ["b", "archive", "2", "6B"]])
    eq(s.names(), ["a", "b"])
    about = s.about("b")
    ok(before - 1 <= about["created"] / 1000 <= time.time() + 1, about)
    eq((about["source"], about["files"], about["size"], about["digest"]), ("archive", 2, 6, "sha256:" + sha256(small())))
    r = s.run("rm", "nosuch", "a", "host").expect(125)
    eq((r.stdout, len(r.stderr.splitlines())), ("a\n", 2))
    contains(r.stderr, 'no rootfs is called "nosuch"')
    eq(s.names(), ["b"])
    eq(stat.S_IMODE(os.stat(s.path).st_mode), 0o700)
    with open(os.path.join(s.path, "b", "about.json"), "w") as f:
        f.write('{"files": "many"}')
    eq(s.run("ls").expect(0).stdout.splitlines()[1].split()[:3], ["b", "?", "0"])
    s.run("rm", "b").expect(0)
    eq(s.content(), [])
    other = os.path.join(here.directory, "other/deeper")
    s.run("import", "--store", other, "-q", "c", s.source(small())).expect(0)
    eq((s.names(), s.run("ls", "-q", "--store", other).expect(0).stdout), ([], "c\n"))


@case("a name that is none, words too many or too few, and options that mean nothing are refused in one line", ids=["E-44"])
def bad_words():
    s, source = Store(), small()
    for name in ("", ".", "..", "../x", "a/b", "/etc", "A", "ä", "-x", "_x", ".tmp-00000000", "x" * 65, "host", "a b", "a\nb", "\033[2J"):
        r = s.run("import", "--", name, s.source(source)).expect(125)
        matches(r.stderr, r"^carrel: rootfs: import: [ -~]+\n$")
        if name not in ("", ".", ".."):
            matches(s.run("rm", "--", name).expect(125).stderr, r"^carrel: rootfs: rm: [ -~]+\n$")
        r = run(["--rootfs", name, "true"]).expect(125) if name != "host" and "/" not in name else None
        ok(r is None or len(r.stderr.splitlines()) == 1, r)
    eq(s.content(), [])
    s.imports("x" * 64, source)
    s.imports("0.a_b-c", source)
    for words in ([], ["up"], ["ls", "x"], ["rm"], ["import", "a"], ["import", "a", "b", "c"], ["ls", "--nope"], ["ls", "--format", "xml"],
                  ["import", "--max-size", "0", "a", "b"], ["import", "--max-size", "x", "a", "b"], ["import", "--max-files", "0", "a", "b"],
                  ["ls", "--store", "relative"], ["ls", "--config", "/nosuch"]):  # fmt: skip
        matches(carrel(["rootfs", *words]).expect(125).stderr, r"^carrel: rootfs: [ -~]+\n$")
    contains(carrel(["rootfs", "--help"]).expect(0).stdout, "import NAME SOURCE")


@case("a store where others than root can write, or behind a link, is refused; so is anybody but root", ids=["E-08"])
def whose_store():
    s, source = Store(), small()
    path = s.source(source)
    top = os.path.join(here.directory, "top")
    os.mkdir(top)
    for mode, uid in ((0o777, 0), (0o775, 0), (0o755, 1000)):
        os.chmod(top, mode)
        os.chown(top, uid, 0)
        for words in (["import", "a", path], ["ls"], ["rm", "a"]):
            r = s.run(words[0], "--store", f"{top}/in/store", *words[1:])
            ok(r.status == (125 if words[0] != "ls" else r.status), r)
            eq(os.listdir(top), [])
    os.chown(top, 0, 0)
    os.chmod(top, 0o755)
    s.imports("a", source, "--store", f"{top}/store")
    os.chmod(f"{top}/store", 0o777)
    contains(s.run("ls", "--store", f"{top}/store").expect(125).stderr, "root's alone")
    os.chmod(f"{top}/store", 0o700)
    os.symlink("store", f"{top}/link")
    s.run("import", "--store", f"{top}/link", "b", path).expect(125)
    os.chmod(here.directory, 0o755)
    r = s.run("ls", "--store", f"{top}/store", wrapper=["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"])
    eq((r.status, len(r.stderr.splitlines())), (125, 1), "status and lines for a user")


# --- imports that do not end, and many at a time ---------------------------------------


@case("what unpacks has no capability, no network, one directory, five descriptors and a filter; its parent no capability", ids=["E-18", "E-28"], timeout=40)
def confined():
    s = Store()
    slow = Slow(s, "a", small(), half=700)
    for pid in (slow.running.pid, slow.child):
        status = status_of(pid)
        eq({status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}, {"0" * 16}, f"capabilities of {pid}")
        eq(status["NoNewPrivs"], "1")
    eq(status_of(slow.child)["Seccomp"], "2")
    for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        ok(os.readlink(f"/proc/{slow.child}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), f"{kind} namespace is the host's")
    eq(os.listdir(f"/proc/{slow.child}/root"), os.listdir(os.path.join(s.path, slow.tmp)))
    (only,) = [m for m in parse_mounts(read(f"/proc/{slow.child}/mountinfo"))]
    eq((only.point, {"nosuid", "nodev", "noexec"} - only.flags), ("/", set()))
    links = [os.readlink(f"/proc/{slow.child}/fd/{fd}") for fd in sorted(map(int, os.listdir(f"/proc/{slow.child}/fd")))]
    eq([re.sub(r":\[\d+\]|/.*/", "", link) for link in links[:5]], ["pipe", "/null", "/null", "pipe", "lock"])
    # What else is open is of the import's own directory.
    eq([link for link in links[5:] if not re.match(r"/(root|trash)", link)], [])
    slow.finish().expect(0)
    eq(s.names(), ["a"])


@case("an import that is killed has no name, and what it left goes with the next import, ls or rm; one under way stays", ids=["R-01"], timeout=60)
def killed():
    s, data = Store(), tar([entry(f"d{i}/f{i}", os.urandom(1000)) for i in range(200)])
    for sweep in (["ls"], ["import", "-q", "b", s.source(small())], ["rm", "b"]):
        slow = Slow(s, "a", data, half=len(data) // 2)
        alive = Slow(s, "c", data, half=len(data) // 2)
        slow.running.send(signal.SIGKILL)
        slow.running.wait()
        wait_until(lambda: not os.path.exists(f"/proc/{slow.child}"), 5, "death of the child")
        contains(s.content(), slow.tmp)
        ok(os.listdir(os.path.join(s.path, slow.tmp, "root")), "nothing was there when it was killed")
        s.run(*sweep).expect(0)
        ok(slow.tmp not in s.content(), f"{sweep[0]} leaves it")
        contains(s.content(), alive.tmp)
        ok("a" not in s.names() and "c" not in s.names(), "a name for half of it")
        alive.finish().expect(0)
        eq(len(s.tree("c")), 400)
        s.run("rm", "c").expect(0)
    # Its child alone: the parent says so.
    slow = Slow(s, "a", data, half=len(data) // 2)
    os.kill(slow.child, signal.SIGKILL)
    r = slow.running.wait().expect(125)
    eq(r.stderr, "carrel: rootfs: import: a: what unpacks it died of signal 9\n")
    eq(s.content(), [])


@case("killed at any of many moments, an import leaves all of it or nothing", ids=["R-01"], timeout=120)
def killed_any_time():
    s = Store()
    data = s.source(docker([[entry(f"a{i}", os.urandom(2000)) for i in range(100)], [entry(f".wh.a{i}", "") for i in range(50)]]))
    s.imports("old", small())
    began = time.monotonic()
    s.imports("whole", data)
    took = time.monotonic() - began
    done = 0
    for i in range(40):
        running = start(s.words("import", "--replace", "old", data), raw=True)
        time.sleep(took * 1.2 * i / 40)
        running.send(signal.SIGKILL)
        r = running.wait()
        found = s.tree("old")
        ok(len(found) in (2, 50), f"{len(found)} files after {i}")
        done += r.status == 0
    wait_until(lambda: s.names() == ["old", "whole"] and s.content() == ["old", "whole"], 5, "only whole ones")


@case("a signal ends an import with its number and nothing is left")
def signalled():
    s = Store()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        slow = Slow(s, "a", small(), half=700)
        slow.running.send(sig)
        r = slow.running.wait().expect(128 + sig)
        eq(r.stderr, f"carrel: rootfs: import: a: ended by signal {int(sig)}\n")
        eq(s.content(), [])


@case("of many imports under one name at once, one gets it; with --replace all do, and one remains", timeout=60)
def concurrent():
    s = Store()
    sources = [s.source(small(f"{i}\n")) for i in range(8)]
    ends = [r.wait() for r in [start(s.words("import", "-q", "a", p), raw=True) for p in sources]]
    eq(sorted(r.status for r in ends), [0] + [125] * 7)
    (winner,) = [i for i, r in enumerate(ends) if r.status == 0]
    for r in ends:
        ok(r.status == 0 or 'there is a rootfs called "a"' in r.stderr, r)
    eq(read(s.root("a", "etc/motd")), f"{winner}\n")
    eq(s.content(), ["a"])
    for r in [start(s.words("import", "-q", "--replace", "a", p), raw=True) for p in sources]:
        r.wait().expect(0)
    wait_until(lambda: s.names() == ["a"] and s.content() == ["a"], 5, "one of them")
    s.refuses(small(), "--replace", name="a")


@case("a full disk ends an import in one line and leaves nothing", ids=["E-50"])
def full_disk():
    s = Store()
    os.mkdir(s.path, 0o700)
    private_mounts()
    mount("tmpfs", s.path, "tmpfs", 0, "size=1m,nr_inodes=200,mode=700")
    s.refuses(tar([entry("a", bytes(4 << 20))]), "No space left on device")
    s.refuses(tar([entry(f"a{i}", "") for i in range(300)]), "No space left on device")
    s.imports("a", small())


# What confines the child: without one of these nothing may be unpacked.
WALLS = ["clone3", "open_tree", "mount_setattr", "move_mount", "pivot_root", "chroot", "setns", "pidfd_open", "umount2", "setgroups", "close_range", "prctl", "capset",
         "seccomp", "setresuid", "setresgid", "dup2", "prlimit64"]  # fmt: skip
STEPS = ["openat", "openat2", "mkdirat", "symlinkat", "linkat", "unlinkat", "renameat2", "pwrite64", "ftruncate", "fchmodat", "flock",
         "getdents64", "syncfs", "fsync", "read", "pipe2", "signalfd4", "newfstatat"]  # fmt: skip


@case("a call that fails anywhere in an import ends it in one line, with all of a rootfs or none; a wall that is missing, with none", ids=["FI-01"], timeout=240)
def faults():
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    s = Store()
    entries = [entry("d"), entry("d", mode=0o700), entry("f", "x" * 100), entry("h", hard="f"), entry("l", link="f")]
    source = s.source(docker([entries, [entry(".wh.f", ""), entry("g", "y")]]))
    whole, wall, refused = {"d", "h", "l", "g"}, set(), 0
    for call in WALLS + STEPS:
        for when in (1, 2, 3, 5, 8, 13):
            inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={when}"]
            r = s.run("import", "-q", "a", source, wrapper=inject)
            ok(r.status in (0, 125) and len(r.stderr.splitlines()) == (r.status == 125), f"{call} {when}: {r}")
            found = s.names()
            eq(s.content(), found, f"{call} {when}: rubbish after a look")
            if r.status == 0:
                eq((found, set(s.tree("a"))), (["a"], whole), f"{call} {when}")
            elif call in WALLS:
                wall.add(call)
                eq(found, [], f"{call} {when}")
            refused += r.status == 125
            if found:
                eq(set(s.tree("a")), whole, f"{call} {when}")
                s.run("rm", "a").expect(0)
    eq(sorted(wall), sorted(WALLS), "calls that were made and failed")
    ok(refused > 60, f"only {refused} failed")


@case("trees of any depth are removed, also those that links have made deeper than a path can be", ids=["E-41"], timeout=60)
def deep_trees():
    s = Store()
    entries, base = [], "/".join("d" * 200)
    for i in range(11):
        entries += [entry(base), entry(f"s{i}", link=base)]
        base = f"s{i}/" + "/".join("d" * 200)
    s.imports("deep", tar([*entries, entry(base)]))
    s.run("rm", "deep").expect(0)
    eq(s.content(), [])
    s.imports("a", docker([[*entries, entry(base)], [entry(".wh.d", "")]]))
    eq(len(s.tree("a")), 11)


# --- sandboxes -------------------------------------------------------------------------


@case("carrel run --rootfs NAME runs in it, read-only; a name that is not there is refused in one line")
def runs():
    s = Store()
    s.imports("busybox", tar(busybox()))
    script = "cat /etc/motd; ls -d /workspace; id -u; touch /x /bin/x 2>&1; echo $?"
    r = run(["--rootfs", "busybox", *Workspace().options(), "/bin/sh", "-c", script]).expect(0)
    lines = r.stdout.splitlines()
    eq((lines[:3], lines[-1]), (["first", "/workspace", "1000"], "1"))
    contains(r.stdout, "Read-only")
    r = run(["--rootfs", "nosuch", "true"]).expect(125)
    eq(r.stderr, 'carrel: run: use rootfs nosuch: no rootfs is called "nosuch"\n')
    # What is no complete one is refused, too, and no path leads into the store by a name.
    os.rename(s.root("busybox"), s.root("busybox") + "x")
    eq(len(run(["--rootfs", "busybox", "true"]).expect(125).stderr.splitlines()), 1)


def in_use(store, name):
    r = store.run("rm", name)
    return r.status == 125 and f'a sandbox uses "{name}"' in r.stderr


@case("one that a sandbox uses cannot be removed, and can be replaced: the sandbox keeps what it has", timeout=40)
def used():
    s = Store()
    s.imports("a", tar(busybox()))
    script = "echo ready; while ! read x; do sleep 0.1; done; cat /etc/motd"
    r = start(["--rootfs", "a", "/bin/sh", "-c", script], stdin="pipe")
    r.expect_output("ready")
    ok(in_use(s, "a"), "it can be removed")
    # Only PID 1 has the lock, as an empty file; the command has no descriptor of it.
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    links = [os.readlink(f"/proc/{init}/fd/{fd}") for fd in os.listdir(f"/proc/{init}/fd")]
    eq([link for link in links if link.startswith("/")], ["/lock"] if "/lock" in links else [os.path.join(s.path, "a/lock")])
    eq([link for link in map(os.readlink, (f"/proc/{inside(r)}/fd/{n}" for n in os.listdir(f"/proc/{inside(r)}/fd"))) if "lock" in link], [])
    s.imports("a", tar([*busybox(), entry("./etc/motd", "second\n")]), "--replace")
    eq(len(s.content()), 2, "the old one and the new one")
    eq(run(["--rootfs", "a", "/bin/cat", "/etc/motd"]).expect(0).stdout, "second\n")
    eq(s.names(), ["a"])
    eq(len(s.content()), 2, "the old one after a look")
    s.run("rm", "a").expect(0)
    eq(len(s.content()), 1)
    r.write(b"go\n")
    eq(r.wait().expect(0).stdout, "ready\nfirst\n")
    wait_until(lambda: s.names() == [] and s.content() == [], 5, "end of the old one")


@case("a carrel that is killed lets go of its rootfs")
def used_and_killed():
    s = Store()
    s.imports("a", tar(busybox()))
    r = start(["--rootfs", "a", "/bin/sh", "-c", "echo ready; sleep 100"])
    r.expect_output("ready")
    ok(in_use(s, "a"), "it can be removed")
    r.send(signal.SIGKILL)
    r.wait()
    wait_until(lambda: s.run("rm", "a").status == 0, 5, "removal")
    run(["true"]).expect(0)  # removes what the killed one has left


PROFILE = "[profile default]\nrootfs = busybox\n"


@case("a profile's rootfs is found by name; the sandbox keeps it in use over the daemon's death, until it stops", timeout=60)
def profile():
    s = Store()
    with Daemon(PROFILE) as d:
        c = d.connect()
        try:
            c.call("Ensure", name="a")
            ok(False, "a sandbox without a rootfs")
        except Refused as e:
            contains(json.dumps(e.parameters), "no rootfs is called")
        s.imports("busybox", tar(busybox()))
        c.call("Ensure", name="a")

        def motd(link):
            reply = link.call("Exec", name="a", argv=["/bin/cat", "/etc/motd"])
            return base64.b64decode(reply["stdout"]).decode()

        eq(motd(c), "first\n")
        ok(in_use(s, "busybox"), "it can be removed")
        d.restart()
        c = d.connect()
        ok(in_use(s, "busybox"), "it can be removed after the daemon's death")
        s.imports("busybox", tar([*busybox(), entry("./etc/motd", "second\n")]), "--replace")
        eq(motd(c), "first\n")
        c.call("Stop", name="a", grace=0)
        wait_until(lambda: s.names() == ["busybox"] and s.content() == ["busybox"], 10, "end of the old one")
        eq(motd(c), "second\n")
        ok(in_use(s, "busybox"), "the new one can be removed")
        c.call("Remove", name="a", force=True)
        wait_until(lambda: s.run("rm", "busybox").status == 0, 10, "removal")


@case("a spare keeps its rootfs, and gets a workspace when the name is another one's or nobody's", timeout=60)
def spares():
    s = Store()
    s.imports("busybox", tar(busybox()))
    w = workspace_root()
    os.mkdir(f"{w}/mine")
    try:
        with Daemon(PROFILE + f"warm = 1\n[client root]\nworkspace_root = {w}\n") as d:
            c = d.connect()
            wait_until(lambda: [w for w in records().values() if "init" in w], 10, "a spare")
            ok(in_use(s, "busybox"), "its rootfs can be removed")
            s.imports("busybox", tar([*busybox(), entry("./etc/motd", "second\n")]), "--replace")
            s.run("rm", "busybox").expect(0)
            c.call("Ensure", name="a", workspace="mine")
            reply = c.call("Exec", name="a", argv=["/bin/sh", "-c", "cat /etc/motd; echo x >/workspace/x"])
            eq(base64.b64decode(reply["stdout"]).decode(), "first\n")
            ok(os.path.exists(f"{w}/mine/x"), "nothing was written")
    finally:
        shutil.rmtree(w)
