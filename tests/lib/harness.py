# SPDX-License-Identifier: Apache-2.0
"""What live tests share: the @case decorator, running carrel, workspaces, terminals.

A module in tests/live/ defines cases:

    from harness import *

    @case("the exit status is the command's own", ids=["E-39"], timeout=10)
    def exit_status():
        r = run(["sh", "-c", "exit 7"])
        eq(r.status, 7)

Each case runs in a process of its own, with a configuration file, a state directory and
a block of host ids that no other test run on the machine uses, and is followed by the
leak check of leakcheck.py. Everything slower or faster on another machine is expressed
through scaled(): TEST_TIME_SCALE (default 1) multiplies every time limit.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))
BUILD = os.path.abspath(os.environ.get("CARREL_BUILD", "build"))
CARREL = os.path.join(BUILD, "carrel")
ID_RANGES = 128  # ids of one test run: so many ranges of 65536
ID_RANGE = 65536

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """Raised by a case that cannot run here; the text says why."""


class Context:
    """What the running case may use; `here` is the one instance."""

    directory = None  # of this case, root's alone, below /run
    work = None  # of this case, on a file system that can be id-mapped
    config = None  # path of the configuration file
    state = None  # state directory
    id_first = None  # first host id of our block
    shared_ids = None  # socket that keeps the block ours


here = Context()


def scaled(seconds):
    return seconds * SCALE


def case(sentence, ids=(), timeout=20):
    """Marks a function as a case: what holds, which catalogue items it covers."""

    def mark(function):
        function.case = {"sentence": sentence, "ids": list(ids), "timeout": timeout}
        return function

    return mark


# --- checks ----------------------------------------------------------------------------


def eq(got, expected, what="value"):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


def ok(condition, text="does not hold"):
    if not condition:
        raise AssertionError(text)


def contains(text, part, what="text"):
    if part not in text:
        raise AssertionError(f"{what} lacks {part!r}: {text[-2000:]!r}")


def matches(text, pattern, what="text"):
    found = re.search(pattern, text, re.S)
    if not found:
        raise AssertionError(f"{what} does not match {pattern!r}: {text[-2000:]!r}")
    return found


def wait_until(condition, seconds=5, what="condition"):
    """The first true value of condition(); fails after `seconds` (scaled)."""
    end = time.monotonic() + scaled(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not hold within {scaled(seconds):g} s")
        time.sleep(0.01)


# --- running carrel --------------------------------------------------------------------


def text_of(data):
    return data.decode("utf-8", "surrogateescape")


class Result:
    """How a carrel went. stdout and stderr are text that keeps every byte
    (surrogateescape); result is the JSON result, or None if there was none."""

    def __init__(self, args, status, stdout, stderr, result, seconds):
        self.args, self.status = args, status
        self.stdout_bytes, self.stderr_bytes = stdout, stderr
        self.stdout, self.stderr = text_of(stdout), text_of(stderr)
        self.result, self.seconds = result, seconds

    def __repr__(self):
        return (
            f"status {self.status}, stdout {self.stdout[-1500:]!r}, "
            f"stderr {self.stderr[-1500:]!r}, result {self.result!r}"
        )

    def expect(self, status=0):
        """Fails, with everything known, unless it ended with `status`."""
        if self.status != status:
            raise AssertionError(f"expected status {status}: {self!r}\n{self.args!r}")
        return self


class Running:
    """A carrel that runs. Collects output in the background; wait() gives a Result."""

    def __init__(self, argv, process, result_read, timeout):
        self.argv, self.process, self.timeout = argv, process, timeout
        self.pid = process.pid
        self.started = time.monotonic()
        self.feeding = False  # a thread of run() writes stdin and closes it
        self.data = {"stdout": b"", "stderr": b"", "result": b""}
        self.readers = []
        self._collect("stdout", process.stdout and process.stdout.fileno())
        self._collect("stderr", process.stderr and process.stderr.fileno())
        self._collect("result", result_read)
        self.result_read = result_read

    def _collect(self, name, fd):
        if fd is None:
            return

        def reader():
            while True:
                try:
                    chunk = os.read(fd, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                self.data[name] += chunk

        thread = threading.Thread(target=reader, daemon=True)
        thread.start()
        self.readers.append(thread)

    @property
    def stdout(self):
        return text_of(self.data["stdout"])

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, sig):
        self.process.send_signal(sig)

    def expect_output(self, text, seconds=10):
        """Waits until stdout contains text."""

        def look():
            if text in self.stdout:
                return True
            if self.process.poll() is not None and text not in self.stdout:
                time.sleep(0.1)
                if text not in self.stdout:
                    raise AssertionError(f"ended without {text!r}: {self.data!r}")
            return text in self.stdout

        wait_until(look, seconds, f"output of {text!r}")

    def wait(self, seconds=None):
        limit = scaled(self.timeout if seconds is None else seconds)
        if self.process.stdin and not self.feeding:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"carrel did not end within {limit:g} s: {self.argv!r}, "
                f"stdout {self.stdout[-800:]!r}, "
                f"stderr {text_of(self.data['stderr'])[-800:]!r}"
            ) from None
        seconds = time.monotonic() - self.started
        for thread in self.readers:
            thread.join(scaled(5))
        stuck = [t for t in self.readers if t.is_alive()]
        if stuck:
            raise AssertionError(f"carrel has ended, its pipes are still open: {self.argv!r}")
        if self.result_read is not None:
            os.close(self.result_read)
            self.result_read = None
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        result = json.loads(self.data["result"]) if self.data["result"] else None
        return Result(
            self.argv, status, self.data["stdout"], self.data["stderr"], result, seconds
        )


def start(
    args,
    stdin=None,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    env=None,
    cwd=None,
    pass_fds=(),
    result=True,
    timeout=15,
    raw=False,
    config=True,
    preexec=None,
    wrapper=(),
):
    """Starts `carrel run --config … ARGS` and gives a Running. raw: `carrel ARGS` as it
    is. stdin: None (/dev/null), "pipe", or what subprocess takes. wrapper: words before
    the program, such as setpriv."""
    argv = [*wrapper, CARREL]
    read_end = write_end = None
    fds = list(pass_fds)
    if raw:
        result = False
    else:
        argv.append("run")
        if config:
            argv += ["--config", here.config]
    if result:
        read_end, write_end = os.pipe()
        argv += ["--result-fd", str(write_end)]
        fds.append(write_end)
    argv += list(args)
    try:
        process = subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE if stdin == "pipe" else stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            pass_fds=fds,
            preexec_fn=preexec,
        )
    finally:
        if write_end is not None:
            os.close(write_end)
    return Running(argv, process, read_end, timeout)


def run(args, input=None, **kw):
    """Runs `carrel run ARGS` to its end and gives a Result. input: bytes for stdin."""
    if input is not None:
        kw["stdin"] = "pipe"
    running = start(args, **kw)
    if input is not None:
        running.feeding = True

        def feed():
            view = memoryview(input)
            with contextlib.suppress(OSError):
                while view:
                    view = view[os.write(running.process.stdin.fileno(), view) :]
            with contextlib.suppress(OSError):
                running.process.stdin.close()

        threading.Thread(target=feed, daemon=True).start()
    return running.wait()


def carrel(args, **kw):
    """Runs `carrel ARGS` without anything added."""
    return run(args, raw=True, **kw)


def sh(script, *options, **kw):
    """Runs `carrel run OPTIONS sh -c SCRIPT`."""
    return run([*options, "sh", "-c", script], **kw)


def python(code, *options, **kw):
    """Runs `carrel run OPTIONS python3 -c CODE`."""
    return run([*options, "/usr/bin/python3", "-I", "-S", "-c", code], **kw)


# --- what belongs to a sandbox, seen from the host -------------------------------------


def records():
    """The records in the state directory: {file name: [cgroup directory, ...]}."""
    found = {}
    directory = os.path.join(here.state, "run")
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):
                if not os.path.isfile(os.path.join(directory, name)):
                    continue
                with open(os.path.join(directory, name)) as f:
                    found[name] = f.read().split()
    return found


def cgroup_dirs(seconds=5):
    """The cgroup directories of the one sandbox that runs."""

    def look():
        all_records = list(records().values())
        ok(len(all_records) <= 1, "more than one sandbox runs")
        return all_records[0] if len(all_records) == 1 and all_records[0] else None

    return wait_until(look, seconds, "record of one sandbox")


def cgroup_file(name):
    """Path of the one cgroup file called `name` among the running sandbox's groups:
    of v2 the sandbox's own group, of v1 whichever has it."""
    for directory in cgroup_dirs():
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    return None


