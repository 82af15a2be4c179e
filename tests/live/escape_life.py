# SPDX-License-Identifier: Apache-2.0
"""Processes, terminals, network and what is left of one user for the next."""

from harness import *


def attack(code, *options, **kw):
    head = (
        "import ctypes, errno, os, socket, sys, time\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def answer(f, *a):\n"
        "  try: f(*a); return 'ok'\n"
        "  except OSError as e: return errno.errorcode[e.errno]\n"
    )
    return python(head + code, *options, **kw)


# --- processes -------------------------------------------------------------------------


@case("a storm of processes that fork and start sessions ends with the time limit, at once", ids=["E-48", "FI-13"], timeout=30)
def storm():
    options = [*probe_options("attack"), "--pids-limit", "100", "--timeout", f"{scaled(700):.0f}ms"]
    running = start([*options, "/probe/attack", "storm", "20"])
    running.expect_output("storm")
    r = running.wait(10)
    eq((r.status, r.result["reason"]), (124, "timeout"))
    ok(r.seconds < scaled(4.7), f"took {r.seconds} s")


@case("whatever a command leaves behind ends with it", ids=["E-48", "E-39"], timeout=30)
def survivors():
    scripts = {
        "double fork": "(setsid sh -c 'sleep 300 & sleep 301 &' &) ; sleep 0.1",
        "nohup": "nohup sleep 300 > /dev/null 2>&1 & sleep 0.1",
        "stopped": "sleep 300 & kill -STOP $!; sleep 0.1",
        "deaf": "sh -c 'trap \"\" TERM INT HUP; while :; do sleep 300; done' & sleep 0.1",
    }
    for name, script in scripts.items():
        r = sh(script + "; echo done").expect(0)
        eq(r.stdout.strip().splitlines()[-1], "done", name)
        ok(r.seconds < scaled(3), f"{name} took {r.seconds} s")


@case("nothing inside can signal, trace or stop carrel-init, nor end the sandbox by it", ids=["FI-05", "E-14"])
def signals_to_init():
    code = (
        "print({answer(os.kill, 1, s) for s in list(range(0, 32)) + [34, 64]})\n"
        "print(answer(os.kill, -1, 0), answer(os.killpg, 1, 9))\n"
        "fd = os.pidfd_open(1)\n"
        "import signal\n"
        "print(answer(signal.pidfd_send_signal, fd, 9))\n"
        "print(os.getppid(), sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))\n"
    )
    r = attack(code).expect(0)
    eq(r.stdout.splitlines(), ["{'EPERM'}", "ESRCH ESRCH", "EPERM", "0 [1, 2]"])


@case("a command in the background of a terminal session cannot outlive the time limit by writing", ids=["FI-14", "E-48", "E-36"], timeout=20)
def terminal_flood():
    # A session leader that gives its terminal up first does not hang it up when it ends.
    deserter = (
        "import fcntl, os, signal, termios, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "  while True: os.write(1, b'y' * 4096)\n"
        "fcntl.ioctl(0, termios.TIOCNOTTY)\n"
        "time.sleep(0.2)\n"
        "os._exit(0)\n"
    )
    python3 = ["/usr/bin/python3", "-I", "-S", "-c", deserter]
    for command in (["sh", "-c", "yes & sleep 0.2; exit 0"], ["yes"], python3):
        t = Terminal(["-t", "--timeout", "1s", *command])
        r = t.wait(6)
        ok(r.seconds < scaled(5), f"{command}: {r.seconds} s")
        t.close()


@case("a reader that stops reading does not keep carrel from the time limit or from signals", ids=["FI-14", "E-37"], timeout=20)
def stalled_reader():
    for how in ("timeout", "signal"):
        master, slave = pty.openpty()
        read_end, write_end = os.pipe()
        options = ["--timeout", "1s"] if how == "timeout" else []
        running = start(["-t", *options, "yes"], stdin=slave, stdout=write_end, stderr=write_end, result=False)
        os.close(write_end)
        time.sleep(0.7)
        if how == "signal":
            running.send(signal.SIGTERM)
        try:
            status = running.process.wait(scaled(4))
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
            raise AssertionError(f"carrel hangs in a write: {how}") from None
        finally:
            for fd in (read_end, master, slave):
                os.close(fd)
        eq(status, 124 if how == "timeout" else 128 + signal.SIGTERM, how)


# --- terminals -------------------------------------------------------------------------


