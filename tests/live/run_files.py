# SPDX-License-Identifier: Apache-2.0
"""carrel run: what a sandbox sees as its files."""

from harness import *


def mount_table(*options):
    r = run([*options, "cat", "/proc/self/mountinfo"]).expect()
    return parse_mounts(r.stdout)


def listing(directory, *options):
    return run([*options, "ls", "-A", directory]).expect().stdout.split()


@case("the root holds what a root needs and nothing of the host's own")
def root_listing():
    got = set(listing("/"))
    links = {n for n in ("bin", "sbin", "lib", "lib32", "lib64", "libx32") if os.path.islink("/" + n)}
    eq(got, {"dev", "etc", "home", "proc", "run", "sys", "tmp", "usr", "var"} | links)


@case("nothing of the host's /home /root /var /run /srv /mnt /opt /boot /media is there")
def nothing_of_the_host():
    for name in ("root", "srv", "mnt", "opt", "boot", "media", "lost+found"):
        r = sh(f"test -e /{name}")
        eq(r.status, 1, f"/{name} exists: status")
    eq(listing("/home"), ["user"])
    for name in ("/run", "/tmp", "/sys", "/home/user", "/dev/shm"):
        eq(listing(name), [], name)
    eq(listing("/var"), ["tmp"])
    eq(run(["readlink", "/var/tmp"]).expect().stdout, "../tmp\n")


@case("no socket is reachable through the file system", ids=["E-51"])
def no_sockets():
    # Not all of /usr: that would be slow, and it is the distribution's.
    eq(sh("find / -path /proc -prune -o -path /usr -prune -o -type s -print 2>/dev/null; exit 0").expect().stdout, "")


@case("the root, /usr, /etc, /dev, /proc and /sys cannot be written")
def read_only():
    script = (
        "for d in / /usr /usr/bin /usr/local /etc /etc/ssl /dev /proc /sys /var /home; do\n"
        "  touch $d/x 2>/dev/null && echo written $d\n"
        "  mkdir $d/y 2>/dev/null && echo made $d\n"
        "done\n"
        "for f in /etc/passwd /etc/hosts /etc/resolv.conf /usr/bin/env /proc/sys/kernel/pid_max /proc/cmdline; do\n"
        "  (echo x >>$f) 2>/dev/null && echo wrote $f\n"
        "  rm -f $f 2>/dev/null && echo removed $f\n"
        "done; exit 0"
    )
    r = sh(script).expect()
    eq(r.stdout, "")
    r = sh("touch /usr/x")
    contains(r.stderr, "Read-only file system")


GOLDEN = {
    # mount point: (type, flags)
    "/": ("tmpfs", "ro nosuid nodev noexec relatime"),
    "/usr": ("overlay", "ro nosuid nodev relatime"),
    "/proc": ("proc", "rw nosuid nodev noexec relatime"),
    "/proc/sys/kernel/random/uuid": ("proc", "ro nosuid nodev noexec relatime"),
    "/dev": ("tmpfs", "ro nosuid noexec relatime"),
    "/dev/pts": ("devpts", "rw nosuid noexec relatime"),
    "/dev/shm": ("tmpfs", "rw nosuid nodev noexec relatime"),
    "/run": ("tmpfs", "rw nosuid nodev noexec relatime"),
    "/tmp": ("tmpfs", "rw nosuid nodev relatime"),
    "/home/user": ("tmpfs", "rw nosuid nodev relatime"),
}
PROC_COVER = ("tmpfs", "ro nosuid nodev noexec relatime")
ETC_SHOWN = ("overlay", "ro nosuid nodev relatime")
ETC_NAMES = r"/etc/(alternatives|fonts|java-.*-openjdk|ld\.so\.cache|mime\.types|protocols|python3.*|services|ssl/certs|ssl/openssl\.cnf|terminfo)$"


def check_mount(m, golden):
    what = (m.type, " ".join(sorted(m.flags)))
    expected = golden.get(m.point)
    if not expected and m.point.startswith("/proc/"):
        expected = PROC_COVER
    if not expected and re.match(ETC_NAMES, m.point):
        expected = ETC_SHOWN
    ok(expected, f"unexpected mount on {m.point}")
    eq(what, (expected[0], " ".join(sorted(expected[1].split()))), m.point)
    eq(m.tags, [], f"propagation of {m.point}")