def read(path, binary=False):
    with open(path, "rb" if binary else "r") as f:
        return f.read()


def stat_fields(pid):
    """Parent and state of a process, or None."""
    try:
        text = read(f"/proc/{pid}/stat")
    except OSError:
        return None
    rest = text[text.rindex(")") + 2 :].split()
    return int(rest[1]), rest[0]


def comm_of(pid):
    try:
        return read(f"/proc/{pid}/comm").strip()
    except OSError:
        return None


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid):
    """Direct children, zombies included."""
    return [p for p in pids() if (stat_fields(p) or (None,))[0] == pid]


def descendants(pid):
    """All below pid: {pid: state}."""
    parents = {}
    for p in pids():
        fields = stat_fields(p)
        if fields:
            parents.setdefault(fields[0], []).append((p, fields[1]))
    found, queue = {}, [pid]
    while queue:
        for p, state in parents.get(queue.pop(), []):
            found[p] = state
            queue.append(p)
    return found


def inside(running, comm=None, seconds=5):
    """Host pid of the command of a running sandbox (the child of carrel that is not
    carrel-init); with `comm`, once it has that name."""

    def look():
        for p in children(running.pid):
            name = comm_of(p)
            if name and not name.startswith("carrel") and comm in (None, name):
                return p
        return None

    return wait_until(look, seconds, "command of the sandbox")


