# SPDX-License-Identifier: Apache-2.0
"""carrel run: what is refused, with one line that names it, before anything is made."""

from harness import *


def refused(args, *parts, status=125, **kw):
    """One line on stderr that contains every part, nothing on stdout, `status`."""
    r = run(args, **kw)
    shown = repr(args)[:300]
    eq(r.status, status, f"{shown}: {r.stderr[-300:]!r}: status")
    eq(r.stdout, "", f"{shown}: stdout")
    ok(re.fullmatch(r"carrel: run: [^\n]+\n", r.stderr), f"{shown}: stderr {r.stderr[-500:]!r}")
    for part in parts:
        contains(r.stderr, part, shown)
    ok(len(r.stderr) < 4096, f"{shown}: a line of {len(r.stderr)} bytes")
    ok(not records(), f"{shown}: records left")
    return r


@case("unknown options are named")
def unknown_options():
    for word in ("--no-such", "--no-such=x", "-x", "-iX", "--privileged", "--memor", "--memory-swap", "--cap-add"):
        refused([word, "true"], word.split("=")[0] if word != "-iX" else "-iX")
    refused(["--\x1b[31m\nx", "true"], "unknown option")


@case("options without their value, and switches with one, are named")
def missing_values():
    for word in ("--rootfs", "--workspace", "-v", "--volume", "--tmpfs", "-e", "--env-file", "-w", "-u", "-m", "--cpus",
                 "--pids-limit", "--ulimit", "--network", "--hostname", "--label", "--timeout", "--max-duration",
                 "--idle-timeout", "--result-fd", "--result-file", "--config"):
        refused([word], word, "needs a value")
    refused(["--tty=yes", "true"], "--tty", "takes no value")
    refused([], "no command given")
    refused(["--"], "no command given")
    refused([""], "empty string")


SIZES = ["", "x", "-1", "0", "00", "01m", "1.5m", "1 m", " 1m", "1m ", "m", "1mb", "1t", "0x10m", "1e9", "+1m",
         "99999999999999999999", "18014398509481985k", "17179869184g", "1m\n", "５m", "infinity"]


@case("malformed sizes are refused")
def sizes():
    for size in SIZES:
        refused(["-m", size, "true"], "-m")
        refused(["--tmpfs", f"/a:size={size}", "true"], "--tmpfs")
    refused(["-m", "1m", "true"], "below 6m")


@case("malformed durations are refused")
def durations():
    for option in ("--timeout", "--max-duration", "--idle-timeout"):
        for value in ("", "0", "0s", "-1", "x", "1d", "1.5s", " 1", "1 s", "01", "1s1s", "1e3", "99999999999999999999",
                      "18446744073709551615h", "inf"):
            refused([option, value, "true"], option, value.strip())


@case("malformed processors, processes and ulimits are refused")
def numbers():
    for value in ("", "0", "-1", "x", "1.", ".5", "1,5", "0.0001", " 1", "1e1", "99999999999999999999", "01"):
        refused(["--cpus", value, "true"], "--cpus")
    for value in ("", "0", "-1", "x", "1.5", "4194305", " 1", "01", "99999999999999999999"):
        refused(["--pids-limit", value, "true"], "--pids-limit")
    for value in ("", "nofile", "nofile=", "=1", "nofile=x", "nofile=2:1", "nofile=1:", "nofile=1:2:3", "nofile=-2", "nosuch=1",
                  "nofile= 1", "NOFILE=1", "nofile=18446744073709551616", "nofile=unlimited:1"):
        refused(["--ulimit", value, "true"], "--ulimit")


@case("user ids that could be read in two ways are refused", ids=["E-20"], timeout=40)
def users():
    for value in ("0", "4294967296", "4294967295", "-1", "2147483648", "65535", "65536", "01", "0x0", "0x1", " 1", "1 ", "1:", ":", ":1",
                  "root", "user", "", "1\n", "1:0", "1:-1", "1:65535", "1:1:1", "1:x", "+1", "1.0", "1e3", "18446744073709551617",
                  "１", "1:root", "0:1", "00", "1,1"):
        refused(["-u", value, "true"], "-u", "id of 1 to 65534")


