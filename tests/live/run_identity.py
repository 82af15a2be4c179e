# SPDX-License-Identifier: Apache-2.0
"""carrel run: who the command is, seen from inside and from the host."""

from harness import *

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def status_of(text):
    return dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", text, re.M))


def started(*options, script="echo up; exec sleep 100"):
    r = start([*options, "sh", "-c", script])
    r.expect_output("up")
    return r


def stop(*running):
    for r in running:
        r.send(signal.SIGTERM)
    for r in running:
        r.wait().expect(143)


@case("no capability in any set of command, child, thread and carrel-init", ids=["E-18"])
def capabilities():
    code = (
        "import threading, time, os\n"
        "threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "os.fork() or time.sleep(100)\n"
        "import glob\n"
        "for p in glob.glob('/proc/[0-9]*/task/*/status'):\n"
        "    print(p, [x.split()[1] for x in open(p) if x.startswith('Cap')], flush=True)\n"
        "os._exit(0)\n"
    )
    lines = python(code).expect().stdout.splitlines()
    ok(len(lines) >= 4, lines)
    for line in lines:
        contains(line, str(["0" * 16] * 5))


@case("no new privileges, a seccomp filter, no groups, in every process", ids=["E-19"])
def no_new_privileges():
    def groups():
        os.setgroups([4, 27, 999])

    r = run(["sh", "-c", "cat /proc/self/status /proc/1/status"], preexec=groups).expect()
    for key, value in (("NoNewPrivs", "1"), ("Seccomp", "2"), ("Groups", "")):
        eq([x.strip() for x in re.findall(rf"^{key}:(.*)$", r.stdout, re.M)], [value] * 2, key)
    eq(read_setgroups(), "deny", "setgroups")


def read_setgroups():
    return sh("cat /proc/self/setgroups").stdout.strip()


@case("the user namespace maps a range of 64 Ki ids that begins where the result says", ids=["E-22"])
def id_maps():
    r = sh("cat /proc/self/uid_map /proc/self/gid_map").expect()
    for line in r.stdout.splitlines():
        inner, outer, count = map(int, line.split())
        eq(inner, 0)
        # Read from inside, the outer ids are those of the parent namespace or unmapped.
        eq(count, ID_RANGE)
    r = started()
    pid = inside(r, "sleep")
    maps = [tuple(map(int, read(f"/proc/{pid}/{name}").split())) for name in ("uid_map", "gid_map")]
    fields = status_of(read(f"/proc/{pid}/status"))
    stop(r)
    eq(maps[0], maps[1])
    inner, outer, count = maps[0]
    eq((inner, count), (0, ID_RANGE))
    ok(here.id_first <= outer < here.id_first + ID_RANGES * ID_RANGE and outer % ID_RANGE == here.id_first % ID_RANGE, maps)
    eq(fields["Uid"].split(), [str(outer + 1000)] * 4)
    eq(fields["Gid"].split(), [str(outer + 1000)] * 4)


@case("two sandboxes at a time have disjoint ranges of ids and different namespaces", ids=["E-22"])
def disjoint():
    a, b = started(), started()
    pa, pb = inside(a, "sleep"), inside(b, "sleep")
    bases = [int(read(f"/proc/{p}/uid_map").split()[1]) for p in (pa, pb)]
    ok(abs(bases[0] - bases[1]) >= ID_RANGE, bases)
    for kind in NAMESPACES:
        ok(os.readlink(f"/proc/{pa}/ns/{kind}") != os.readlink(f"/proc/{pb}/ns/{kind}"), f"same {kind} namespace")
    eq(len(records()), 2)
    stop(a, b)
    eq(records(), {})


@case("40 sandboxes at once all work, each with ids of its own", ids=["E-22"], timeout=40)
def forty():
    runs = [start(["--memory", "64m", "sh", "-c", "echo up; read x; exit 5"], stdin="pipe") for _ in range(40)]
    for r in runs:
        r.expect_output("up", 20)
    eq(len(records()), 40)
    for r in runs:
        r.write(b"go\n")
    results = [r.wait().expect(5) for r in runs]
    bases = {r.result["id_base"] for r in results}
    eq(len(bases), 40, "different ranges")
    eq(records(), {})