@case("the mount table is the golden one: type and flags of every mount, nothing shared", ids=["E-11", "E-21"])
def golden_mounts():
    w = Workspace()
    golden = {**GOLDEN, "/workspace": (None, None), "/data": ("tmpfs", "rw nosuid nodev relatime")}
    mounts = mount_table(*w.options(), "--tmpfs", "/data")
    source = subprocess.run(["stat", "-f", "-c", "%T", w.path], capture_output=True, text=True, check=True).stdout
    points = [m.point for m in mounts]
    eq(len(points), len(set(points)), "mount points that are covered twice")
    for m in mounts:
        if m.point == "/workspace":
            ok({"rw", "nosuid", "nodev"} <= m.flags, f"{m.point}: {m.flags} ({source.strip()})")
            eq(m.tags, [], "propagation of the workspace")
            ok("noexec" not in m.flags, "the workspace is noexec")
            continue
        check_mount(m, golden)
    for point in golden:
        ok(point in points, f"no mount on {point}")


@case("every mount is nosuid, and nodev but for /dev and /dev/pts; no file system of the host's is there", ids=["E-11", "E-21", "E-28"])
def mount_flags():
    for m in mount_table():
        ok("nosuid" in m.flags, f"{m.point} is not nosuid")
        ok("nodev" in m.flags or m.point in ("/dev", "/dev/pts"), f"{m.point} is not nodev")
        ok(m.type in ("tmpfs", "overlay", "proc", "devpts"), f"{m.point} is {m.type}")


@case("no mount lets a writable file be executed where it should not: /dev/shm and /run are noexec")
def noexec():
    script = "cp /usr/bin/true $0/t && chmod 755 $0/t && exec $0/t"
    for directory, status in (("/dev/shm", 126), ("/run", 126), ("/tmp", 0), ("/home/user", 0)):
        eq(run(["sh", "-c", script, directory]).status, status, directory)


@case("/proc shows only the sandbox's own processes and covers the rest", ids=["E-29"])
def proc_content():
    r = sh("echo /proc/[0-9]*; cat /proc/cmdline /proc/keys /proc/kallsyms /proc/interrupts /proc/timer_list; ls -A /proc/sys /proc/fs /proc/bus /proc/irq").expect()
    lines = r.stdout.splitlines()
    ok(len(lines[0].split()) <= 3, lines[0])
    eq([x for x in lines[1:] if x and not x.endswith(":")], ["kernel", "net", "vm"])
    for name in ("kcore", "kmsg", "sysrq-trigger", "config.gz", "mem"):
        eq(sh(f"test -s /proc/{name}").status, 1, f"/proc/{name} has content")
    r = sh("cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/uuid; cat /proc/meminfo | head -1; cat /proc/sys/kernel/osrelease")
    first, second, memory, release = r.expect().stdout.splitlines()
    ok(first != second and memory.startswith("MemTotal"), r)
    eq(release, os.uname().release)


@case("/dev holds the few devices that programs need, and they work")
def dev_content():
    eq(sorted(listing("/dev")), sorted("fd full null ptmx pts random shm stderr stdin stdout tty urandom zero".split()))
    eq(listing("/dev/pts"), ["ptmx"])
    r = sh("cd /dev; stat -c '%n %F %t:%T %a' full null random tty urandom zero; readlink fd stdin stdout stderr ptmx").expect()
    eq(r.stdout.splitlines(), [
        "full character special file 1:7 666", "null character special file 1:3 666",
        "random character special file 1:8 666", "tty character special file 5:0 666",
        "urandom character special file 1:9 666", "zero character special file 1:5 666",
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx",
    ])
    eq(sh("echo x >/dev/null && head -c4 /dev/zero | wc -c && head -c4 /dev/urandom | wc -c; echo x 2>/dev/null >/dev/full || echo full").expect().stdout,
       "4\n4\nfull\n")


@case("/dev/stdin, /dev/stdout and /dev/stderr can be opened where they are pipes")
def dev_stdout():
    script = "echo out >/dev/stdout && echo err >/dev/stderr && cat /dev/stdin"
    r = run(["sh", "-c", script], input=b"in").expect()
    eq((r.stdout, r.stderr), ("out\nin", "err\n"))