@case("a rootfs that is missing, a file, a name or a link is refused")
def rootfs():
    w = Workspace()
    path = w.file("file", "x")
    refused(["--rootfs", "/no/such/dir", "true"], "/no/such/dir", "No such file")
    refused(["--rootfs", path, "true"], path, "not a directory")
    refused(["--rootfs", "debian", "true"], "use rootfs debian", "no rootfs is called")
    refused(["--rootfs", "Debian", "true"], "--rootfs", "Debian")
    refused(["--rootfs", "", "true"], "--rootfs")
    os.symlink(w.path, path + ".link")
    refused(["--rootfs", path + ".link", "true"], path + ".link", "symbolic link")


@case("a workspace that is missing, a file, a link or below a link is refused", ids=["E-40", "E-49"])
def workspace():
    w = Workspace()
    w.dir("dir/sub")
    path = w.file("file", "x")
    os.symlink(w / "dir", w / "link")
    os.symlink("nowhere", w / "dangling")
    refused(["--workspace", w / "missing", "true"], w / "missing", "No such file")
    refused(["--workspace", path, "true"], path, "not a directory")
    for name in ("link", "link/", "link/sub", "dangling"):
        refused(["--workspace", w / name, "true"], "workspace", w / name, "symbolic link")
    for name in ("file/", "file/x"):
        refused(["--workspace", w / name, "true"], "workspace", w / name)
    refused(["--workspace", "", "true"], "workspace")
    refused(["--workspace", "/proc/self/cwd", "true"], "/proc/self/cwd", "symbolic link")
    refused(["--workspace", "x" * 5000, "true"], "workspace")
    os.mkfifo(w / "fifo")
    refused(["--workspace", w / "fifo", "true"], w / "fifo")
    refused(["--workspace", w.path, "--workspace", w.path, "true"], "--workspace")