# --- files -----------------------------------------------------------------------------


class Workspace:
    """A directory on a file system that can be id-mapped, owned by `owner`. It is removed
    with the case."""

    def __init__(self, owner=(1234, 2345), mode=0o755, parent=None):
        self.path = tempfile.mkdtemp(prefix="ws-", dir=parent or here.work)
        os.chown(self.path, *owner)
        os.chmod(self.path, mode)
        self.owner = owner

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def file(self, name, content=b"", mode=0o644):
        """Makes a file that belongs to the workspace's owner."""
        path = self / name
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chown(path, *self.owner)
        os.chmod(path, mode)
        return path

    def dir(self, name, mode=0o755):
        path = self / name
        os.makedirs(path, exist_ok=True)
        os.chown(path, *self.owner)
        os.chmod(path, mode)
        return path

    def options(self):
        return ["--workspace", self.path]


def idmap_dir():
    """A new directory on a file system that can be id-mapped, root's."""
    return tempfile.mkdtemp(prefix="dir-", dir=here.work)


def probe(name):
    """Host path of a copy of the probe built from tests/live/NAME.c, on a file system
    that can be id-mapped. See probe_options()."""
    source = os.path.join(BUILD, "probes", name)
    if not os.path.exists(source):
        raise Skip(f"{source} is not built")
    path = os.path.join(here.work, name)
    if not os.path.exists(path):
        shutil.copyfile(source, path)
        os.chmod(path, 0o755)
        os.chown(path, 1234, 2345)
    return path


def probe_options(name):
    """Options that show the probe at /probe/NAME inside."""
    return ["-v", f"{probe(name)}:/probe/{name}:ro"]


