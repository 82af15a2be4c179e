# SPDX-License-Identifier: Apache-2.0
"""Paths that somebody hostile has a hand in: workspaces, root directories, descriptors."""

from harness import *

RENAME_EXCHANGE = 2
SYS_renameat2 = 316


def refused(r, *parts):
    """Refused with one line, and nothing of the command."""
    ok(r.status in (125, 126), f"not refused: {r!r}")
    eq(r.stdout, "")
    eq(r.stderr.count("\n"), 1, f"lines of {r.stderr!r}")
    for part in parts:
        contains(r.stderr, part)


def shapes(ws, target):
    """Links of every shape that lead to `target`, planted in the workspace."""
    inner = os.path.join(target, "sub")
    os.makedirs(ws / "real/deep", exist_ok=True)
    made = {
        "absolute": target,
        "relative": os.path.relpath(target, ws.path),
        "procroot": "/proc/self/root" + target,
        "procfd": "/proc/self/fd/0",
        "dangling": os.path.join(target, "no", "such"),
        "devfd": "/dev/fd/0",
        "self": "self",
    }
    for name, to in made.items():
        os.symlink(to, ws / name)
    os.symlink("absolute", ws / "chain")
    os.symlink(target, ws / "real/deep/link")
    return [*made, "chain", "real/deep/link", "absolute/", "absolute/sub", "absolute/.", "real/deep/link/sub", inner and "chain/sub"]


@case("no path that carrel opens passes through a symbolic link, whatever its shape", ids=["E-40", "E-49", "E-07", "E-08", "E-02"], timeout=40)
def link_shapes():
    ws, target = Workspace(), idmap_dir()
    os.mkdir(os.path.join(target, "sub"))
    os.chown(target, *ws.owner)
    before = os.listdir(target)
    for name in shapes(ws, target):
        path = ws.path + "/" + name
        refused(run(["--workspace", path, "echo", "ran"]), "workspace")
        refused(run(["-v", f"{path}:/x", "echo", "ran"]))
        refused(run(["--rootfs", path, "echo", "ran"]), "rootfs")
    eq(os.listdir(target), before)