@case("device nodes are the sandbox's own: a lock on /dev/null is nobody else's", ids=["E-27"])
def dev_lock():
    r = start(["flock", "/dev/null", "sh", "-c", "echo locked; exec sleep 100"])
    r.expect_output("locked")
    with open("/dev/null") as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    run(["flock", "-n", "/dev/null", "true"]).expect()
    r.send(signal.SIGTERM)
    r.wait()


@case("/etc is made up: users, hosts, names; nothing secret of the host's")
def etc_content():
    allowed = set("alternatives fonts ld.so.cache mime.types protocols services ssl terminfo group hostname hosts localtime mtab nsswitch.conf os-release passwd resolv.conf".split())
    got = set(listing("/etc"))
    ok({"passwd", "group", "hosts", "hostname", "resolv.conf", "nsswitch.conf"} <= got, got)
    extra = {n for n in got - allowed if not re.match(r"python3|java-", n)}
    eq(extra, set())
    r = sh("cat /etc/passwd; echo; cat /etc/group; echo; cat /etc/hosts; echo; cat /etc/resolv.conf; ls -A /etc/ssl", "-u", "5:6").expect()
    passwd, group, hosts, rest = r.stdout.split("\n\n")
    eq([x.split(":")[0] + ":" + x.split(":")[2] for x in passwd.splitlines()], ["root:0", "user:5", "nobody:65534"])
    eq([x.split(":")[0] + ":" + x.split(":")[2] for x in group.splitlines()], ["root:0", "tty:5", "user:6", "nogroup:65534"])
    contains(hosts, "127.0.0.1\tlocalhost carrel")
    ok(set(rest.split()) <= {"certs", "openssl.cnf"}, rest)


@case("a tmpfs has the size asked for and fails with ENOSPC when it is full", timeout=30)
def tmpfs_sizes():
    r = sh("for d in /tmp /run /dev/shm /home/user /a /b/c; do stat -f -c '%b %S' $d; done", "--tmpfs", "/a:size=1m", "--tmpfs", "/b/c")
    sizes = [int(x.split()[0]) * int(x.split()[1]) for x in r.expect().stdout.splitlines()]
    eq([s >> 20 for s in sizes], [257, 257, 257, 257, 1, 64], "the default ones share what they have together")
    r = sh("head -c 2000000 /dev/zero >/a/x; wc -c </a/x; stat -c %a:%U /a", "--tmpfs", "/a:size=1m").expect()
    contains(r.stderr, "No space left on device")
    eq(r.stdout.split(), [str(1 << 20), "1777:root"])


@case("a tmpfs has a limit of inodes", ids=["E-50"], timeout=40)
def tmpfs_inodes():
    r = sh("cd /a; seq 1 3000 | xargs touch; ls | wc -l", "--tmpfs", "/a:size=1m")
    ok(int(r.stdout) <= 1024, r.stdout)
    contains(r.stderr, "No space left on device")


@case("a default tmpfs can be resized or replaced by a volume")
def tmpfs_replaced():
    w = Workspace()
    w.file("f", "x")
    r = sh("stat -f -c '%b %S' /tmp; ls /home/user", "--tmpfs", "/tmp:size=8m", "-v", f"{w.path}:/home/user").expect()
    blocks, size, name = r.stdout.split()
    eq((int(blocks) * int(size), name), (8 << 20, "f"))


def workspace_of(owner):
    w = Workspace(owner=owner)
    w.file("given", "from outside\n", mode=0o600)
    script = "stat -c %u:%g . given; cat given; echo inside >made; mkdir dir; ln -s made link; chmod 750 made; echo more >>given"
    r = sh(script, "-u", "1000:1001", *w.options()).expect()
    eq(r.stdout, "1000:1001\n1000:1001\nfrom outside\n")
    eq(r.result["id_mapping"], "mount")
    for name in ("made", "dir", "link", "given"):
        st = os.lstat(w / name)
        eq((st.st_uid, st.st_gid), owner, name)
    eq((read(w / "made"), read(w / "given")), ("inside\n", "from outside\nmore\n"))


@case("what is written in a workspace belongs on disk to the workspace's owner", ids=["E-22"])
def workspace_owner():
    workspace_of((1234, 2345))


@case("a workspace that belongs to root works the same", ids=["E-22"])
def workspace_root():
    workspace_of((0, 0))


