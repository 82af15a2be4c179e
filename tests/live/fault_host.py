# SPDX-License-Identifier: Apache-2.0
"""Hosts that lack something, state that is damaged, callers that start carrel oddly."""

from harness import *

CALLS = dict(openat2=437, clone3=435, close_range=436, mount_setattr=442, open_tree=428, fsopen=430,
             fsconfig=431, fsmount=432, move_mount=429, pidfd_send_signal=424, setns=308, unshare=272,
             pivot_root=155, chroot=161, umount2=166, seccomp=317, execveat=322, memfd_create=319, capset=126,
             setgroups=116, setresuid=117, setresgid=119, setsid=112, prctl=157, fchdir=81,
             eventfd2=290, signalfd4=289, sethostname=170, mknodat=259)  # fmt: skip


def without(nr, error=errno.ENOSYS):
    """A preexec function: the call with this number fails, in carrel and all it starts."""
    ld, jeq, ret = 0x20, 0x15, 0x06
    program = struct.pack("HBBI", ld, 0, 0, 0) + struct.pack("HBBI", jeq, 0, 1, nr)
    program += struct.pack("HBBI", ret, 0, 0, 0x00050000 | error) + struct.pack("HBBI", ret, 0, 0, 0x7FFF0000)
    code = ctypes.create_string_buffer(program)

    def install():
        fprog = struct.pack("HxxxxxxQ", 4, ctypes.addressof(code))
        if libc.syscall(317, 1, 0, ctypes.create_string_buffer(fprog)) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")

    return install


def clean_error(r, part=""):
    """One line, carrel's own status, and nothing of the command."""
    ok(r.status in (125, 126, 127), f"status of {r!r}")
    eq(r.stdout, "")
    eq(r.stderr.count("\n"), 1, f"lines of {r.stderr!r}")
    contains(r.stderr, "carrel: ")
    contains(r.stderr, part)


@case("without any one of the calls that building takes, nothing runs and the line says why", ids=["FI-28", "FI-27", "R-09"], timeout=60)
def missing_calls():
    bad = []
    optional = {"pidfd_send_signal", "eventfd2"}
    for name, nr in CALLS.items():
        r = run(["echo", "ran"], preexec=without(nr))
        try:
            if name not in optional or r.status:
                clean_error(r, "unction not implemented")
        except AssertionError as e:
            bad.append(f"{name}: {e}")
    eq(bad, [])


@case("no prctl that drops or locks something may fail unnoticed", ids=["FI-01", "E-18", "FI-28"], timeout=60)
def refused_prctl():
    for name in ("capset", "setgroups", "setresuid", "setresgid", "seccomp", "setsid", "prctl"):
        for error in (errno.EPERM, errno.EINVAL, errno.EAGAIN):
            clean_error(run(["echo", "ran"], preexec=without(CALLS[name], error)))


@case("every limit of open files from 3 up: it works, or one line says why, and nothing stays", ids=["FI-11", "E-15"], timeout=60)
def few_descriptors():
    bad = []
    numbers = list(range(3, 61)) + [64, 66, 68, 70, 72] if SCALE <= 1 else [3, 9, 20, 40, 60]
    for n in numbers:
        r = run(["echo", "ran"], preexec=lambda n=n: __import__("resource").setrlimit(7, (n, 4096)), result=False)
        try:
            if (r.status, r.stdout, r.stderr) != (0, "ran\n", ""):
                clean_error(r)
        except AssertionError as e:
            bad.append(f"{n}: {e}")
    eq(bad, [])
    run(["true"]).expect(0)


def table():
    return [os.path.join(here.state, n) for n in os.listdir(here.state) if n.startswith("slots")][0]


@case("a damaged table of id ranges is an error or is started over, and no range is given twice", ids=["FI-07", "R-05", "E-22"], timeout=60)
def damaged_table():
    run(["true"]).expect(0)
    good = read(table(), binary=True)
    step = 1 if SCALE <= 1 else 16
    sizes = [0, 1, 7, 8, 47, 48, 63, 64, 65, 100, len(good) - 1, len(good) + 1, len(good) * 3][::step]
    contents = [good[:n] + b"\xff" * (n - len(good)) for n in sizes]
    contents += [b"\0" * len(good), b"\xff" * len(good), os.urandom(len(good)), b"carrel1\0" + b"\xff" * 200]
    for content in contents:
        with open(table(), "wb") as f:
            f.write(content)
        r = run(["echo", "ran"])
        if (r.status, r.stdout) != (0, "ran\n"):
            clean_error(r)
            os.unlink(table())
    run(["true"]).expect(0)


def base_of(running):
    return int(read(f"/proc/{inside(running, 'sleep')}/uid_map").split()[1])


def wait_for_start(running):
    """Until the command runs or carrel has ended."""

    def look():
        below = [comm_of(p) for p in children(running.pid)]
        return running.process.poll() is not None or "sleep" in below

    wait_until(look, 5, "start or end")