@case("a volume source that is a FIFO, socket, device or link is refused", ids=["E-42"])
def volume_sources():
    w = Workspace()
    os.mkfifo(w / "fifo")
    os.mknod(w / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.symlink("/etc", w / "link")
    s = socket.socket(socket.AF_UNIX)
    s.bind(w / "socket")
    for name in ("fifo", "null", "socket", "link", "link/passwd", "missing"):
        refused(["-v", f"{w / name}:/x", "true"], w / name)


@case("a working directory that does not exist, is a file or is relative is refused")
def directories():
    refused(["-w", "/nonexistent", "true"], "/nonexistent", "No such file")
    refused(["-w", "/etc/passwd", "true"], "/etc/passwd", "Not a directory")
    for path in ("tmp", ".", "", "../tmp"):
        refused(["-w", path, "true"], "-w", "not an absolute path")
    refused(["-w", "/" + "x" * 5000, "true"], "working directory")
    w = Workspace()
    w.dir("locked", mode=0o000)
    refused([*w.options(), "-w", "/workspace/locked", "true"], "/workspace/locked", "Permission denied")


@case("environment variables without a name are refused")
def environment_names():
    for value in ("", "=", "=x"):
        refused(["-e", value, "true"], "-e", "without a name")


@case("an environment file that is missing, a directory, or has a NUL or no name is refused by line")
def environment_files():
    w = Workspace()
    refused(["--env-file", w / "missing", "true"], "--env-file", w / "missing", "No such file")
    refused(["--env-file", w.path, "true"], "--env-file", w.path)
    refused(["--env-file", w.file("nul", b"A=1\nB=\0x\n"), "true"], f"{w / 'nul'}:2", "NUL")
    refused(["--env-file", w.file("name", b"A=1\n\n=x\n"), "true"], f"{w / 'name'}:3", "without a name")


@case("10 MiB of environment are refused, as one variable and as many")
def environment_size():
    w = Workspace()
    one = w.file("one", b"A=" + b"x" * (10 << 20))
    many = w.file("many", b"".join(b"A%06d=%s\n" % (i, b"x" * 1000) for i in range(10000)))
    refused(["--env-file", one, "true"], one, "more than")
    refused(["--env-file", many, "true"], many, "more than")
    half = w.file("half", b"".join(b"A%06d=%s\n" % (i, b"x" * 1000) for i in range(3000)))
    refused(["--env-file", half, "true"], "environment", "the kernel takes")
    refused(["--env-file", w.file("long", b"x" * (1 << 20) + b"=1"), "true"], "environment")


@case("an argument of 200 KiB, which the kernel would not take, is refused")
def long_argument():
    # It cannot even reach carrel where the kernel's limit is the same: E2BIG here.
    try:
        refused(["echo", "x" * 200000], "an argument")
    except OSError as e:
        eq(e.errno, errno.E2BIG)
    run(["echo", "x" * 130000]).expect()


@case("commands that cannot be executed are 126, those that are not there 127; both name the command")
def commands():
    w = Workspace()
    w.file("plain", "echo hi\n", mode=0o644)
    w.file("noshebang", "echo hi\n", mode=0o755)
    w.file("badshebang", "#!/no/such/interpreter\n", mode=0o755)
    w.file("binary", b"\x7fELF" + b"\0" * 100, mode=0o755)
    w.file("empty", b"", mode=0o755)
    w.dir("dir")
    os.symlink("loop", w / "loop")
    for name, status in (("plain", 126), ("noshebang", 126), ("dir", 126), ("binary", 126), ("empty", 126),
                         ("badshebang", 127), ("missing", 127), ("plain/x", 126), ("loop", 126), ("dangling", 127)):
        if name == "dangling":
            os.symlink("nowhere", w / "dangling")
        r = run([*w.options(), f"/workspace/{name}"])
        ok(r.status == status or (name == "plain/x" and r.status == 127), f"{name}: {r}")
        ok(re.fullmatch(rf"carrel: run: [^\n]*/workspace/{name}[^\n]*\n", r.stderr), f"{name}: {r}")
        eq(r.stdout, "")
    refused([*w.options(), "-e", "PATH=/workspace", "plain"], "plain", status=126)
    refused([*w.options(), "-e", "PATH=", "no-such"], "no-such", status=127)
    refused(["x" * 5000], status=127)


@case("standard streams that are closed at the start are /dev/null for the command")
def closed_streams():
    script = "for n in 0 1 2; do printf '%s ' $n; readlink /proc/self/fd/$n; done >/workspace/out 2>/dev/null; echo x; echo y >&2; exit 6"
    for closed in ([0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]):
        w = Workspace()

        def close():
            for fd in closed:
                os.close(fd)

        r = run([*w.options(), "sh", "-c", "ls -l /proc/self/fd >/workspace/fds; exit 6"], preexec=close)
        eq(r.status, 6, f"closed {closed}: {r}: status")
        listed = dict(re.findall(r" (\d+) -> (\S+)", read(w / "fds")))
        for fd in closed:
            if fd != 1:  # 1 is redirected here
                eq(listed[str(fd)], "/dev/null", f"closed {closed}: descriptor {fd}")
        r = run(["/no/such"], preexec=close)
        eq(r.status, 127, f"closed {closed}: status")


@case("a full standard output is the command's problem; carrel's own output to it is an error")
def full_output():
    with open("/dev/full", "w") as full:
        run(["true"], stdout=full.fileno()).expect()
        r = carrel(["version"], stdout=full.fileno())
        eq(r.status, 125)
        r = run(["--help"], stdout=full.fileno(), result=False)
        eq(r.status, 125)


@case("an ordinary user is told in one line what carrel needs")
def ordinary_user():
    path = os.path.join(here.work, "carrel")
    shutil.copy(CARREL, path)
    process = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", path, "run", "true"],
                             capture_output=True, text=True, timeout=scaled(10))
    eq((process.returncode, process.stdout), (125, ""))
    matches(process.stderr, r"^carrel: run: [^\n]*(root|CAP_)[^\n]*\n$")


@case("root without a capability that carrel needs is told which one", timeout=40)
def missing_capability():
    for name in ("sys_admin", "setuid", "setgid", "net_admin"):
        r = run(["true"], wrapper=["setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}"])
        ok(r.status in (0, 125), r)
        if r.status == 125:
            matches(r.stderr, r"^carrel: run: [^\n]*CAP_[A-Z_]+[^\n]*\n$")


@case("two mounts on one target are refused")
def double_mounts():
    a, b = Workspace(), Workspace()
    refused(["-v", f"{a.path}:/x", "-v", f"{b.path}:/x", "true"], "/x", "two mounts")
    refused(["-v", f"{a.path}:/x", "--tmpfs", "/x", "true"], "/x", "two mounts")
    refused(["--workspace", a.path, "-v", f"{b.path}:/workspace", "true"], "/workspace", "two mounts")
    refused(["--tmpfs", "/tmp", "--tmpfs", "/tmp", "true"], "/tmp", "two mounts")


