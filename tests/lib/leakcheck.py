# SPDX-License-Identifier: Apache-2.0
"""What must be the same after a case as before it (FI-00).

Other test runs may share the machine. Processes are told apart by descent (the runner is
their subreaper, so whatever a case started stays below it) and by host id; cgroups by the
state directory that records them. In a machine of our own (TEST_EXCLUSIVE=1, or the test
VM) nothing is taken for somebody else's.
"""

import contextlib
import errno
import glob
import hashlib
import os
import signal
import stat
import time

import harness
import netspace
from harness import ID_RANGE, ID_RANGES, descendants, here, parse_mounts, read, scaled

EXCLUSIVE = os.environ.get("TEST_EXCLUSIVE") == "1" or os.path.exists("/run/vm/job")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


def cgroup_mounts():
    return sorted(
        {m.point for m in parse_mounts(read("/proc/self/mountinfo")) if m.type in ("cgroup", "cgroup2")}
    )


def cgroups():
    """All directories called carrel-* below the cgroup mounts."""
    found = set()
    for top in cgroup_mounts():
        for directory, names, _ in os.walk(top):
            for name in names:
                if name.startswith("carrel-"):
                    found.add(os.path.join(directory, name))
    return found


def own_parents():
    """The cgroup directories below which carrel makes ours, where they are not just the
    top of a hierarchy, which everybody shares."""
    found = set()
    mounts = [m for m in parse_mounts(read("/proc/self/mountinfo")) if m.type in ("cgroup", "cgroup2")]
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for m in mounts:
            of_this = m.type == "cgroup2" if not controllers else controllers in ",".join(m.super_flags)
            if of_this and m.type == ("cgroup" if controllers else "cgroup2") and path != "/":
                found.add(m.point + path + "/")
    return found


def ours(directories, since):
    """Those that cannot be another test run's: made after `since`, recorded nowhere else,
    and of a name that is also below our own group, if we have one."""
    foreign = recorded_elsewhere()
    parents = own_parents()
    names = {os.path.basename(d) for d in directories if any(d.startswith(p) for p in parents)}
    found = set()
    for directory in directories:
        with contextlib.suppress(OSError):
            if os.stat(directory).st_ctime < since - 1 or directory in foreign:
                continue
            if not parents or os.path.basename(directory) in names:
                found.add(directory)
    return found


def recorded_elsewhere():
    """cgroup directories that a state directory other than ours answers for."""
    found = set()
    for pattern in ("/run/*/run/*", "/run/*/*/run/*", "/run/*/*/*/run/*"):
        for path in glob.glob(pattern):
            # What is planted there may be a FIFO.
            if path.startswith(here.state + "/") or not os.path.isfile(path):
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.update(read(path).split())
    return found


def processes():
    """{pid: what it is} of everything alive that could be ours."""
    found = {}
    below = descendants(os.getpid())
    first, last = here.id_first, here.id_first + ID_RANGES * ID_RANGE - 1
    for pid in harness.pids():
        try:
            text = read(f"/proc/{pid}/status")
            groups = read(f"/proc/{pid}/cgroup")
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        uid = int(fields["Uid"].split()[0])
        carrels = fields["Name"].startswith("carrel") or "/carrel-" in groups
        if pid in below or first <= uid <= last or (EXCLUSIVE and carrels):
            found[pid] = f"{fields['Name']} uid {uid} {fields['State'].split()[0]}"
    return found


def namespaces():
    """Inodes of the namespaces that any process is in; of our processes only, on a
    machine that is shared."""
    found = set()
    for pid in harness.pids() if EXCLUSIVE else [os.getpid(), *descendants(os.getpid())]:
        for kind in NAMESPACES:
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found


def sysv():
    found = []
    for kind, owner in (("shm", 7), ("msg", 7), ("sem", 4)):
        for line in read(f"/proc/sysvipc/{kind}").splitlines()[1:]:
            fields = line.split()
            found.append((kind, fields[0], fields[1], fields[owner]))
    return found


def tables():
    """nft's tables where the runner is: nothing of carrel's ever belongs there, its tests
    bring a host of their own."""
    try:
        return netspace.nft_tables()
    except OSError as e:
        if e.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
            return set()  # a kernel without nf_tables
        raise


def canaries(directory):
    found = {}
    for top, dirs, files in os.walk(directory):
        for name in dirs + files + ["."]:
            path = os.path.join(top, name)
            st = os.lstat(path)
            content = ""
            if stat.S_ISREG(st.st_mode):
                content = hashlib.sha256(read(path, binary=True)).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, content)
    return found


def make_canaries(directory):
    os.makedirs(os.path.join(directory, "sub"))
    for name, mode in (("file", 0o644), ("secret", 0o600), ("sub/program", 0o755)):
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write(f"canary {name}\n")
        os.chmod(path, mode)
    os.symlink("file", os.path.join(directory, "link"))


class Snapshot:
    def __init__(self, canary_dir):
        self.canary_dir = canary_dir
        self.time = time.time()
        self.mounts = self.mount_tables()
        self.cgroups = cgroups()
        self.processes = processes()
        self.namespaces = namespaces()
        self.interfaces = set(os.listdir("/sys/class/net"))
        self.tables = tables()
        self.sysv = sysv()
        self.canaries = canaries(canary_dir)

    @staticmethod
    def mount_tables():
        return read("/proc/self/mountinfo"), read("/proc/1/mountinfo")

    def new_cgroups(self):
        left = cgroups() - self.cgroups
        return left if EXCLUSIVE or not left else ours(left, self.time)

    def quick_leaks(self):
        leaks = []
        new = {p: text for p, text in processes().items() if p not in self.processes}
        if new:
            leaks.append(f"processes left: {new}")
        left = self.new_cgroups()
        if left:
            leaks.append(f"cgroups left: {sorted(left)}")
        if namespaces() - self.namespaces:
            leaks.append(f"namespaces left: {sorted(namespaces() - self.namespaces)}")
        if self.mount_tables() != self.mounts:
            for before, after in zip(self.mounts, self.mount_tables()):
                changed = set(before.splitlines()) ^ set(after.splitlines())
                if changed:
                    leaks.append(f"mounts changed: {sorted(changed)}")
        if set(os.listdir("/sys/class/net")) != self.interfaces:
            leaks.append(f"interfaces changed: {os.listdir('/sys/class/net')}")
        if tables() - self.tables:
            leaks.append(f"nft tables left: {sorted(tables() - self.tables)}")
        if sysv() != self.sysv:
            leaks.append(f"SysV IPC changed: {sysv()}")
        left = harness.records()
        if left:
            leaks.append(f"records left in the state directory: {left}")
        now = canaries(self.canary_dir)
        if now != self.canaries:
            leaks.append(f"canary files changed: {sorted(set(now.items()) ^ set(self.canaries.items()))}")
        return leaks

    def leaks(self):
        """What is still there after up to five seconds, as sentences."""
        end = time.monotonic() + scaled(5)
        while True:
            reap()
            found = self.quick_leaks()
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def remove_leaks(self):
        """So that the next case is judged for itself."""
        for pid in processes():
            if pid not in self.processes:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        reap()
        for directory in self.new_cgroups():
            for top, _, _ in os.walk(directory, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(top)


def reap():
    """Collects orphans that ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_descendants():
    """Kills all that a case left running, also what has left its session."""
    end = time.monotonic() + scaled(5)
    while time.monotonic() < end:
        reap()
        alive = [p for p, state in descendants(os.getpid()).items() if state != "Z"]
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