@case("a table that is damaged while a sandbox lives does not give its ids to another", ids=["FI-07", "E-22"])
def damaged_while_running():
    for damage in (b"", b"\0" * 64, b"\xff" * 600):
        first = start(["sleep", "60"])
        used = base_of(first)
        with open(table(), "r+b") as f:
            f.truncate(len(damage) if not damage else os.path.getsize(table()))
            f.write(damage)
        second = start(["sleep", "60"])
        wait_for_start(second)
        clash = second.process.poll() is None and base_of(second) == used
        for running in (second, first):
            if running.process.poll() is None:
                running.send(signal.SIGTERM)
            running.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(table())
        ok(not clash, f"two live sandboxes had the ids from {used} on, after {damage[:4]!r}")


@case("two configurations with the same first id and other ranges never share a range", ids=["E-22"])
def two_configurations():
    other = os.path.join(here.directory, "other.conf")
    with open(other, "w") as f:
        f.write(read(here.config).replace(f"ranges = {ID_RANGES}", f"ranges = {ID_RANGES // 2}"))
    first = start(["sleep", "60"])
    used = base_of(first)
    second = start(["--config", other, "sleep", "60"], config=False)
    wait_for_start(second)
    clash = second.process.poll() is None and base_of(second) == used
    for running in (second, first):
        if running.process.poll() is None:
            running.send(signal.SIGTERM)
        running.wait()
    ok(not clash, f"both had the ids from {used} on")


@case("a record that cannot be read as one does not stop later runs, and removes nothing foreign", ids=["FI-07", "R-05", "FI-27"])
def damaged_records():
    foreign = [b"/sys/fs/cgr", b"/", b"\0\0\0", b"\n\n", b"/etc\n", os.urandom(64), b"x" * 100000, b"/etc/carrel-x\n", b""]
    for text in foreign[:: 1 if SCALE <= 1 else 4]:
        doomed = start(["sleep", "60"], result=False)
        inside(doomed, "sleep")
        ((name, directories),) = records().items()
        path = os.path.join(here.state, "run", name)
        good = read(path)
        doomed.process.kill()
        doomed.process.wait()
        for stream in (doomed.process.stdout, doomed.process.stderr):
            stream.close()
        with open(path, "wb") as f:
            f.write(text)
        try:
            for _ in range(2):
                r = sh("echo ran")
                eq((r.status, r.stdout), (0, "ran\n"), f"run after the record {text[:20]!r}: {r!r}")
        finally:
            if os.path.exists(path):
                with open(path, "w") as f:
                    f.write(good)
                run(["true"])
            # Nobody can know any more what the record said.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            for directory in directories:
                for sub in (directory + "/exec", directory + "/init", directory):
                    with contextlib.suppress(OSError):
                        os.rmdir(sub)


@case("a state directory that cannot be written, is full, or is another's: one line", ids=["FI-07", "FI-12", "E-08", "E-10"])
def bad_state_directories():
    private_mounts()
    os.makedirs(here.state, mode=0o700)
    mount("none", here.state, "tmpfs", 1, "mode=0700")  # read-only
    clean_error(run(["echo", "ran"]), "ead-only")
    libc.umount2(here.state.encode(), 2)
    mount("none", here.state, "tmpfs", 0, "mode=0700,nr_inodes=2")
    clean_error(run(["echo", "ran"]), "No space left")
    libc.umount2(here.state.encode(), 2)
    # Full, and then room again. One page: the directory's own files do not fit.
    mount("none", here.state, "tmpfs", 0, "mode=0700,size=4k")
    with open(os.path.join(here.state, "filler"), "wb") as f:
        f.write(b"x" * 4096)
    clean_error(run(["echo", "ran"]), "No space left")
    os.unlink(f.name)
    libc.umount2(here.state.encode(), 2)
    for mode, owner in ((0o777, 0), (0o770, 0), (0o755, 1234)):
        os.chown(here.state, owner, 0)
        os.chmod(here.state, mode)
        clean_error(run(["echo", "ran"]), "must be root's")
    os.rmdir(here.state)
    for target in ("/tmp", "/etc"):
        os.symlink(target, here.state)
        clean_error(run(["echo", "ran"]), "state")
        os.unlink(here.state)
    for name in ("slots", "run"):
        run(["true"]).expect(0)
        path = table() if name == "slots" else os.path.join(here.state, "run")
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.symlink("/etc/passwd", path)
        before = read("/etc/passwd")
        clean_error(run(["echo", "ran"]))
        eq(read("/etc/passwd"), before)
        os.unlink(path)


@case("the caller's ignored and blocked signals change nothing", ids=["FI-20"])
def odd_signals():
    def odd():
        for sig in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    r = sh("grep -E '^Sig(Ign|Blk)' /proc/self/status; sleep 0.05; echo ran", preexec=odd).expect(0)
    eq(r.stdout.split(), ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16, "ran"])
    running = start(["sleep", "60"], preexec=odd)
    inside(running, "sleep")
    running.send(signal.SIGTERM)
    eq(running.wait().result["signal"], signal.SIGTERM)