# --- mount tables ----------------------------------------------------------------------


class Mount:
    """One line of a mountinfo file."""

    def __init__(self, line):
        fields = line.split()
        dash = fields.index("-")
        self.id, self.parent, self.device = fields[0], fields[1], fields[2]
        self.root, self.point = fields[3], fields[4]
        self.flags = set(fields[5].split(","))
        self.tags = fields[6:dash]
        self.type, self.source = fields[dash + 1], fields[dash + 2]
        self.super_flags = set(fields[dash + 3].split(","))


def parse_mounts(text):
    return [Mount(line) for line in text.splitlines() if line]


# --- namespaces of the test's own ------------------------------------------------------

CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000


def private_mounts():
    """Moves the calling case into a mount namespace of its own, so that it may mount."""
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "make all mounts private")


def mount(source, target, kind, flags=0, data=""):
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def can_idmap(directory):
    """Can the file system of `directory` be id-mapped?"""
    SYS_open_tree, SYS_mount_setattr = 428, 442
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(0x10000000)  # CLONE_NEWUSER
        os.write(write_end, b"x")
        time.sleep(3600)
        os._exit(0)
    try:
        os.read(read_end, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w") as f:
                f.write("0 100000 1")
        ns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        tree = libc.syscall(SYS_open_tree, -100, directory.encode(), 1 | os.O_CLOEXEC)
        attr = struct.pack("QQQQ", 0x00100000, 0, 0, ns)  # MOUNT_ATTR_IDMAP
        status = libc.syscall(SYS_mount_setattr, tree, b"", 0x1000, attr, len(attr))
        if tree >= 0:
            os.close(tree)
        os.close(ns)
        return status == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read_end)
        os.close(write_end)


# --- terminals -------------------------------------------------------------------------


class Terminal:
    """carrel on a real terminal, as its controlling terminal, session leader included.

    t = Terminal(["-t", "bash", "-i"]); t.expect("[$#] "); t.send("exit\\r"); t.wait()
    """

    def __init__(self, args, rows=30, columns=100, raw=False, env=None, wrapper=(), result=True, config=True):
        self.master, slave = pty.openpty()
        self.slave_name = os.ttyname(slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.output = b""
        self.at = 0
        self.slave = slave  # kept, so that the settings can be looked at afterwards

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.running = start(
            args, stdin=slave, stdout=slave, stderr=slave, raw=raw, env=env,
            preexec=take_terminal, wrapper=wrapper, result=result, config=config,
        )
        self.pid = self.running.pid

    def pump(self, seconds=0.05):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            with contextlib.suppress(OSError):
                self.output += os.read(self.master, 65536)
        return bool(ready)

    def text(self):
        return text_of(self.output)

    def expect(self, pattern, seconds=10):
        """Waits for a regular expression in what came since the last match."""
        end = time.monotonic() + scaled(seconds)
        while True:
            found = re.search(pattern.encode(), self.output[self.at :], re.S)
            if found:
                self.at += found.end()
                return found
            ended = self.running.process.poll() is not None and not self.pump(0.1)
            if ended or time.monotonic() > end:
                raise AssertionError(f"{pattern!r} did not come: {self.output[self.at:][-1500:]!r}")
            self.pump()

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.settings()[3] & (termios.ICANON | termios.ECHO)

    def wait(self, seconds=15):
        """Reads until carrel has ended; gives its Result with all output as stdout."""
        end = time.monotonic() + scaled(seconds)
        while self.running.process.poll() is None:
            self.pump()
            if time.monotonic() > end:
                self.running.process.kill()
                self.running.process.wait()
                raise AssertionError(f"carrel did not end: {self.output[-1500:]!r}")
        while self.pump(0.1):
            pass
        result = self.running.wait()
        result.stdout_bytes, result.stdout = self.output, self.text()
        return result

    def close(self):
        os.close(self.master)
        os.close(self.slave)