@case("without -t no terminal of the caller's is within reach, even if it is standard input", ids=["E-36", "E-04"])
def callers_terminal():
    code = (
        "import fcntl\n"
        "print(answer(os.open, '/dev/tty', os.O_RDWR))\n"
        "buf = ctypes.create_string_buffer(b'x')\n"
        "for request in (0x5412, 0x541C, 0x5423, 0x541D):\n"
        "  for high in (0, 1 << 32, 1 << 63):\n"
        "    r = libc.syscall(16, 0, ctypes.c_ulong(request | high), buf)\n"
        "    print(hex(request), errno.errorcode[ctypes.get_errno()] if r < 0 else 'ok')\n"
        "print(answer(os.open, '/proc/self/fd/0', os.O_RDWR | os.O_NOCTTY))\n"
        "print('end')\n"
    )
    head = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndef answer(f, *a):\n  try: f(*a); return 'ok'\n  except OSError as e: return errno.errorcode[e.errno]\n"
    t = Terminal(["/usr/bin/python3", "-I", "-S", "-c", head + code])
    r = t.wait()
    lines = r.stdout.replace("\r", "").split()
    eq(lines[0], "ENXIO", "/dev/tty")
    eq({lines[i + 1] for i in range(1, 25, 2)}, {"EPERM"}, "ioctls")
    ok(lines[25] in ("EACCES", "ENXIO", "ENOENT", "EIO"), f"reopening standard input: {lines[25]}")
    contains(r.stdout, "end")
    t.close()


@case("with -t the terminal is the sandbox's own and injects nothing into the caller's", ids=["E-36", "E-04"])
def own_terminal():
    code = (
        "import ctypes,errno,os,fcntl\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print('name', os.ttyname(0), os.listdir('/dev/pts'))\n"
        "print('sti', libc.ioctl(0, ctypes.c_ulong(0x5412), b'x'), errno.errorcode[ctypes.get_errno()])\n"
        "print('tty', os.open('/dev/tty', os.O_RDWR) > 2)\n"
    )
    t = Terminal(["-t", "/usr/bin/python3", "-I", "-S", "-c", code])
    r = t.wait()
    matches(r.stdout, r"name /dev/pts/0 \['ptmx', '0'\]|name /dev/pts/0 \['0', 'ptmx'\]")
    matches(r.stdout, r"sti -1 EPERM")
    matches(r.stdout, r"tty True")
    t.close()


@case("pseudo terminals of one sandbox leave some for the others", ids=["FI-12", "E-46"])
def terminals_are_limited():
    code = (
        "n = 0\n"
        "while n < 4000:\n"
        "  try: os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)\n"
        "  except OSError: break\n"
        "  n += 1\n"
        "print(n)\n"
    )
    r = attack(code).expect(0)
    ok(0 < int(r.stdout) <= 1024, f"one sandbox opened {r.stdout.strip()} of the host's pseudo terminals")


# --- what the kernel counts for all ----------------------------------------------------

HOARD = """
import select
def fill(f, most):
    n = 0
    while n < most:
        try: f()
        except OSError: break
        n += 1
    return n
class Event(ctypes.Structure):
    _fields_ = [('value', ctypes.c_void_p), ('signo', ctypes.c_int), ('notify', ctypes.c_int), ('pad', ctypes.c_char * 48)]
event, timer = Event(None, 0, 1, b''), ctypes.c_int()
rt = ctypes.CDLL('librt.so.1', use_errno=True)
def check(r):
    if r < 0: raise OSError(ctypes.get_errno(), '')
count = [0]
def queue():
    count[0] += 1
    check(rt.mq_open(b'/q%d' % count[0], os.O_CREAT | os.O_RDWR, 0o600, None))
most = int(sys.argv[1])
print('inotify', fill(lambda: check(libc.inotify_init1(0)), most))
print('queues', fill(queue, min(most, 200)))
print('timers', fill(lambda: check(libc.syscall(222, 1, ctypes.byref(event), ctypes.byref(timer))), most * 40))
print('hoarded', flush=True)
sys.stdin.read()
"""


@case("inotify, message queues and timers that one sandbox hoards are not missing in another, nor on the host", ids=["E-22", "FI-15", "E-46"], timeout=30)
def hoarding():
    head = "import ctypes, errno, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    words = ["/usr/bin/python3", "-I", "-S", "-c", head + HOARD]
    first = start([*words, "3000"], stdin="pipe")
    first.expect_output("hoarded", 15)
    on_host = libc.inotify_init1(os.O_CLOEXEC)
    second = start([*words, "5"], stdin="pipe")
    second.expect_output("hoarded", 15)
    out = second.stdout.split()
    second.wait()
    first.wait()
    ok(on_host >= 0, "root on the host gets no inotify instance")
    eq(out, ["inotify", "5", "queues", "5", "timers", "200", "hoarded"], "in the second sandbox")