@case("more sandboxes than ranges of ids is one line and status 125")
def ranges_exhausted():
    path = os.path.join(here.directory, "two.conf")
    with open(path, "w") as f:
        f.write(f"[state]\ndir={here.state}\n[ids]\nfirst={here.id_first}\nranges=2\n")
    options = ["--config", path]
    a, b = (start([*options, "sh", "-c", "echo up; exec sleep 100"], config=False) for _ in range(2))
    a.expect_output("up")
    b.expect_output("up")
    r = run([*options, "true"], config=False).expect(125)
    matches(r.stderr, r"^carrel: run: [^\n]*all 2 id ranges are in use\n$")
    stop(a, b)
    run([*options, "true"], config=False).expect()


@case("every id range that the configuration accepts can be used")
def high_ids():
    # The last two, which end at 0x7fffffff. By default, carrel leaves them alone.
    first = 0x80000000 - 2 * ID_RANGE
    path = os.path.join(here.directory, "high.conf")
    with open(path, "w") as f:
        f.write(f"[state]\ndir={here.state}\n[ids]\nfirst={first}\nranges=2\n")
    w = Workspace()
    r = run(["--config", path, *w.options(), "sh", "-c", "touch x; id -u"], config=False)
    eq(r.expect().stdout, "1000\n")
    eq(os.stat(w / "x").st_uid, 1234)


@case("all namespaces are the sandbox's own and all but the user namespace belong to the host", ids=["E-26"])
def namespaces():
    r = started()
    pid = inside(r, "sleep")
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    NS_GET_USERNS = 0xB701
    host_user = os.stat("/proc/self/ns/user").st_ino
    for kind in NAMESPACES:
        path = f"/proc/{pid}/ns/{kind}"
        ok(os.readlink(path) != os.readlink(f"/proc/self/ns/{kind}"), f"{kind} namespace is the host's")
        if kind != "cgroup":
            eq(os.readlink(path), os.readlink(f"/proc/{init}/ns/{kind}"), f"{kind} of carrel-init")
        if kind != "user":
            fd = os.open(path, os.O_RDONLY)
            owner = fcntl.ioctl(fd, NS_GET_USERNS)
            eq(os.fstat(owner).st_ino, host_user, f"owner of the {kind} namespace")
            os.close(owner)
            os.close(fd)
    stop(r)


@case("the cgroup is / from inside, and there is no cgroup file to be found", ids=["E-28"], timeout=40)
def cgroup_inside():
    r = sh("cat /proc/self/cgroup; find /sys /proc/self /run /dev -name 'cgroup.procs' 2>/dev/null; grep -c -e '- cgroup' /proc/self/mountinfo; exit 0").expect()
    lines = r.stdout.splitlines()
    eq(lines.pop(), "0")
    for line in lines:
        controllers, path = line.split(":")[1:]
        if controllers in ("", "pids", "memory", "cpu"):
            eq(path, "/", line)
        ok("carrel" not in path, line)


@case("PID 1 is carrel-init, and can be neither signalled, traced nor read", ids=["E-12", "E-14"])
def init_protected():
    script = (
        "cat /proc/1/comm; "
        "for s in TERM KILL STOP USR1 CONT 0; do kill -$s 1 2>/dev/null && echo signalled $s; done; "
        "for f in environ maps mem root cwd exe fd fdinfo auxv stack syscall ns/mnt; do "
        "  cat /proc/1/$f >/dev/null 2>&1 && echo read $f; ls /proc/1/$f/ >/dev/null 2>&1 && echo listed $f; readlink /proc/1/$f >/dev/null 2>&1 && echo link $f; "
        "done; cat /proc/1/cmdline | tr '\\0' ' '; exit 0"
    )
    r = sh(script).expect()
    lines = r.stdout.splitlines()
    eq(lines[0], "carrel-init")
    bad = [x for x in lines[1:] if x.split()[0] in ("signalled", "read", "listed", "link")]
    eq(bad, [])
    code = (
        "import ctypes, os\n"
        "l = ctypes.CDLL(None, use_errno=True)\n"
        "print(l.ptrace(16, 1, 0, 0), l.syscall(434, 1, 0), l.syscall(438, 3, 0, 0))\n"
    )
    r = python(code).expect()
    eq(r.stdout.split()[0], "-1", "ptrace")


@case("a fresh command holds no descriptors but 0, 1 and 2, whatever the caller has open", ids=["E-13", "E-15"])
def descriptors():
    w = Workspace()
    fds = [os.open("/", os.O_RDONLY) for _ in range(20)] + [os.open("/etc/passwd", os.O_RDONLY) for _ in range(20)]
    fds += [x for _ in range(5) for x in os.pipe()]
    high = fcntl.fcntl(fds[0], fcntl.F_DUPFD, 300)
    code = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    r = python(code, *w.options(), pass_fds=[*fds, high]).expect()
    eq(r.stdout, "['0', '1', '2', '3']\n")  # 3 is the listing's own
    r = sh("for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null; done | grep -E '/(etc|proc|sys|cgroup)|memfd|anon' ; exit 0", pass_fds=fds).expect()
    eq(r.stdout, "")


