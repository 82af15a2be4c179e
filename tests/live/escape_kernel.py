# SPDX-License-Identifier: Apache-2.0
"""What the kernel offers a payload: namespaces, /proc, devices, shared objects, limits."""

from harness import *

# Starts every program that runs inside: raw calls, and the name of what they answer.
CALLS = r"""
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return 'ok' if r >= 0 else errno.errorcode[ctypes.get_errno()]
def answer(f, *a, **k):
    try:
        f(*a, **k)
        return 'ok'
    except OSError as e:
        return errno.errorcode[e.errno]
"""


def attack(code, *options, **kw):
    return python(CALLS + code, *options, **kw)


# Written down from what programs are known to need, not from rootfs/proc.c: everything
# else that exists beside the processes must be empty or refuse to be read.
PROC_ALLOWED = {
    "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version",
    "sys/kernel/cap_last_cap", "sys/kernel/ngroups_max", "sys/kernel/osrelease", "sys/kernel/pid_max",
    "sys/kernel/random/uuid", "sys/net/core/somaxconn", "sys/vm/overcommit_memory",
}  # fmt: skip

WALK = r"""
import stat
found = []
def look(path):
    try:
        st = os.lstat(path)
    except OSError:
        return
    if stat.S_ISLNK(st.st_mode):
        found.append('link ' + path)
        return
    if stat.S_ISDIR(st.st_mode):
        try:
            names = os.listdir(path)
        except OSError:
            return
        probe = os.path.join(path, 'new')
        if answer(os.mkdir, probe) == 'ok':
            found.append('mkdir ' + path)
        for name in names:
            if not (path == '/proc' and (name.isdigit() or name in ('self', 'thread-self', 'net', 'mounts'))):
                look(os.path.join(path, name))
        return
    for word, flags in (('write', os.O_WRONLY), ('both', os.O_RDWR), ('read', os.O_RDONLY)):
        try:
            fd = os.open(path, flags | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if word != 'read' or os.read(fd, 1):
                found.append(word + ' ' + path)
        except OSError:
            pass
        os.close(fd)
    for f in (lambda: os.chmod(path, 0o777), lambda: os.truncate(path, 0), lambda: os.unlink(path)):
        if answer(f) == 'ok':
            found.append('change ' + path)
for top in ('/proc', '/sys'):
    look(top)
print('\n'.join(found))
"""


@case("of /proc beside the processes only the listed files say anything, and none can be written", ids=["E-29", "E-05", "I-04"])
def proc_walk():
    lines = attack(WALK).expect(0).stdout.splitlines()
    eq([x for x in lines if not x.startswith("read ")], [], "more than reading")
    shown = {x.removeprefix("read /proc/") for x in lines}
    eq(sorted(shown - PROC_ALLOWED), [], "not on the list")
    eq(sorted({"stat", "meminfo", "cpuinfo", "uptime"} - shown), [], "programs need")


@case("/sys is empty and cgroup files are nowhere", ids=["E-28", "E-29"])
def no_sys():
    r = sh("ls -A /sys | wc -l; find / -xdev -name 'cgroup.*' -o -xdev -name release_agent 2>/dev/null | wc -l; cat /proc/self/cgroup | grep -vc ':/$'")
    eq(r.stdout.split(), ["0", "0", "0"], f"{r!r}")


KNOBS = """/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe
/proc/sys/kernel/hotplug /proc/sys/vm/panic_on_oom /proc/sys/fs/binfmt_misc/register
/proc/sys/kernel/ns_last_pid /proc/sys/user/max_user_namespaces /proc/sys/net/ipv4/ip_forward
/proc/kcore /proc/kmem /proc/kallsyms /proc/timer_list /proc/keys /proc/scsi/scsi /proc/acpi/wakeup
/proc/bus/pci /proc/irq/0/smp_affinity /proc/mtrr /proc/kmsg /proc/iomem /proc/ioports
/proc/self/mem/../../sysrq-trigger /proc/1/root/etc/shadow /proc/1/oom_score_adj /proc/1/mem
/proc/self/uid_map /proc/self/gid_map /proc/self/setgroups /proc/self/attr/current /proc/1/uid_map
/proc/self/loginuid
/sys/kernel/uevent_helper /sys/firmware /sys/class/powercap /sys/fs/cgroup/release_agent /sys/power/state
/sys/kernel/debug /sys/kernel/security /sys/kernel/mm/ksm/run /dev/mem /dev/kmsg /dev/port /dev/sda
/dev/vda /dev/loop-control /dev/fuse /dev/kvm /dev/net/tun /dev/vsock /dev/vhost-vsock /dev/console
/dev/tty /dev/tty0 /dev/ttyS0 /dev/uinput /dev/hpet /dev/cpu/0/msr /dev/userfaultfd /dev/mapper/control"""