# --- network ---------------------------------------------------------------------------


@case("abstract sockets of the host cannot be connected to", ids=["N-16", "E-53", "E-16"])
def abstract_sockets():
    name = f"carrel-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name)
    listener.listen()
    seen = {line.split()[-1] for line in read("/proc/net/unix").splitlines() if "@" in line.split()[-1]}
    names = [n[1:] for n in seen | {"@" + name} if n.startswith("@")]
    code = (
        f"for n in {names!r}:\n"
        "  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):\n"
        "    s = socket.socket(socket.AF_UNIX, kind); print(answer(s.connect, '\\0' + n))\n"
        "print(open('/proc/net/unix').read().count('\\n'))\n"
    )
    out = attack(code).expect(0).stdout.split()
    eq(set(out[:-1]), {"ECONNREFUSED"})
    ok(int(out[-1]) < 10, "sockets of the host are listed inside")
    listener.close()


@case("there is a loopback interface of the sandbox's own, and nothing else", ids=["N-17", "N-01", "N-11"])
def loopback_only():
    listeners = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with contextlib.suppress(OSError):
            s = socket.socket(family)
            s.bind((address, 0))
            s.listen()
            listeners.append(s)
    ports = [s.getsockname()[1] for s in listeners]
    code = (
        f"for port in {ports!r} + [22, 53, 80, 443, 111, 631]:\n"
        "  for a in ('127.0.0.1', '127.1.2.3', '127.255.255.254', '0.0.0.0', '::1', '::ffff:127.0.0.1', '::'):\n"
        "    s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET); s.settimeout(1)\n"
        "    print(a, answer(s.connect, (a, port)))\n"
        # Nothing leaves: there is no route, and so no packet, to any of these.
        "for a in ('192.0.2.1', '169.254.169.254', '10.0.0.1', '172.17.0.1', '255.255.255.255', '224.0.0.1'):\n"
        "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "  print('out', answer(s.connect, (a, 9)))\n"
        "for a in ('2001:db8::1', 'fd00:ec2::254', 'fe80::1', 'ff02::1'):\n"
        "  s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        "  print('out6', answer(s.connect, (a, 9)))\n"
        "print('names', [n for _, n in socket.if_nameindex()])\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "c = socket.socket(); print('own', answer(c.connect, s.getsockname()))\n"
        "print('raw', answer(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1), answer(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 3))\n"
    )
    lines = [x.split() for x in attack(code).expect(0).stdout.splitlines()]
    inside_lo = {x[1] for x in lines if x[0][0].isdigit() or ":" in x[0]}
    ok(inside_lo <= {"ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH"}, f"{inside_lo}")
    ok({x[1] for x in lines if x[0] in ("out", "out6")} <= {"ENETUNREACH", "EACCES", "EINVAL", "EADDRNOTAVAIL"}, f"{lines}")
    eq([x for x in lines if x[0] == "names"], [["names", "['lo']"]])
    eq([x for x in lines if x[0] == "own"], [["own", "ok"]])
    eq([x for x in lines if x[0] == "raw"], [["raw", "EAFNOSUPPORT", "EAFNOSUPPORT"]])
    for s in listeners:
        s.setblocking(False)
        try:
            s.accept()
        except BlockingIOError:
            continue
        finally:
            s.close()
        raise AssertionError("somebody connected to the host's listener")


# --- what is left ----------------------------------------------------------------------

MARKS = r"""
import fcntl
base = '/mark-of-one-user'
for d in ('/tmp', '/dev/shm', '/run', '/home/user', '/var/tmp'):
    open(d + base, 'w').write('x')
print('shm', libc.shmget(0x4d41524b, 4096, 0o1600), libc.msgget(0x4d41524b, 0o1600), libc.semget(0x4d41524b, 1, 0o1600))
rt = ctypes.CDLL('librt.so.1', use_errno=True)
print('mq', rt.mq_open(b'/mark', os.O_CREAT | os.O_RDWR, 0o600, None) >= 0)
s = socket.socket(socket.AF_UNIX); s.bind('\0mark'); s.listen()
t = socket.socket(); t.bind(('127.0.0.1', 4711)); t.listen()
os.environ['MARK'] = '1'
if os.fork() == 0:
    os.setsid()
    time.sleep(300)
print('marked', flush=True)
"""