@case("seen from the host, carrel-init holds nothing but pipes", ids=["E-13", "E-15"])
def init_descriptors():
    r = started()
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    links = {n: os.readlink(f"/proc/{init}/fd/{n}") for n in os.listdir(f"/proc/{init}/fd")}
    stop(r)
    for n, target in links.items():
        ok(target.startswith("pipe:"), links)
    ok(len(links) <= 2, links)


@case("the working directory cannot be outside: descriptors and links of /proc", ids=["E-13"], timeout=60)
def working_directory():
    w = Workspace()
    os.symlink("/proc/self/fd/5", w / "fd")
    os.symlink("/proc/1/cwd", w / "cwd")
    directory = os.open("/", os.O_RDONLY)
    for path in [*(f"/proc/self/fd/{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 64, 255)), "/proc/1/cwd", "/proc/1/root", "/proc/self/cwd",
                 "/workspace/fd", "/workspace/cwd", "/proc/self/task/../fd/3"]:
        r = run([*w.options(), "-w", path, "pwd"], pass_fds=[directory])
        eq((r.status, r.stdout), (125, ""), path)
        matches(r.stderr, r"^carrel: run: enter the directory: [^\n]*\n$")
    for path in ("/../../../..", "/usr/../..", "/tmp/../workspace/.."):
        eq(run([*w.options(), "-w", path, "pwd"]).expect().stdout, "/\n", path)


@case("the session keyring is the sandbox's own", ids=["E-27"])
def keyring():
    r = python("import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(250, 0, -3, 0), ctypes.get_errno())").expect()
    value, error = map(int, r.stdout.split())
    eq(value, -1, "keyctl")
    ok(error in (errno.ENOSYS, errno.EPERM), r)


@case("oom_score_adj is 500 and cannot be lowered below what carrel could set for good")
def oom_score():
    capabilities = int(re.search(r"CapEff:\t(\w+)", read("/proc/self/status"))[1], 16)
    lowest = "500" if capabilities & 1 << 24 else "0"  # CAP_SYS_RESOURCE, proc(5)
    r = sh("cat /proc/self/oom_score_adj /proc/1/oom_score_adj; echo 0 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj")
    eq(r.stdout.split(), ["500", "500", lowest])


@case("the command is dumpable for itself only: /proc/self is its own, carrel's is root's", ids=["E-14"])
def dumpable():
    eq(sh("stat -c %u /proc/self/ /proc/self/fd/; ls /proc/self/fd >/dev/null && cat /proc/self/environ >/dev/null && echo own").expect().stdout,
       "1000\n1000\nown\n")
    r = started()
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    eq(os.stat(f"/proc/{r.pid}/fd").st_uid, 0, "owner of carrel's own /proc")
    owner, base = os.stat(f"/proc/{init}/fd").st_uid, int(read(f"/proc/{init}/uid_map").split()[1])
    ok(owner in (0, base + 65535), f"carrel-init's /proc belongs to {owner}")
    stop(r)


@case("nothing outside the sandbox can be signalled", ids=["E-22"])
def no_signals_out():
    victim = subprocess.Popen(["sleep", "100"])
    other = started()
    pid = inside(other, "sleep")
    r = sh(f"kill -9 {victim.pid} {pid} 2>/dev/null; kill -9 -1; exit 3")
    ok(r.status in (3, 137), r)
    eq(victim.poll(), None)
    ok(stat_fields(pid), "the other sandbox's command is gone")
    victim.kill()
    victim.wait()
    stop(other)


@case("no further namespace can be made", ids=["E-26"])
def no_nested_namespaces():
    r = sh("for o in -U -m -p -n -u -i -C -T; do unshare $o -- true 2>/dev/null && echo made $o; done; exit 0").expect()
    eq(r.stdout, "")


@case("arguments reach the command unchanged, also empty and binary ones")
def arguments():
    args = ["", " ", "a b", "'\"$x\\", "\n", "é", "\udcff\udcfe", "-x", "--", "%s%n", "x" * 100000]
    r = run(["/usr/bin/python3", "-I", "-S", "-c", "import sys, os; print([os.fsencode(a) for a in sys.argv[1:]])", *args]).expect()
    eq(r.stdout, repr([os.fsencode(a) for a in args]) + "\n")