@case("no known knob of the kernel can be written or opened", ids=["E-29", "E-05", "E-04"])
def knobs():
    code = (
        f"for p in {KNOBS.split()!r}:\n"
        "  for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY|os.O_TRUNC):\n"
        "    try: fd = os.open(p, flags|os.O_NONBLOCK)\n"
        "    except OSError: continue\n"
        "    a = answer(os.write, fd, b'0 0 1')\n"
        "    if a == 'ok' or not p.startswith('/proc/self'): print(p, flags, a)\n"
    )
    r = attack(code).expect(0)
    eq(r.stdout, "")


@case("the project id map of the user namespace cannot be written, either", ids=["E-50"])
def projid_map():
    r = attack("print(answer(lambda: open('/proc/self/projid_map', 'w', 1).write('0 0 1\\n')))")
    ok(r.stdout.split() in (["EPERM"], ["EACCES"]), r.stdout)


@case("no namespace of any kind, no mount and no root can be made or entered", ids=["E-26", "S-14", "S-15", "S-16"])
def no_namespaces():
    code = (
        "kinds = dict(mnt=0x20000, cgroup=0x2000000, uts=0x4000000, ipc=0x8000000, user=0x10000000,\n"
        "             pid=0x20000000, net=0x40000000, time=0x80)\n"
        "for name, flag in kinds.items():\n"
        "  print('unshare', name, call(272, flag))\n"
        "  print('unshare with user', name, call(272, flag | 0x10000000))\n"
        "  ns = os.open('/proc/self/ns/' + name, os.O_RDONLY)\n"
        "  print('setns', name, call(308, ns, 0))\n"
        "fd = os.pidfd_open(1)\n"
        "print('setns pidfd', call(308, fd, 0x20000))\n"
        "n = ctypes.c_char_p(b'none'); t = ctypes.c_char_p(b'tmpfs'); d = ctypes.c_char_p(b'/tmp')\n"
        "print('mount', call(165, n, d, t, 0, 0))\n"
        "print('remount', call(165, n, d, t, 32 | 4096, 0))\n"
        "print('umount', call(166, d, 2))\n"
        "print('pivot', call(155, d, d)); print('chroot', call(161, d))\n"
        "for nr in (428, 429, 430, 431, 432, 433, 442, 467): print('new', nr, call(nr, -1, -1, -1, -1, -1))\n"
    )
    lines = attack(code).expect(0).stdout.splitlines()
    eq([x for x in lines if x.split()[-1] not in ("EPERM", "ENOSYS")], [], "answers")
    eq(len(lines), 38, "answers given")


@case("the second lock: every user.max_*_namespaces is 0 in the payload's user namespace", ids=["E-26"])
def namespace_limits():
    running = start(["sleep", "60"])
    command = inside(running, "sleep")
    kinds = "cgroup ipc mnt net pid time user uts".split()
    out = subprocess.run(
        ["nsenter", f"--user=/proc/{command}/ns/user", "--", "cat", *[f"/proc/sys/user/max_{k}_namespaces" for k in kinds]],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    eq(out.split(), ["0"] * len(kinds))
    # Without the filter, and with every capability there is in it: still none.
    flags = dict(cgroup=0x2000000, ipc=0x8000000, mnt=0x20000, net=0x40000000, pid=0x20000000,
                 time=0x80, user=0x10000000, uts=0x4000000)  # fmt: skip
    ns = os.open(f"/proc/{command}/ns/user", os.O_RDONLY)
    for k, flag in flags.items():
        pid = os.fork()
        if pid == 0:
            entered = libc.setns(ns, 0x10000000) == 0
            made = libc.unshare(flag) == 0
            os._exit(1 if made else 2 if not entered else ctypes.get_errno())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        eq(code, errno.ENOSPC, f"errno of making a {k} namespace without the filter")
    running.send(signal.SIGTERM)
    running.wait()


@case("no device can be made, and one planted in the workspace cannot be opened", ids=["E-21", "S-30"])
def devices():
    ws = Workspace()
    for name, kind, device in (("block", stat.S_IFBLK, (8, 0)), ("mem", stat.S_IFCHR, (1, 1)), ("null", stat.S_IFCHR, (1, 3))):
        os.mknod(ws / name, 0o666 | kind, os.makedev(*device))
        os.chown(ws / name, *ws.owner)
    code = (
        "import stat\n"
        "for n in ('block', 'mem', 'null'): print(n, answer(os.open, '/workspace/' + n, os.O_RDWR))\n"
        "for d in ('/tmp', '/dev/shm', '/workspace', '/home/user', '/run'):\n"
        "  print(d, answer(os.mknod, d + '/x', stat.S_IFBLK | 0o666, os.makedev(8, 0)))\n"
        "  print(d, answer(os.mknod, d + '/y', stat.S_IFCHR | 0o666, os.makedev(1, 1)))\n"
        "print('dev', sorted(os.listdir('/dev')))\n"
    )
    lines = attack(code, *ws.options()).expect(0).stdout.splitlines()
    eq(lines[:3], ["block EACCES", "mem EACCES", "null EACCES"])
    eq({x.split()[1] for x in lines[3:-1]}, {"EPERM"})
    eq(lines[-1], "dev " + repr(sorted("fd full null ptmx pts random shm stderr stdin stdout tty urandom zero".split())))


@case("a setuid file planted in the workspace runs as the payload", ids=["E-21"])
def planted_setuid():
    ws = Workspace()
    for owner in (ws.owner, (0, 0)):
        shutil.copyfile("/usr/bin/id", ws / "id")
        os.chown(ws / "id", *owner)
        os.chmod(ws / "id", 0o6755)
        eq(sh("./id -u; ./id -g", *ws.options()).stdout.split(), ["1000", "1000"], f"ids with owner {owner}")
    # File capabilities are no way up either.
    os.setxattr(ws / "id", "security.capability", struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0x1FF, 0))
    os.chmod(ws / "id", 0o755)
    r = sh("cp id mine; for p in ./id ./mine; do $p -u; done; grep -h Cap /proc/self/status | sort -u | grep -vc 0000000000000000", *ws.options())
    eq(r.stdout.split(), ["1000", "1000", "0"])