@case("mount points that are not plain absolute paths, or are carrel's own, are refused")
def targets():
    w = Workspace()
    for target in ("/", "//", "/..", "/../x", "/a/../b", "/a/./b", "/a//b", "/a/", "a", ".", "..", "/.", "a/b", "/a/..",
                   "/proc", "/proc/x", "/proc/self", "/sys", "/sys/fs/cgroup", "/dev", "/dev/null", "/dev/pts", "/dev/shm/x",
                   "/" + "x" * 2000, "/" + "x" * 300):
        refused(["-v", f"{w.path}:{target}", "true"])
        refused(["--tmpfs", target, "true"])
    refused(["-v", f"{w.path}:/dev/shm", "true"], "/dev")


@case("volumes without a source or destination, or with a bad mode, are refused")
def volume_syntax():
    w = Workspace()
    for value in ("", ":", "::", w.path, f"{w.path}:", f":{w.path}", f"{w.path}:/x:", f"{w.path}:/x:rx", f"{w.path}:/x:ro,rw",
                  f"{w.path}:/x:ro:ro", f"{w.path}:/x:RO", f"{w.path}:/x:z"):
        refused(["-v", value, "true"], "-v")
    refused(["-v", "relative/missing:/x", "true"], "relative/missing")


@case("tmpfs options other than size are refused")
def tmpfs_syntax():
    for value in ("", ":", "/a:", "/a:size", "/a:size=", "/a:mode=777", "/a:size=1m,mode=777", "/a:1m", "/a:size=1m:ro"):
        refused(["--tmpfs", value, "true"], "--tmpfs")


@case("more mounts than there is room for are refused")
def many_mounts():
    options = [x for i in range(60) for x in ("--tmpfs", f"/t{i}")]
    refused([*options, "true"], "more than 48 mounts")


@case("a mount point below what is read-only and does not have it is refused")
def missing_mount_point():
    w = Workspace()
    refused(["-v", f"{w.path}:/usr/no-such-place", "true"], "/usr/no-such-place")
    refused(["-v", f"{w.path}:/etc/passwd", "true"], "/etc/passwd")
    f = w.file("f", "x")
    refused(["-v", f"{f}:/usr", "true"], "/usr")


@case("hostnames and labels that are none are refused")
def names():
    for value in ("", "-a", "a-", "a b", "a_b", "ä", "a" * 65, ".a", "a.", "a\nb", "a/b"):
        refused(["--hostname", value, "true"], "hostname")
    for value in ("", "=", "=x"):
        refused(["--label", value, "true"], "--label")
    refused([*[x for i in range(65) for x in ("--label", f"l{i}=x")], "true"], "--label")


@case("labels that are not text do not lose the result")
def odd_labels():
    r = run(["--label", "a=\udcff", "--label", "b=\x01", "true"])
    ok(r.status in (0, 125), r)
    ok(r.result is not None if r.status == 0 else r.stderr.count("\n") == 1, r)


def config(text, *parts):
    path = os.path.join(here.directory, "bad.conf")
    with open(path, "w") as f:
        f.write(text)
    refused(["--config", path, "true"], path, *parts, config=False)


@case("unknown keys and bad values of the configuration are named with file and line")
def configuration():
    path = os.path.join(here.directory, "bad.conf")
    config("[state]\n\ndri = /x\n", f"{path}:3", "dri")
    config("[stat]\ndir = /x\n", f"{path}:2", "stat")
    config("dir = /x\n", f"{path}:1")
    config("[ids]\nfirst = 1000\n", f"{path}:2", "1000")
    config("[ids]\nfirst = 4294967295\n", f"{path}:2")
    config("[ids]\n; comment\nranges = 0\n", f"{path}:3")
    config("[ids]\nranges = many\n", f"{path}:2", "many")
    config("[ids]\nfirst = 4294000000\nranges = 65535\n")
    config("[state]\ndir = relative\n", f"{path}:2", "relative")
    config("[state]\ndir =\n", f"{path}:2")
    config("[state\ndir = /x\n", f"{path}:1")
    config("[state]\nnonsense\n", f"{path}:2")
    refused(["--config", "/no/such.conf", "true"], "/no/such.conf", "No such file", config=False)
    refused(["--config", "/", "true"], config=False)