@case("files of anybody else in a workspace are nobody's inside and stay protected")
def workspace_foreign():
    w = Workspace(mode=0o777)
    for name, mode in (("private", 0o600), ("public", 0o644)):
        with open(w / name, "w") as f:
            f.write("secret\n")
        os.chown(w / name, 0, 0)
        os.chmod(w / name, mode)
    r = sh("stat -c %u:%g private; cat public; cat private; echo x >>public", *w.options())
    eq(r.stdout, "65534:65534\nsecret\n")
    eq(r.stderr.count("ermission denied"), 2, r.stderr)
    eq(read(w / "public"), "secret\n")


@case("a setuid program in the workspace runs as the user all the same", ids=["E-21"])
def workspace_setuid():
    w = Workspace()
    shutil.copyfile("/usr/bin/id", w / "id")
    os.chown(w / "id", 0, 0)
    os.chmod(w / "id", 0o6755)
    r = run([*w.options(), "/workspace/id", "-u"]).expect()
    eq(r.stdout, "1000\n")


@case("a device node that the host put into the workspace cannot be opened, none can be made", ids=["E-21"])
def workspace_device():
    w = Workspace()
    os.mknod(w / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chmod(w / "null", 0o666)
    r = sh("cat null; mknod new c 1 3; mknod block b 8 0; mkfifo fifo && echo fifo", *w.options())
    eq(r.stdout, "fifo\n")
    contains(r.stderr, "null: Permission denied")
    eq(sorted(os.listdir(w.path)), ["fifo", "null"])


def overlay_dir(owner):
    """A directory on a file system that cannot be id-mapped: an overlay, in a mount
    namespace of the case's own."""
    private_mounts()
    top = idmap_dir()
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(os.path.join(top, name))
    merged = os.path.join(top, "merged")
    mount("overlay", merged, "overlay", 0, f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work")
    ok(not can_idmap(merged), "overlays can be id-mapped here")
    os.chown(merged, *owner)
    os.chmod(merged, 0o755)
    return merged


@case("on a file system that cannot be id-mapped the owner is mapped directly")
def direct_mapping():
    directory = overlay_dir((1234, 2345))
    r = sh("stat -c %u:%g .; echo x >made; stat -c %u:%g made; id -u", "--workspace", directory).expect()
    eq(r.stdout.split(), ["1000:1000", "1000:1000", "1000"])
    eq(r.result["id_mapping"], "direct")
    st = os.stat(os.path.join(directory, "made"))
    eq((st.st_uid, st.st_gid), (1234, 2345))


@case("on a file system that cannot be id-mapped a directory of root's is refused")
def direct_root():
    directory = overlay_dir((0, 0))
    r = sh("true", "--workspace", directory).expect(125)
    matches(r.stderr, r"^carrel: run: mount the workspace on /workspace: [^\n]*belongs to root[^\n]*\n$")
    os.chown(directory, 1234, 0)
    sh("true", "--workspace", directory).expect(125)


@case("volumes are writable, or read-only with :ro")
def volumes():
    a, b = Workspace(), Workspace()
    b.file("f", "b\n")
    r = sh("echo x >/a/x; cat /b/f; echo x >/b/x; rm /b/f", "-v", f"{a.path}:/a:rw", "--volume", f"{b.path}:/b:ro")
    eq(r.stdout, "b\n")
    eq(r.stderr.count("Read-only file system"), 2, r.stderr)
    eq((os.listdir(a.path), os.listdir(b.path)), (["x"], ["f"]))


@case("two volumes and a workspace of different owners each keep their owner")
def volume_owners():
    spaces = [Workspace(owner=o) for o in ((1234, 2345), (0, 0), (77, 88))]
    sh("touch /workspace/x /a/x /b/x", "--workspace", spaces[0].path, "-v", f"{spaces[1].path}:/a", "-v", f"{spaces[2].path}:/b").expect()
    for w in spaces:
        st = os.stat(w / "x")
        eq((st.st_uid, st.st_gid), w.owner)


@case("a file can be a volume, read-only or writable")
def file_volumes():
    w = Workspace()
    one, two = w.file("one", "1\n"), w.file("two", "2\n")
    r = sh("cat /data/one /data/two; echo x >>/data/two; echo x >>/data/one; ls /data", "-v", f"{one}:/data/one:ro", "-v", f"{two}:/data/two")
    eq(r.stdout, "1\n2\none\ntwo\n")
    contains(r.stderr, "Read-only file system")
    eq((read(one), read(two)), ("1\n", "2\nx\n"))


@case("mount points are made at any depth, and below other volumes when they exist there")
def nested():
    a, b = Workspace(), Workspace()
    a.dir("inner")
    b.file("f", "b\n")
    options = ["-v", f"{b.path}:/x/inner", "-v", f"{a.path}:/x", "-v", f"{b.path}:/deep/er/and/deeper", "--tmpfs", "/x/inner2"]
    r = sh("true", *options).expect(125)
    contains(r.stderr, "/x/inner2")
    r = sh("cat /x/inner/f /deep/er/and/deeper/f; ls /x", *options[:-2]).expect()
    eq(r.stdout, "b\nb\ninner\n")
    eq(os.listdir(a.path), ["inner"])


@case("the order of options does not matter: parents are mounted first")
def mount_order():
    a, b = Workspace(), Workspace()
    a.dir("b")
    a.file("f", "a\n")
    b.file("f", "b\n")
    first, second = ["-v", f"{a.path}:/a"], ["-v", f"{b.path}:/a/b"]
    for options in (first + second, second + first):
        eq(sh("cat /a/f /a/b/f", *options).expect().stdout, "a\nb\n")


@case("a link that was planted in a volume is not a mount point", ids=["E-02", "E-40"])
def link_in_volume():
    a, b = Workspace(), Workspace()
    os.symlink("/etc", a / "link")
    os.symlink("/", a / "root")
    for target in ("/a/link", "/a/root/etc", "/a/link/ssl"):
        r = sh("true", "-v", f"{a.path}:/a", "-v", f"{b.path}:{target}").expect(125)
        matches(r.stderr, rf"^carrel: run: [^\n]*{target}[^\n]*symbolic link\n$")


@case("a file is not mounted on a link that was planted in a volume", ids=["E-02", "E-40"])
def file_on_link():
    a, b = Workspace(), Workspace()
    os.symlink("/etc/passwd", a / "link")
    os.symlink("nowhere", a / "dangling")
    source = b.file("f", "b\n")
    for name in ("link", "dangling"):
        r = sh("true", "-v", f"{a.path}:/a", "-v", f"{source}:/a/{name}").expect(125)
        matches(r.stderr, rf"^carrel: run: [^\n]*/a/{name}[^\n]*symbolic link\n$")


@case("a volume shows what is mounted below its directory neither writable nor by accident", ids=["E-11"])
def submounts():
    private_mounts()
    w = Workspace()
    w.dir("sub")
    mount("tmpfs", w / "sub", "tmpfs")
    with open(w / "sub/secret", "w") as f:
        f.write("x")
    eq(sh("ls -A /workspace/sub", *w.options()).expect().stdout, "")


MS_BIND, MS_SHARED = 0x1000, 0x100000


@case("where the host's mounts are shared, as with systemd, no mount of a sandbox reaches the host", ids=["E-11"])
def shared_host():
    private_mounts()
    top = idmap_dir()
    mount(top, top, "none", MS_BIND)
    mount("none", top, "none", MS_SHARED)
    a, b = Workspace(parent=top), Workspace(parent=top)
    a.dir("b")
    source = b.file("f", "x")
    a.file("f", "")
    before = read("/proc/self/mountinfo")
    r = run(["--workspace", a.path, "-v", f"{b.path}:/workspace/b", "-v", f"{source}:/workspace/f", "cat", "/proc/self/mountinfo"]).expect()
    eq(sorted(set(read("/proc/self/mountinfo").splitlines()) ^ set(before.splitlines())), [], "mounts of the host that changed")
    eq([m.point for m in parse_mounts(r.stdout) if m.tags], [], "mounts inside with propagation")


@case("a host's /usr and /etc that are mounts of their own are shown as they are, and not what is below them", ids=["E-27"])
def mounts_of_their_own():
    private_mounts()
    other = os.path.join(here.directory, "other-etc")
    shutil.copytree("/etc", other, symlinks=True)
    with open(os.path.join(other, "services"), "a") as f:
        f.write("marked 4711/tcp\n")
    mount(other, "/etc", "none", MS_BIND)
    mount("/usr", "/usr", "none", MS_BIND)
    r = sh("grep -c ^marked /etc/services; ls /usr/bin/env; cat /proc/self/mountinfo").expect()
    first, second, table = r.stdout.split("\n", 2)
    eq((first, second), ("1", "/usr/bin/env"))
    shown = {m.point: m for m in parse_mounts(table)}
    eq({shown[point].type for point in ("/usr", "/etc/services")}, {"overlay"})
    ok(shown["/usr"].device != shown["/etc/services"].device, "one overlay for two mounts")


# --- a root directory of one's own ------------------------------------------------------

BUSYBOX = next((p for p in ("/usr/bin/busybox", "/bin/busybox") if os.path.exists(p)), None)


def small_rootfs():
    if not BUSYBOX:
        raise Skip("busybox-static is not installed")
    top = idmap_dir()
    os.chmod(top, 0o755)
    for name in ("bin", "etc", "data", "opt"):
        os.mkdir(os.path.join(top, name))
    shutil.copy(BUSYBOX, os.path.join(top, "bin/busybox"))
    for name in ("sh", "cat", "ls", "id", "echo", "touch", "mount", "env", "grep", "flock", "sleep", "readlink"):
        os.symlink("busybox", os.path.join(top, "bin", name))
    for name, content in (("etc/passwd", "root:x:0:0::/:/bin/sh\nme:x:1000:1000::/data:/bin/sh\n"),
                          ("etc/hosts", "10.0.0.1 theirs\n"), ("opt/tool", "#!/bin/sh\necho tool\n")):
        with open(os.path.join(top, name), "w") as f:
            f.write(content)
    os.chmod(os.path.join(top, "opt/tool"), 0o755)
    return top


@case("--rootfs DIR is the root, read-only, with /dev, /proc, /tmp and names laid over it")
def rootfs_directory():
    top = small_rootfs()
    before = sorted(os.listdir(top))
    w = Workspace()
    script = "id -un; cat /etc/hostname; /opt/tool; echo x >/tmp/x && echo x >/workspace/x; ls /; touch /bin/x /etc/x /data/x /x; cat /etc/hosts"
    r = sh(script, "--rootfs", top, *w.options())
    eq(r.stdout.splitlines()[:3], ["me", "carrel", "tool"])
    contains(r.stdout, "127.0.0.1\tlocalhost carrel")
    ok("theirs" not in r.stdout, "the rootfs' /etc/hosts shows")
    eq(r.stderr.count("Read-only file system"), 4, r.stderr)
    eq(sorted(os.listdir(top)), before, "content of the directory")
    eq(sorted(os.listdir(os.path.join(top, "etc"))), ["hosts", "passwd"])


@case("the mount table over --rootfs DIR is the golden one", ids=["E-11"])
def rootfs_mounts():
    golden = dict(GOLDEN)
    del golden["/usr"]
    golden["/"] = ("overlay", "ro nosuid nodev relatime")
    mounts = mount_table("--rootfs", small_rootfs())
    for m in mounts:
        check_mount(m, golden)
    eq(set(golden) - {m.point for m in mounts}, set())


@case("a rootfs with a link where carrel mounts is refused and nothing lands behind it", ids=["E-01", "E-06", "E-07"], timeout=60)
def rootfs_links():
    outside = idmap_dir()
    for name in ("proc", "dev", "sys", "etc", "tmp", "run"):
        for target in (outside, "/", "data"):
            top = small_rootfs()
            shutil.rmtree(os.path.join(top, name), ignore_errors=True)
            os.symlink(target, os.path.join(top, name))
            r = run(["--rootfs", top, "/bin/sh", "-c", "true"]).expect(125)
            matches(r.stderr, rf"^carrel: run: use rootfs [^\n]*/{name} is not a directory\n$")
            eq(os.listdir(outside), [], "content of the link's target")


@case("a rootfs with a file, FIFO or device where carrel mounts is refused", ids=["E-01"])
def rootfs_odd():
    for name, make in (("proc", lambda p: open(p, "w").close()), ("dev", os.mkfifo),
                       ("tmp", lambda p: os.mknod(p, 0o666 | stat.S_IFCHR, os.makedev(1, 3)))):
        top = small_rootfs()
        make(os.path.join(top, name))
        run(["--rootfs", top, "/bin/sh", "-c", "true"]).expect(125)


@case("links in a rootfs where users' mounts go do not lead outside", ids=["E-07"], timeout=40)
def rootfs_target_links():
    outside, w = idmap_dir(), Workspace()
    w.file("marker", "x")
    for where, target in (("workspace", "/workspace"), ("home", "/home/user"), ("opt/in", "/opt/in/side"), ("data/w", "/data/w")):
        top = small_rootfs()
        os.symlink(outside, os.path.join(top, where))
        r = run(["--rootfs", top, "-v", f"{w.path}:{target}", "/bin/sh", "-c", f"cat {target}/marker"])
        ok((r.status, r.stdout) == (0, "x") or r.status == 125, r)
        eq(os.listdir(outside), [], "content of the link's target")
        eq(os.readlink(os.path.join(top, where)), outside, "the link in the rootfs")


@case("/etc files of a rootfs that are links are replaced, not followed", ids=["E-01", "E-07"])
def rootfs_etc_links():
    outside = os.path.join(idmap_dir(), "victim")
    with open(outside, "w") as f:
        f.write("untouched\n")
    top = small_rootfs()
    for name in ("resolv.conf", "hostname"):
        os.symlink(outside, os.path.join(top, "etc", name))
    os.unlink(os.path.join(top, "etc/hosts"))
    os.symlink(outside, os.path.join(top, "etc/hosts"))
    r = run(["--rootfs", top, "/bin/sh", "-c", "cat /etc/hostname"]).expect()
    eq(r.stdout, "carrel\n")
    eq(read(outside), "untouched\n")


@case("a rootfs that is a link, or below one, is refused", ids=["E-49"])
def rootfs_is_link():
    top = small_rootfs()
    link = os.path.join(here.work, "link")
    os.symlink(top, link)
    for path in (link, link + "/", os.path.join(link, "data")):
        r = run(["--rootfs", path, "/bin/sh"]).expect(125)
        contains(r.stderr, "symbolic link")


# --- what namespaces do not separate ------------------------------------------------------


@case("a lock on a file of /usr is seen neither by the host nor by another sandbox", ids=["E-27"])
def usr_locks():
    path = "/usr/bin/env"
    r = start(["flock", path, "sh", "-c", "echo locked; exec sleep 100"])
    r.expect_output("locked")
    with open(path) as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run(["flock", "-n", path, "true"]).expect()
    r.send(signal.SIGTERM)
    r.wait()
    with open(path) as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        run(["flock", "-n", path, "true"]).expect()


@case("a lock on a file of a rootfs is not seen by another sandbox", ids=["E-27"])
def rootfs_locks():
    top = small_rootfs()
    listed = subprocess.run(["ldd", "/usr/bin/flock"], capture_output=True, text=True, check=True).stdout
    os.unlink(os.path.join(top, "bin/flock"))
    shutil.copy("/usr/bin/flock", os.path.join(top, "bin/flock"))
    for library in re.findall(r"(/\S+) \(", listed):
        os.makedirs(top + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, top + library)
    options = ["--rootfs", top]
    r = start([*options, "/bin/flock", "/opt/tool", "/bin/sh", "-c", "echo locked; exec sleep 100"])
    r.expect_output("locked")
    run([*options, "/bin/flock", "-n", "/opt/tool", "/bin/echo"]).expect()
    with open(os.path.join(top, "opt/tool")) as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    r.send(signal.SIGTERM)
    r.wait()


@case("two sandboxes on one workspace see each other's files and locks there, and only there")
def shared_workspace():
    w = Workspace()
    r = start([*w.options(), "sh", "-c", "echo mine >f; echo x >/tmp/f; exec flock f sh -c 'echo up; exec sleep 100'"])
    r.expect_output("up")
    other = sh("cat f; ls /tmp; flock -n f true", *w.options())
    eq((other.stdout, other.status), ("mine\n", 1))
    r.send(signal.SIGTERM)
    r.wait()


@case("nothing of one sandbox is found by the next", ids=["E-46"])
def no_residue():
    mark = "echo x >/tmp/x; echo x >/dev/shm/x; echo x >/home/user/x; echo x >/run/x; ipcmk -M 100 >/dev/null; ipcmk -Q >/dev/null; ipcmk -S 1 >/dev/null; exit 0"
    sh(mark).expect()
    r = sh("ls -A /tmp /dev/shm /home/user /run | grep x; ipcs | grep -c 0x; exit 0").expect()
    eq(r.stdout.split(), ["0"])