@case("a payload cannot leave a setuid or setgid file on the host's disk", ids=["E-21"])
def no_new_setuid():
    ws = Workspace()
    code = (
        "import shutil\n"
        "src = '/usr/bin/id'\n"
        "def made(name, f):\n"
        "  answer(f)\n"
        "  try: print(name, oct(os.stat(name).st_mode & 0o6000))\n"
        "  except OSError: print(name, '0o0')\n"
        "for i, mode in enumerate((0o4755, 0o2755, 0o6755)):\n"
        "  n = 'chmod%d' % i; shutil.copyfile(src, n); made(n, lambda: os.chmod(n, mode))\n"
        "  n = 'fchmod%d' % i; f = open(n, 'w'); made(n, lambda: os.fchmod(f.fileno(), mode))\n"
        "  n = 'open%d' % i; made(n, lambda: os.open(n, os.O_CREAT | os.O_WRONLY, mode))\n"
        "  n = 'mknod%d' % i; made(n, lambda: os.mknod(n, 0o100000 | mode))\n"
        "  n = 'fchmodat%d' % i; shutil.copyfile(src, n); made(n, lambda: call(452, -100, ctypes.c_char_p(n.encode()), mode, 0))\n"
        "  n = 'creat%d' % i; made(n, lambda: call(85, ctypes.c_char_p(n.encode()), mode))\n"
        "  n = 'openat2%d' % i; how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, mode, 0)\n"
        "  made(n, lambda: call(437, -100, ctypes.c_char_p(n.encode()), how, 24))\n"
    )
    lines = attack(code, *ws.options()).expect(0).stdout.splitlines()
    eq(len(lines), 21)
    eq([x for x in lines if not x.endswith(" 0o0")], [], "set-id files seen inside")
    bad = [n for n in os.listdir(ws.path) if os.lstat(ws / n).st_mode & 0o6000]
    eq(bad, [], "set-id files on the host's disk")