@case("a result file that is a link, FIFO, directory, device or has two names is refused", ids=["E-42"])
def result_files():
    w = Workspace()
    victim = w.file("victim", "untouched\n")
    os.symlink(victim, w / "link")
    os.mkfifo(w / "fifo")
    os.link(w.file("first", "two names\n"), w / "second")
    os.mknod(w / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    w.dir("dir")
    for name in ("link", "fifo", "dir", "second", "null", "missing/x"):
        refused(["--result-file", w / name, "true"], "--result-file", w / name)
    eq((read(victim), read(w / "first")), ("untouched\n", "two names\n"))


@case("a result descriptor that is not open, a standard stream or no number is refused")
def result_fds():
    for value in ("0", "1", "2", "999", "x", "-1", "", "03", "1048577", "99999999999999999999"):
        refused(["--result-fd", value, "true"], "--result-fd", result=False)


@case("a result that cannot be written is one line and status 125, once the command has run")
def result_not_writable():
    fd = os.open("/dev/null", os.O_RDONLY)
    r = run(["--result-fd", str(fd), "true"], pass_fds=[fd], result=False)
    eq(r.status, 125)
    matches(r.stderr, r"^carrel: run: [^\n]*result[^\n]*\n$")


@case("a network that is not offered is refused")
def networks():
    for value in ("host", "bridge", "", "None"):
        refused(["--network", value, "true"], "--network", value)


@case("a state directory that others can write, or below one, is refused", ids=["E-08"])
def state_directory():
    path = os.path.join(here.directory, "state.conf")

    def with_state(directory):
        with open(path, "w") as f:
            f.write(f"[state]\ndir = {directory}\n[ids]\nfirst = {here.id_first}\nranges = 8\n")
        return ["--config", path, "true"]

    top = os.path.join(here.directory, "top")
    os.makedirs(os.path.join(top, "state"))
    os.chmod(top, 0o755)
    for directory, mode, owner in ((top, 0o775, 0), (top, 0o757, 0), (top, 0o1777, 0), (top, 0o755, 1234),
                                   (top + "/state", 0o770, 0), (top + "/state", 0o702, 0), (top + "/state", 0o700, 1234)):
        os.chown(directory, owner, 0)
        os.chmod(directory, mode)
        refused(with_state(top + "/state"), os.path.basename(directory), "root's alone", config=False)
        os.chown(directory, 0, 0)
        os.chmod(directory, 0o755)
    os.symlink(top + "/state", top + "/link")
    refused(with_state(top + "/link"), "link", config=False)
    refused(with_state(top + "/missing/state"), "missing", config=False)
    with open(top + "/file", "w"):
        pass
    refused(with_state(top + "/file"), "file", config=False)
    refused(with_state("/tmp/carrel-state"), "tmp", config=False)
    run(with_state(top + "/state"), config=False).expect()


@case("carrel alone, with a word that is no command, or with too much is one line and 125")
def subcommands():
    for args in ([], ["nonsense"], [""], ["--nonsense"], ["-x"]):
        r = carrel(args)
        eq((r.status, r.stdout), (125, ""), args)
        matches(r.stderr, r"^carrel: [^\n]+\n$")
    r = carrel(["nonsense"])
    contains(r.stderr, "nonsense")


@case("control characters in what carrel repeats do not reach the terminal", ids=["E-38"])
def escapes():
    evil = "\x1b]0;x\x07\r\n"
    for args in (["--" + evil, "true"], ["-m", evil, "true"], ["-u", evil, "true"], ["--rootfs", "/" + evil, "true"],
                 ["-w", "/" + evil, "true"], ["/" + evil], ["--workspace", "/" + evil, "true"], ["-v", f"/x{evil}:/y", "true"],
                 ["-v", f"/usr:/y{evil}", "true"], ["--hostname", evil, "true"], ["--ulimit", evil, "true"], ["--network", evil, "true"],
                 ["--env-file", "/" + evil, "true"], ["--result-file", "/no/" + evil, "true"], ["--config", "/" + evil, "true"]):
        r = run(args, config=args[0] != "--config")
        ok(r.status in (125, 127), r)
        ok(re.fullmatch(r"[^\x00-\x1f\x7f]+\n", r.stderr), f"{args!r}: {r.stderr!r}")
