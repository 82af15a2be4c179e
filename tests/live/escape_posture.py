# SPDX-License-Identifier: Apache-2.0
"""What every process of a sandbox looks like from the host, compared with a fixed list.

Fewer rights than listed would be fine, but are listed too: a change of either kind has to
be looked at by somebody.
"""

from harness import *

LINES_OF_STATUS = (
    "Umask", "Uid", "Gid", "Groups", "NSpid", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm",
    "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Threads",
)  # fmt: skip

NO_CAPS = {f"Cap{kind}": "0" * 16 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
COMMON = {
    **NO_CAPS,
    "Groups": "",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Seccomp_filters": "1",
    "SigBlk": "0" * 16,
    "SigCgt": "0" * 16,
    "Threads": "1",
    "oom_score_adj": "500",
    "setgroups": "deny",
    "personality": "00000000",
}
# SIGCHLD, so that the kernel reaps orphans.
INIT = {
    **COMMON,
    "uid": "65535", "gid": "65535", "NSpid": "1", "Umask": "0000", "SigIgn": f"{1 << 16:016x}",
    "comm": "carrel-init", "cwd": "/", "environ": "", "cmdline": "carrel-init",
    "owner of /proc/PID": "65535",
}  # fmt: skip
COMMAND = {
    **COMMON,
    "uid": "1000", "gid": "1000", "NSpid": "2", "Umask": "0022", "SigIgn": "0" * 16,
    "comm": "sleep", "cwd": "/", "owner of /proc/PID": "1000",
}  # fmt: skip


def status_of(pid, task=None):
    path = f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status"
    fields = dict(line.split(":", 1) for line in read(path).splitlines())
    return {k: " ".join(fields[k].split()) for k in LINES_OF_STATUS if k in fields}


def observe(pid, base):
    """Everything outwardly visible about a process, ids counted from `base`."""
    seen = status_of(pid)
    for kind in ("Uid", "Gid"):
        ids = {int(i) - base for i in seen.pop(kind).split()}
        eq(len(ids), 1, f"{kind}s of {pid}")
        seen[kind.lower()] = str(ids.pop())
    seen["NSpid"] = seen["NSpid"].split()[-1]
    for name in ("oom_score_adj", "setgroups", "personality", "comm"):
        seen[name] = read(f"/proc/{pid}/{name}").strip()
    seen["environ"] = read(f"/proc/{pid}/environ").replace("\0", " ").strip()
    seen["cmdline"] = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
    seen["cwd"] = os.readlink(f"/proc/{pid}/cwd")
    owner = os.stat(f"/proc/{pid}/fd").st_uid
    seen["owner of /proc/PID"] = "root" if owner == 0 else str(owner - base)
    return seen


def differences(seen, expected):
    return {k: (seen.get(k), v) for k, v in expected.items() if seen.get(k) != v}


def both(*options, **kw):
    """A running sandbox: (running, init, command, first host id)."""
    running = start([*options, "sleep", "60"], **kw)
    command = inside(running, "sleep")
    init = next(p for p in children(running.pid) if p != command)
    wait_until(lambda: comm_of(init) == "carrel-init", what="start of carrel-init")
    base = int(read(f"/proc/{command}/uid_map").split()[1])
    return running, init, command, base


def end(running):
    running.send(signal.SIGTERM)
    running.wait()


@case("the posture of carrel-init and of the command is exactly the listed one", ids=["E-18", "E-19", "E-14", "S-44", "E-47", "E-17"])
def posture():
    # The caller has groups to lose.
    groups = ["setpriv", "--groups", "4,24,27,44", "--"]
    running, init, command, base = both(wrapper=groups)
    contains(read(f"/proc/{running.pid}/status"), "Groups:\t4 24 27 44")
    eq(differences(observe(init, base), INIT), {}, "carrel-init: (seen, expected)")
    eq(differences(observe(command, base), COMMAND), {}, "command: (seen, expected)")
    environ = wait_until(lambda: observe(command, base)["environ"], what="environment")
    eq(environ, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/user LANG=C.UTF-8")
    end(running)


@case("the keeper is not dumpable while it holds descriptors of the host", ids=["E-14"])
def keeper_posture():
    # Files in /proc belong to root when a process is not dumpable, and otherwise to its
    # user: so one that is not root, with every capability, tells which it is.
    os.makedirs(here.state)
    names = (
        "sys_admin setuid setgid setpcap mknod net_admin kill sys_ptrace sys_chroot dac_override "
        "dac_read_search chown fowner"
    )
    caps = ",".join("+" + name for name in names.split())
    user = ["setpriv", "--reuid", "12345", "--inh-caps", caps, "--ambient-caps", caps]
    running = start(["sleep", "60"], wrapper=user)
    inside(running, "sleep")
    contains(read(f"/proc/{running.pid}/status"), "Uid:\t12345\t12345")
    eq(os.stat(f"/proc/{running.pid}/fd").st_uid, 0, "owner of the keeper's files in /proc")
    end(running)


@case("every namespace is the sandbox's own, and both processes share all but the cgroup one", ids=["E-26", "E-22"])
def namespaces():
    running, init, command, _ = both()
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        host, first, second = (os.stat(f"/proc/{p}/ns/{kind}").st_ino for p in ("self", init, command))
        ok(host not in (first, second), f"a process is in the host's {kind} namespace")
        if kind != "cgroup":
            eq(first, second, f"{kind} namespaces of the two processes")
    # Of all of them only the user namespace is the payload's to own (E-26).
    NS_GET_USERNS = 0xB701
    own = os.stat("/proc/self/ns/user").st_ino
    for kind in ("ipc", "mnt", "net", "pid", "uts", "cgroup"):
        ns = os.open(f"/proc/{command}/ns/{kind}", os.O_RDONLY)
        owner = fcntl.ioctl(ns, NS_GET_USERNS)
        eq(os.fstat(owner).st_ino, own, f"owner of the {kind} namespace")
        os.close(owner)
        os.close(ns)
    end(running)


@case("descriptors: 0 to 2 of the command, lifeline of carrel-init, and nothing else", ids=["E-13", "E-15"])
def descriptors():
    spare = [os.open("/", os.O_RDONLY), os.open("/proc", os.O_PATH), os.pipe()[1]]
    running, init, command, _ = both()
    inside_fds = sorted(int(n) for n in os.listdir(f"/proc/{command}/fd"))
    eq(inside_fds, [0, 1, 2], "descriptors of the command")
    end(running)
    running = start(["sleep", "60"], pass_fds=spare)
    command = inside(running, "sleep")
    init = next(p for p in children(running.pid) if p != command)
    eq(sorted(int(n) for n in os.listdir(f"/proc/{command}/fd")), [0, 1, 2], "with inherited ones")

    def classes():
        return sorted(f"{n} {os.readlink(f'/proc/{init}/fd/{n}').split(':')[0]}" for n in os.listdir(f"/proc/{init}/fd"))

    wait_until(lambda: comm_of(init) == "carrel-init")
    wait_until(lambda: classes() == ["0 pipe"], what=f"descriptors of carrel-init {classes()}")
    end(running)


@case("id ranges: 65536 ids that nobody else has, two sandboxes disjoint", ids=["E-22"])
def id_ranges():
    first, second = both(), both("--user", "1:65534")
    maps = []
    for running, init, command, base in (first, second):
        eq(read(f"/proc/{command}/uid_map").split(), ["0", str(base), "65536"])
        eq(read(f"/proc/{command}/gid_map").split(), ["0", str(base), "65536"])
        ok(base >= 0x10000 and base % 1 == 0)
        maps.append(base)
    ok(abs(maps[0] - maps[1]) >= 65536, f"ranges overlap: {maps}")
    for running, *_ in (first, second):
        end(running)


@case("the limits of the command are carrel's, whatever the caller's are", ids=["E-17"])
def limits():
    running, _, command, _ = both()
    table = {
        line[:25].strip(): line[25:].split()[:2] for line in read(f"/proc/{command}/limits").splitlines()[1:]
    }
    eq(table["Max core file size"], ["1", "1"])
    eq(table["Max open files"], ["4096", "4096"])
    eq(table["Max realtime priority"], ["0", "0"])
    eq(table["Max nice priority"], ["0", "0"])
    end(running)


WRITABLE = {"/tmp", "/run", "/dev/shm", "/home/user", "/workspace", "/proc", "/dev/pts"}
EXECUTABLE = ("/usr", "/etc/", "/tmp", "/home/user", "/workspace")
DEVICES = {"/dev", "/dev/pts"}


def check_mount(m):
    eq(m.tags, [], f"propagation of {m.point}")
    ok("nosuid" in m.flags, f"{m.point} is not nosuid")
    ok(("nodev" in m.flags) == (m.point not in DEVICES), f"nodev of {m.point}: {m.flags}")
    ok(("rw" in m.flags) == (m.point in WRITABLE), f"read-only state of {m.point}: {m.flags}")
    executable = m.point.startswith(EXECUTABLE)
    ok(("noexec" in m.flags) != executable, f"noexec of {m.point}: {m.flags}")
    if m.type == "proc":
        ok(m.root == "/" or (m.root, m.point) == ("/sys/kernel/random/uuid",) * 2 or m.point == "/proc" + m.root, m.root)
    ok(m.type in ("tmpfs", "overlay", "proc", "devpts") or m.point == "/workspace", f"{m.type} on {m.point}")


@case("the mount table: flags, types, no propagation, no device of the host", ids=["E-03", "E-11", "E-21", "E-28", "E-01"])
def mounts():
    ws = Workspace()
    running, init, command, _ = both(*ws.options())
    tables = [parse_mounts(read(f"/proc/{p}/mountinfo")) for p in (init, command)]
    eq([vars(m) for m in tables[0]], [vars(m) for m in tables[1]], "tables of the two processes")
    for m in tables[1]:
        check_mount(m)
    points = {m.point for m in tables[1]}
    ok(WRITABLE <= points, f"missing: {WRITABLE - points}")
    ok(not [p for p in points if p.startswith("/sys")], "something is mounted on /sys")
    end(running)


@case("each thread that a command starts has the same posture", ids=["E-18", "S-44"])
def threads():
    code = (
        "import threading,time\n"
        "for _ in range(8): threading.Thread(target=time.sleep,args=(60,),daemon=True).start()\n"
        "print('up',flush=True); time.sleep(60)"
    )
    running = start(["/usr/bin/python3", "-I", "-S", "-c", code])
    running.expect_output("up")
    command = inside(running)
    tasks = [int(t) for t in os.listdir(f"/proc/{command}/task")]
    eq(len(tasks), 9)
    for t in tasks:
        seen = status_of(command, t)
        eq({k: seen[k] for k in NO_CAPS}, NO_CAPS)
        eq((seen["Seccomp"], seen["Seccomp_filters"], seen["NoNewPrivs"]), ("2", "1", "1"))
    end(running)


@case("what the command tells of itself is the same in each run and in each rootfs place", ids=["E-18", "E-13", "E-35"])
def told():
    options = probe_options("posture")
    first = run([*options, "/probe/posture"]).expect(0).stdout
    second = run([*options, "/probe/posture"]).expect(0).stdout
    eq(first, second)
    contains(first, "\nend\n")
    for line in ("personality 0\n", "securebits 0xef\n", "session own\n", "parent 0\n", "kill EPERM\n", "init EACCES\n", "oom 500\n"):
        contains(first, line)
    ok("WORKED" not in first, first)
    # Another caller: other groups, limits, umask, scheduling, personality, directory.
    odd = ["setarch", "-R", "nice", "-n", "3", "prlimit", "--rttime=1000000", "--"]
    third = run([*options, "/probe/posture"], wrapper=odd, cwd="/tmp").expect(0).stdout
    strip = lambda text: re.sub(r"(?m)^(schedule .*|rlimit .*|personality .*)\n", "", text)  # noqa: E731
    eq(strip(third), strip(first))