@case("a result file is not written through a planted link, to a FIFO or to a second name", ids=["E-40", "E-42"])
def result_file():
    ws, target = Workspace(), idmap_dir()
    victim = os.path.join(target, "victim")
    with open(victim, "w") as f:
        f.write("keep")
    os.symlink(victim, ws / "link")
    os.symlink(target, ws / "dir")
    os.symlink(os.path.join(target, "new"), ws / "dangling")
    os.mkfifo(ws / "fifo")
    os.link(victim, ws / "hard")
    os.mknod(ws / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for name in ("link", "dir/victim", "dir/new", "dangling", "fifo", "hard", "null", "."):
        r = run(["--result-file", ws / name, "echo", "ran"], timeout=5)
        refused(r, "--result-file")
        eq((read(victim), os.listdir(target)), ("keep", ["victim"]), f"after {name}")


@case("an environment file is a plain file of moderate size, and no link leads to it", ids=["E-42", "E-40", "E-47"])
def env_file():
    ws, target = Workspace(), idmap_dir()
    secret = os.path.join(target, "secret")
    with open(secret, "w") as f:
        f.write("SECRET=1\n")
    os.chmod(secret, 0o600)
    os.symlink(secret, ws / "link")
    os.symlink(target, ws / "dir")
    os.mkfifo(ws / "fifo")
    os.mknod(ws / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    for name in ("link", "dir/secret", "fifo", "zero", "."):
        started = time.monotonic()
        r = run(["--env-file", ws / name, "env"], timeout=6, wrapper=["prlimit", "--as=300000000", "--"])
        refused(r, "--env-file")
        ok(time.monotonic() - started < scaled(3), f"{name} took long")


@case("a directory, or a descriptor that is only a path, is refused as standard input or output", ids=["E-13", "E-16"])
def directory_stdio():
    for flags, path in ((os.O_RDONLY, "/"), (os.O_PATH, "/"), (os.O_RDONLY, here.work), (os.O_PATH, "/etc/passwd")):
        fd = os.open(path, flags)
        r = run(["cat", "/proc/self/fd/0/etc/hostname"], stdin=fd)
        ok(r.status == 125, f"{path} as standard input: {r!r}")
        r = run(["true"], stdin=None, stderr=fd, result=False)
        ok(r.status == 125, f"{path} as standard error: {r!r}")
        os.close(fd)


@case("no working directory leads outside", ids=["E-13"], timeout=40)
def working_directories():
    ws = Workspace()
    for name, to in (("fd", "/proc/self/fd/3"), ("cwd", "/proc/1/cwd"), ("root", "/proc/1/root"), ("up", "../../../.."), ("loop", "loop")):
        os.symlink(to, ws / name)
    os.makedirs(ws / "gone")
    odd = [f"/proc/self/fd/{n}" for n in (0, 3, 4, 5, 6, 7, 8, 9, 64, 65, 255)]
    odd += ["/proc/1/cwd", "/proc/1/root", "/proc/self/cwd", "/proc/self/root", "/proc/self/task/1/root", "/proc/2/root/..",
            "/workspace/fd", "/workspace/cwd", "/workspace/root", "/workspace/loop", "/workspace/gone/../fd"]  # fmt: skip
    for path in odd if SCALE <= 1 else odd[::3]:
        r = run([*ws.options(), "-w", path, "/bin/pwd"])
        if r.status == 0:
            ok(r.stdout.startswith("/") and "unreachable" not in r.stdout, f"{path}: {r.stdout}")
            ok(r.stdout.strip() in ("/", "/workspace"), f"{path} is {r.stdout}")
        else:
            refused(r, "working directory")
    for path in ("/workspace/up", "/../../..", "/workspace/../.."):
        eq(run([*ws.options(), "-w", path, "ls", "-A", "/sys", "."]).stdout.count("workspace"), 1, path)


@case("a rootfs whose mount points are links, files or devices is refused, and nothing is made in it", ids=["E-01", "E-06", "E-07"], timeout=40)
def hostile_rootfs():
    outside = idmap_dir()
    for name in ("proc", "sys", "dev", "tmp", "etc", "run"):
        for kind in ("link", "relative", "file", "fifo"):
            root = idmap_dir()
            for other in ("proc", "sys", "dev", "tmp", "etc", "run", "bin"):
                if other != name:
                    os.mkdir(os.path.join(root, other))
            path = os.path.join(root, name)
            if kind == "link":
                os.symlink(outside, path)
            elif kind == "relative":
                os.symlink("bin", path)
            elif kind == "file":
                open(path, "w").close()
            else:
                os.mkfifo(path)
            refused(run(["--rootfs", root, "/bin/true"]), f"/{name} is not a directory")
    eq(os.listdir(outside), [])


@case("links in a rootfs where the workspace or a volume goes lead nowhere", ids=["E-01", "E-02", "E-07"])
def rootfs_links():
    outside, root, ws = idmap_dir(), idmap_dir(), Workspace()
    for name in ("workspace", "home", "data", "opt"):
        os.symlink(outside, os.path.join(root, name))
    os.mkdir(os.path.join(root, "bin"))
    shutil.copyfile(probe("posture"), os.path.join(root, "bin/posture"))
    os.chmod(os.path.join(root, "bin/posture"), 0o755)
    options = ["--rootfs", root, *ws.options(), "--tmpfs", "/data", "-v", f"{ws.path}:/opt/a/b"]
    r = run([*options, "/bin/posture"]).expect(0)
    for point in ("/workspace", "/home/user", "/data", "/opt/a/b"):
        matches(r.stdout, rf"\nmount {point} ")
    eq(os.listdir(outside), [])
    eq(sorted(os.listdir(root)), ["bin", "data", "home", "opt", "workspace"])


@case("mount points inside a hostile workspace: links are refused, nothing is created", ids=["E-02", "E-07", "E-40"])
def nested_mount_points():
    ws, data = Workspace(), Workspace()
    os.symlink("/usr", ws / "usr")
    os.symlink("sub", ws / "near")
    ws.dir("sub/inner")
    os.mkfifo(ws / "fifo")
    before = sorted(os.listdir(ws.path))
    for target in ("/workspace/usr", "/workspace/usr/lib", "/workspace/near", "/workspace/near/inner", "/workspace/absent", "/workspace/fifo"):
        refused(run([*ws.options(), "-v", f"{data.path}:{target}", "echo", "ran"]), target)
        eq(sorted(os.listdir(ws.path)), before)
    r = run([*ws.options(), "-v", f"{data.path}:/workspace/sub/inner", "sh", "-c", "echo x > sub/inner/f"])
    r.expect(0)
    eq((os.listdir(data.path), os.listdir(ws / "sub/inner")), (["f"], []))


@case("components of the workspace's path exchanged for links all the time: only the real one is ever mounted", ids=["E-02", "E-49"], timeout=60)
def exchange_race():
    top, trap = idmap_dir(), idmap_dir()
    os.chmod(top, 0o755)
    for path in ("a/b/ws/sub", "a2/b"):
        os.makedirs(os.path.join(top, path))
    open(os.path.join(top, "a/b/ws/real"), "w").close()
    os.makedirs(os.path.join(trap, "b/ws/sub"))
    open(os.path.join(trap, "b/ws/trap"), "w").close()
    for directory in (os.path.join(top, "a/b/ws"), os.path.join(trap, "b/ws")):
        os.chown(directory, 1234, 2345)
    # Each pair of names is exchanged by a process of its own.
    pairs = [("a", "x", trap), ("a/b", "a/y", os.path.join(trap, "b")), ("a/b/ws", "a/b/z", os.path.join(trap, "b/ws")), ("a/b/ws/sub", "a/b/ws/t", "/etc")]
    for _, link, to in pairs:
        os.symlink(to, os.path.join(top, link))
    racers = [swapper(os.path.join(top, name), os.path.join(top, link)) for name, link, _ in pairs]
    outcomes, end = {"ran": 0, "refused": 0}, time.monotonic() + scaled(12)
    try:
        for i in range(400 if SCALE <= 1 else 20):
            extra = ["-v", f"{trap}:/workspace/sub"] if i % 3 == 0 else []
            r = run(["--workspace", os.path.join(top, "a/b/ws"), *extra, "ls", "/workspace"], result=False)
            if r.status == 0:
                words = r.stdout.split()
                ok("real" in words and "trap" not in words, f"mounted another directory: {r.stdout}")
                outcomes["ran"] += 1
            else:
                refused(r)
                outcomes["refused"] += 1
            if time.monotonic() > end:
                break
    finally:
        for pid in racers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print(f"  {outcomes}")
    ok(outcomes["refused"] > 0, "the race never hit")
    eq(sorted(os.listdir(trap)), ["b"])


def swapper(one, other):
    """Exchanges two names of one directory, which stays the same whatever its path is."""
    directory = os.open(os.path.dirname(one), os.O_PATH)
    eq(os.path.dirname(one), os.path.dirname(other))
    a, b = os.path.basename(one).encode(), os.path.basename(other).encode()
    pid = os.fork()
    if pid:
        os.close(directory)
        return pid
    while True:
        libc.syscall(SYS_renameat2, directory, a, directory, b, RENAME_EXCHANGE)
        time.sleep(0.0005)


@case("planted FIFOs, sockets, hard links and deep trees in the workspace do not hold up a start", ids=["E-42", "E-41", "E-51", "E-52"])
def planted_files():
    ws, outside = Workspace(), idmap_dir()
    os.mkfifo(ws / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(ws / "sock")
    deep = ws.path
    for _ in range(60):
        deep += "/" + "d" * 60
        os.mkdir(deep)
    for name in os.listdir(ws.path):
        os.chown(ws / name, *ws.owner)
    r = run([*ws.options(), "-v", f"{ws.path}/fifo:/x", "echo", "ran"], timeout=5)
    refused(r, "neither a directory nor a regular file")
    refused(run([*ws.options(), "-v", f"{ws.path}/sock:/x", "echo", "ran"]), "neither a directory")
    refused(run(["--workspace", ws / "fifo", "echo", "ran"], timeout=5), "not a directory")
    code = (
        "import os\n"
        "def a(f):\n"
        "  try: f(); return 'ok'\n"
        "  except OSError as e: return e.strerror\n"
        "open('f', 'w').close()\n"
        "for src in ('/usr/bin/env', '/etc/passwd', '/tmp/t', '/other/o', '/proc/self/status'):\n"
        "  print(a(lambda: os.link(src, '/workspace/l')))\n"
        "for dst in ('/other/l', '/tmp/l', '/home/user/l', '/dev/shm/l'): print(a(lambda: os.link('f', dst)))\n"
        "print(a(lambda: os.rename('f', '/other/f')))\n"
    )
    with open(os.path.join(outside, "o"), "w"):
        os.chown(outside, 1234, 2345)
    r = python("open('/tmp/t', 'w').close()\n" + code, *ws.options(), "-v", f"{outside}:/other").expect(0)
    eq(set(r.stdout.splitlines()), {"Invalid cross-device link"})
    listener.close()
    places = "/ /etc /dev /run /tmp /home /var /usr/bin /usr/local" if SCALE > 1 else "/"
    found = sh(f"find {places} -path /proc -prune -o -type s -print 2>/dev/null; true").expect(0)
    eq(found.stdout, "", "sockets of the host inside")


@case("the start opens nothing below /tmp, loads no library and reads no locale or name service", ids=["E-10", "E-09", "E-06"], timeout=30)
def opened_paths():
    trace = os.path.join(here.directory, "trace")
    env = dict(LD_PRELOAD="/nonexistent.so", GCONV_PATH="/nonexistent", LOCPATH="/nonexistent", PATH="/nonexistent",
               LANG="de_DE.UTF-8", LC_ALL="de_DE.UTF-8", PYTHONPATH="/nonexistent", IFS="x", TMPDIR="/nonexistent",
               MALLOC_TRACE="/nonexistent", NLSPATH="/nonexistent", RESOLV_HOST_CONF="/etc/shadow", TZ="/etc/shadow")  # fmt: skip
    argv = ["strace", "-f", "-qq", "-e", "trace=%file,%network", "-o", trace]
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    r = run(["/bin/true"], env=env, wrapper=[shutil.which(argv[0]), *argv[1:]], timeout=15)
    text = read(trace).split('execve("/bin/true"')[0]
    ok(len(text) > 2000, f"trace of {len(text)} bytes: {r!r}")
    # What is named from the top, or from the working directory: not below a descriptor.
    paths = re.findall(r'(?m)^\d+ +\w+\((?:AT_FDCWD, )?"([^"]*)"', text)
    ok("/proc/self/cgroup" in paths and "/usr" in paths, f"paths: {paths}")
    for part in ("^/tmp", "^/var", "nonexistent", "locale", "gconv", r"\.so", "^/etc/(passwd|shadow|group|nsswitch)"):
        found = [p for p in paths if re.search(part, p) and p not in (CARREL, ".")]
        eq(found, [], f"paths with {part}")
    data = subprocess.run(["file", CARREL] if shutil.which("file") else ["readelf", "-d", CARREL], stdout=subprocess.PIPE, text=True).stdout
    ok("NEEDED" not in data and "dynamically linked, interpreter" not in data, "carrel is not static")


@case("procfs files covered by mounts in the caller's namespace catch nothing that carrel writes", ids=["E-05"])
def covered_procfs():
    private_mounts()
    trap = os.path.join(here.directory, "trap")
    for name in ("uid_map", "oom_score_adj", "setgroups"):
        with open(trap, "w") as f:
            f.write("")
        libc.mount(trap.encode(), f"/proc/self/{name}".encode(), None, 0x1000, None)
    for path in ("/proc/sys/user/max_user_namespaces", "/proc/sys/user/max_net_namespaces"):
        eq(libc.mount(trap.encode(), path.encode(), None, 0x1000, None), 0, "mount over " + path)
    r = run(["echo", "ran"])
    # Fine either way, as long as it is not a run that believes its words were heard.
    if r.status == 0:
        eq(read(trap), "", "written into the trap")
    else:
        refused(r)


@case("a workspace that cannot be id-mapped: its owner's one id is mapped, home and terminal are usable, root is refused", ids=["E-22", "E-21"])
def direct_mapping():
    private_mounts()
    base = os.path.join(here.directory, "layers")
    os.makedirs(base)
    mount("none", base, "tmpfs")
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(os.path.join(base, name))
    merged = os.path.join(base, "merged")
    mount("overlay", merged, "overlay", 0, f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work")
    if can_idmap(merged):
        raise Skip("this kernel id-maps overlayfs")
    ws = Workspace(parent=merged)
    r = sh("echo x > f; stat -c %u:%g f; cd; echo x > f && stat -c %u:%g f; cat /proc/self/uid_map", *ws.options()).expect(0)
    eq(r.stderr, "", "a successful run has nothing to say")
    eq(r.result["id_mapping"], "direct")
    words = r.stdout.split()
    eq(words[:2], ["1000:1000", "1000:1000"], f"owner of new files in the workspace and at home: {r!r}")
    lines = [[int(n) for n in line.split()] for line in r.stdout.splitlines()[2:]]
    eq(lines[1], [1000, ws.owner[0], 1])
    eq([x[2] for x in lines], [1000, 1, 64535])
    eq((os.stat(ws / "f").st_uid, os.stat(ws / "f").st_gid), ws.owner)
    for owner in ((0, 0), (0, 2345), (1234, 0)):
        os.chown(ws.path, *owner)
        refused(run([*ws.options(), "echo", "ran"]), "root")