SEEK = r"""
base = '/mark-of-one-user'
found = [d for d in ('/tmp', '/dev/shm', '/run', '/home/user', '/var/tmp') if os.path.exists(d + base)]
for name, get in (('shm', lambda: libc.shmget(0x4d41524b, 0, 0)), ('msg', lambda: libc.msgget(0x4d41524b, 0)), ('sem', lambda: libc.semget(0x4d41524b, 0, 0))):
    if get() >= 0: found.append(name)
rt = ctypes.CDLL('librt.so.1', use_errno=True)
if rt.mq_open(b'/mark', os.O_RDWR) >= 0: found.append('mq')
if answer(socket.socket(socket.AF_UNIX).connect, '\0mark') == 'ok': found.append('abstract')
if answer(socket.socket().connect, ('127.0.0.1', 4711)) == 'ok': found.append('port')
if 'MARK' in os.environ: found.append('environment')
if len([p for p in os.listdir('/proc') if p.isdigit()]) != 2: found.append('process')
print(found)
print(open('/proc/self/uid_map').read().split()[1])
"""


@case("what one user leaves in a dozen places, the next on the same ids does not find", ids=["E-46", "I-10", "R-02"])
def residue():
    first = attack(MARKS + "print(open('/proc/self/uid_map').read().split()[1])\n").expect(0)
    contains(first.stdout, "marked")
    ok(" -1" not in first.stdout, f"marks were refused: {first.stdout}")
    second = attack(SEEK).expect(0)
    found, base = second.stdout.splitlines()
    eq(found, "[]")
    eq(base, first.stdout.split()[-1], "the same range of ids again")


@case("the environment is exactly what was asked for, and none of it is on the host's command line", ids=["E-47"])
def environment():
    caller = dict(os.environ, API_KEY="secret-of-the-caller", LD_PRELOAD="", PYTHONPATH="/x")
    r = run(["-e", "A=1", "-e", "API_KEY_2", "env"], env=caller).expect(0)
    eq(
        sorted(r.stdout.splitlines()),
        ["A=1", "HOME=/home/user", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    )
    running = start(["sleep", "60"], env=caller)
    command = inside(running, "sleep")
    for pid in [command, *children(running.pid)]:
        ok("secret-of-the-caller" not in read(f"/proc/{pid}/environ"), "the caller's environment is in a process inside")
    running.send(signal.SIGTERM)
    running.wait()


@case("every tmpfs has a size and a number of inodes; one that was asked for is full alone", ids=["E-50", "FI-12", "FI-15"], timeout=40)
def full_tmpfs():
    code = (
        "for d in ('/tmp', '/dev/shm', '/run', '/home/user', '/own'):\n"
        "  st = os.statvfs(d); print(d, st.f_blocks * st.f_frsize, st.f_files)\n"
        "for d in ('/own', '/run'):\n"
        "  n = 0\n"
        "  try:\n"
        "    while n < 100000: os.mknod('%s/%d' % (d, n)); n += 1\n"
        "  except OSError as e: print('inodes', n, errno.errorcode[e.errno])\n"
        "  print(answer(lambda: open('/tmp/x' + d[1:], 'w').write('x')), answer(lambda: open('/own/x', 'w').write('x')))\n"
    )
    lines = attack(code, "--tmpfs", "/own").expect(0).stdout.splitlines()
    # What is made up has a little room on the same file system.
    for line, (size, files) in zip(lines[:5], [(257 << 20, 4 * 16384 + 2048)] * 4 + [(64 << 20, 16384)]):
        eq(line.split()[1:], [str(size), str(files)], line)
    matches(lines[5], r"inodes 163\d\d ENOSPC")
    eq(lines[6], "ok ENOSPC")
    matches(lines[7], r"inodes 67[45]\d\d ENOSPC")
    eq(lines[8], "ENOSPC ENOSPC", "the default ones lie on one file system")


@case("a crash makes no core file and starts no handler of the host", ids=["E-17", "S-29"])
def core_dumps():
    ws = Workspace()
    code = (
        "import resource, signal\n"
        "try: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); print('lowered')\n"
        "except (OSError, ValueError): print('refused')\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    r = attack(code, *ws.options())
    eq((r.status, r.result["signal"]), (139, 11))
    eq(r.stdout.split("\n")[-3:-1], ["refused", "(1, 1)"])
    eq(os.listdir(ws.path), [])