@case("locks and leases on files of the root do not meet those of other sandboxes or the host", ids=["E-27"])
def locks():
    code = (
        "import fcntl, time\n"
        "files = ['/usr/bin/env', '/etc/ssl/openssl.cnf', '/usr/lib/os-release', '/dev/null', '/etc/passwd']\n"
        "held = []\n"
        "for p in files:\n"
        "  f = os.open(p, os.O_RDONLY); held.append(f)\n"
        "  print(p, answer(fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB), answer(fcntl.fcntl, f, fcntl.F_SETLEASE, fcntl.F_WRLCK))\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    command = ["/usr/bin/python3", "-I", "-S", "-c", CALLS + code]
    first = start(command, stdin="pipe")
    first.expect_output("held")
    second = start(command, stdin="pipe")
    second.expect_output("held")
    for running in (first, second):
        lines = running.stdout.splitlines()[:-1]
        eq({x.split(" ", 1)[1] for x in lines}, {"ok EPERM"}, "locks and leases inside")
    for path in ("/usr/bin/env", "/usr/lib/os-release", "/dev/null"):
        with open(path, "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    first.wait()
    second.wait()


@case("keyrings, handles, other ABIs' doors and debugging are shut with the filter's own answers", ids=["E-27", "E-32", "E-35", "S-20", "S-21", "S-26", "E-31"])
def shut_calls():
    code = (
        "buf = ctypes.create_string_buffer(256); s = ctypes.c_char_p(b'/'); k = ctypes.c_char_p(b'user')\n"
        "print('add_key', call(248, k, k, buf, 8, -3)); print('request_key', call(249, k, k, 0, -3))\n"
        "print('keyctl', call(250, 0, -3, 1)); print('name_to_handle', call(303, -100, s, buf, buf, 0))\n"
        "print('open_by_handle', call(304, 0, buf, 0)); print('ptrace', call(101, 0, 0, 0, 0))\n"
        "print('process_vm_readv', call(310, 1, buf, 1, buf, 1, 0)); print('pidfd_getfd', call(438, 0, 0, 0))\n"
        "print('kcmp', call(312, 1, 1, 0, 0, 0)); print('bpf', call(321, 0, buf, 32)); print('perf', call(298, buf, 0, -1, -1, 0))\n"
        "print('userfaultfd', call(323, 0)); print('io_uring', call(425, 1, buf)); print('fanotify', call(300, 0, 0))\n"
        "print('acct', call(163, 0)); print('kexec', call(246, 0, 0, 0, 0)); print('module', call(313, 0, s, 0))\n"
        "print('personality', [call(135, p) for p in (0, 0xffffffff, 8, 0x20000, 0x40000, 0x400000)])\n"
        "print('core', [call(160, 4, buf), call(302, 0, 4, buf, 0), call(302, 1, 7, 0, buf)])\n"
    )
    out = attack(code).expect(0).stdout
    eq(
        out,
        "add_key ENOSYS\nrequest_key ENOSYS\nkeyctl ENOSYS\nname_to_handle ENOTSUP\nopen_by_handle EPERM\n"
        "ptrace EPERM\nprocess_vm_readv EPERM\npidfd_getfd EPERM\nkcmp EPERM\nbpf EPERM\nperf EPERM\n"
        "userfaultfd EPERM\nio_uring ENOSYS\nfanotify EPERM\nacct EPERM\nkexec EPERM\nmodule EPERM\n"
        "personality ['ok', 'ok', 'EPERM', 'EPERM', 'EPERM', 'EPERM']\ncore ['EPERM', 'EPERM', 'EPERM']\n",
    )


@case("four threads cannot trace, read, enter or signal carrel-init", ids=["E-14", "E-12"], timeout=15)
def steal():
    r = run([*probe_options("attack"), "/probe/attack", "steal", "1"]).expect(0)
    tries = int(matches(r.stdout, r"tries (\d+)")[1])
    ok(tries > 1000, f"only {tries} tries")
    eq(len(r.stdout.splitlines()), 1, f"successes: {r.stdout}")


@case("the program of carrel-init is sealed, and neither it nor carrel's own can be opened", ids=["E-12"])
def sealed_image():
    running = start(["sleep", "60"])
    command = inside(running, "sleep")
    init = next(p for p in children(running.pid) if p != command)
    wait_until(lambda: comm_of(init) == "carrel-init")
    fd = os.open(f"/proc/{init}/exe", os.O_RDONLY)
    F_GET_SEALS = 1034
    eq(fcntl.fcntl(fd, F_GET_SEALS) & 0xF, 0xF, "seals")
    os.close(fd)
    running.send(signal.SIGTERM)
    running.wait()
    before = read(CARREL, binary=True)
    r = attack(
        "for p in ('/proc/1/exe', '/proc/self/exe', '/usr/bin/python3'):\n"
        "  print([answer(os.open, p, f) for f in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC)])\n"
        "open('/tmp/s', 'w').write('#!/proc/1/exe\\n'); os.chmod('/tmp/s', 0o755)\n"
        "print(answer(os.execv, '/tmp/s', ['s']))\n"
    ).expect(0)
    answers = set(re.findall(r"\w+", r.stdout))
    ok(answers <= {"EACCES", "EROFS", "ETXTBSY", "ENOENT", "EPERM"}, r.stdout)
    eq(read(CARREL, binary=True), before)


@case("children given to carrel itself by CLONE_PARENT do not keep it from ending", ids=["E-48", "S-14", "FI-05"], timeout=15)
def clone_parent():
    running = start([*probe_options("attack"), "--timeout", "3s", "/probe/attack", "parent", "5"])
    r = running.wait(8)
    eq(r.stdout, "made 0\n")