@case("a carrel that is stopped and goes on keeps its deadline", ids=["FI-06", "FI-19"])
def stopped_keeper():
    running = start(["--timeout", "400ms", "sleep", "60"])
    inside(running, "sleep")
    running.send(signal.SIGSTOP)
    time.sleep(0.8)
    running.send(signal.SIGCONT)
    eq(running.wait(5).status, 124)


@case("carrel killed in the middle of a run takes the whole sandbox with it, and leaves no ids taken", ids=["FI-03", "R-06", "FI-02"])
def killed_under_load():
    for i in range(20 if SCALE <= 1 else 4):
        running = start(["sh", "-c", "for i in 1 2 3 4; do setsid sleep 300 & done; echo up; wait"], result=False)
        if i % 2:
            running.expect_output("up")
        below = set(descendants(running.pid))
        running.process.kill()
        running.process.wait()
        wait_until(lambda below=below: all((stat_fields(p) or (0, "Z"))[1] == "Z" for p in below), 5, "end of the sandbox")
        for stream in (running.process.stdout, running.process.stderr):
            stream.close()
    r = run(["cat", "/proc/self/uid_map"]).expect(0)
    eq(int(r.stdout.split()[1]), here.id_first, "lowest range is free again")


@case("PID 1 or the command killed from outside: carrel ends and says how", ids=["FI-04", "FI-05"])
def killed_processes():
    for which in ("init", "command"):
        running = start(["sh", "-c", "setsid sleep 300 & sleep 301; true"])
        command = inside(running, "sh")
        init = next(p for p in children(running.pid) if p != command)
        os.kill(init if which == "init" else command, signal.SIGKILL)
        r = running.wait(5)
        eq((r.status, r.result["signal"]), (137, 9), which)


@case("state is reclaimed by processes that race for it", ids=["R-03", "FI-02", "FI-09"], timeout=60)
def racing_reclaim():
    rounds = 3 if SCALE <= 1 else 1
    for _ in range(rounds):
        doomed = [start(["sleep", "300"], result=False) for _ in range(4)]
        for running in doomed:
            inside(running, "sleep")
        for running in doomed:
            running.process.kill()
            running.process.wait()
        many = [start(["sh", "-c", "cat /proc/self/uid_map; read wait"], stdin="pipe") for _ in range(12)]
        wait_until(lambda many=many: all("\n" in m.stdout for m in many), 15, "start of all")
        bases = [m.stdout.split()[1] for m in many]
        eq(len(set(bases)), len(bases), "different id ranges")
        for m in many:
            m.wait()
        for running in doomed:
            for stream in (running.process.stdout, running.process.stderr):
                stream.close()
    eq(records(), {})


@case("a process killed for want of memory takes the whole command with it, each time", ids=["FI-15", "E-48"], timeout=60)
def memory_for_all():
    # The parent only waits; it is the child that is killed.
    code = (
        "import os\n"
        "if os.fork() == 0:\n"
        "  keep = []\n"
        "  while True: keep.append(bytearray(1 << 20))\n"
        "os.wait()\n"
        "import time; time.sleep(3); print('survived')\n"
    )
    for i in range(6 if SCALE <= 1 else 2):
        r = python(code, "-m", "48m")
        eq((r.status, r.stdout, r.result["reason"]), (137, "", "oom"), f"run {i}")


@case("whatever bytes a command's name has: one printable line and a result", ids=["E-38", "FI-01"])
def odd_names():
    for name in (b"\xff", b"a\nb", b"\x1b[31m", b"\xc3", b"x" * 160 + b"\xe2\x82\xac" * 30, "ü".encode() * 120):
        r = run([name])
        eq(r.status, 127, f"status for {name[:10]!r}: {r!r}")
        eq(r.stderr.count("\n"), 1, f"lines for {name[:10]!r}")
        ok(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", r.stderr), f"control characters: {r.stderr!r}")
        eq(r.result["exit_code"], 127)


@case("a caller that ignores a full or closed standard error gets the status all the same", ids=["FI-01", "FI-20"])
def no_stderr():
    full = os.open("/dev/full", os.O_WRONLY)
    eq(run(["no-such-command"], stderr=full, stdout=full).status, 127)
    os.close(full)

    def closed():
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                os.close(fd)

    # Whatever carrel opens must not become the command's descriptor 0, 1 or 2.
    r = run(["/usr/bin/python3", "-I", "-S", "-c", "import os,sys; sys.exit(sorted(os.listdir('/proc/self/fd'))[:3] != ['0','1','2'] or {os.readlink(f'/proc/self/fd/{i}') for i in range(3)} != {'/dev/null'})"], preexec=closed)
    eq(r.status, 0)
