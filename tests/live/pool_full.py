# SPDX-License-Identifier: Apache-2.0
"""No room: file systems whose bytes or inodes are used up, inside of a sandbox and where the
daemon keeps its state. Whoever did it notices, and nobody else."""

from daemon import Daemon
from harness import *
from poolcheck import *

# Fills a directory with one file as long as it can grow, or with as many as there can be.
FILL = """
import errno, os, sys
def bytes_of(d):
    n, f = 0, os.open(d + '/big', os.O_WRONLY | os.O_CREAT)
    for size in (1 << 16, 1 << 12, 1):
        try:
            while True: n += os.write(f, bytes(size))
        except OSError as e: why = e.errno
    return n, errno.errorcode[why]
def inodes_of(d):
    n = 0
    try:
        os.makedirs(d + '/many', exist_ok=True)
        while n < 10**5: os.close(os.open('%s/many/%d' % (d, n), os.O_WRONLY | os.O_CREAT)); n += 1
    except OSError as e: return n, errno.errorcode[e.errno]
    return n, 'no end'
for d in sys.argv[2:]: print(d, *(bytes_of if sys.argv[1] == 'bytes' else inodes_of)(d))
"""


def fill(c, name, what, *directories):
    """{directory: (how much it took, the error at the end)}"""
    reply = c.call("Exec", name=name, argv=["/usr/bin/python3", "-c", FILL, what, *directories])
    eq(reply["result"]["exit_code"], 0, f"{base64.b64decode(reply['stderr'])!r}")
    rows = [line.split() for line in base64.b64decode(reply["stdout"]).decode().splitlines()]
    return {d: (int(n), why) for d, n, why in rows}


def small_disk(inodes):
    """An ext4 of the case's own with directories of two users, below what root alone can
    write to."""
    private_mounts()
    image, root = os.path.join(here.work, "image"), os.path.join(here.directory, "root")
    with open(image, "wb") as f:
        f.truncate(24 << 20)
    os.mkdir(root)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), image], check=True)
    subprocess.run(["mount", "-o", "loop", image, root], check=True)
    os.chmod(here.directory, 0o755)
    for uid in (4321, 4999):
        os.mkdir(os.path.join(root, str(uid)))
        os.chown(os.path.join(root, str(uid)), uid, uid)
    return root


@case("every tmpfs of a sandbox has a size and a number of inodes: made, of a spare, asked for by the profile", ids=["E-50"], timeout=40)
def limited_tmpfs():
    config = ("[profile default]\ntmpfs = /scratch\ntmpfs = /small:size=1m\n[profile warm]\nwarm = 1\n"
              "[client any]\nuser = any\nprofiles = default, warm\n")
    with Daemon(config) as d:
        c = d.connect()
        wait_until(lambda: any("init" in w for w in records().values()), 10, "a spare")
        for profile in ("default", "warm"):
            box = c.call("Ensure", name=profile, profile=profile)["sandbox"]["id"]
            mounts = [m for m in parse_mounts(read(f"/proc/{init_of(box)}/mountinfo")) if m.type == "tmpfs"]
            points = {m.point for m in mounts}
            ok(points >= {"/tmp", "/dev/shm", "/run"}, f"{points}")
            ok(profile != "default" or points >= {"/scratch", "/small"}, f"{points}")
            for m in mounts:
                for option in ("size=", "nr_inodes="):
                    found = [f for f in m.super_flags if f.startswith(option)]
                    ok(found and found[0] != option + "0", f"{m.point} of {profile}: {m.super_flags}")
        d.remove_all()


@case("a payload fills its workspace and every temporary directory, with bytes and with inodes: it fails alone, all else goes on",
      ids=["E-50", "FI-12"], timeout=120)
def full_sandbox():
    root = small_disk(inodes=1024)
    inside = ("/tmp", "/dev/shm", "/run", "/home/user")
    with Daemon(f"[client any]\nuser = any\nworkspace_root = {root}\n") as d:
        check = Check(d)
        c, other = d.connect(uid=4321), d.connect(uid=4999)
        other.call("Ensure", name="o")
        other.call("Ensure", name="idle", idle_timeout=1000)
        c.call("Ensure", name="a", workspace="4321")
        for what in ("bytes", "inodes"):
            full = fill(c, "a", what, "/workspace", *inside)
            eq({why for _, why in full.values()}, {"ENOSPC"}, f"{full}")
            # They share one file system, hardly larger than all of them.
            taken = sum(full[i][0] for i in inside)
            most = 258 << 20 if what == "bytes" else 4 * 16384 + 4096
            ok(0 < taken <= most and full["/workspace"][0] > 0, f"{what}: {full}")
            st = os.statvfs(root)
            eq(st.f_bavail if what == "bytes" else st.f_favail, 0, f"free {what}")
            # Its own commands run; what others have is untouched; anything can be ended.
            eq(shell(c, "a", f"for f in /tmp/{what} /dev/shm/{what} {what}; do (cat /etc/passwd > $f) 2> /dev/null; echo $?; done")[1].replace("2", "1"), "1\n" * 3)
            for directory in inside:
                eq(shell(other, "o", f"echo {what} > {directory}/file && cat {directory}/file")[1], f"{what}\n")
            ok(c.call("Ensure", name="b", workspace="4321")["created"], "another one on the full disk")
            eq(shell(c, "b", "echo x > /tmp/x && cat /tmp/x")[1], "x\n")
            eq(c.call("Ensure", name="a", workspace="4321")["created"], False)
            c.call("Stop", name="b", grace=0)
            c.call("Remove", name="b")
            # Full as it is: stopped, started anew with empty temporary directories.
            c.call("Stop", name="a", grace=0)
            eq(shell(c, "a", "echo x > /tmp/x && cat /tmp/x")[1], "x\n")
            shell(c, "a", "rm -rf big many")
        wait_state(other, "idle", "stopped", 10)
        eq(c.call("Reap")["stopped"], 1)
        check.settled([4321, 4999])
        d.remove_all([4321, 4999])
        check.settled([4321, 4999])


@case("state, log and figures where nothing can be written any more: the daemon says so, starts, and ends what is to be ended",
      ids=["FI-12", "FI-07"], timeout=90)
def full_state():
    for data, what in (("nr_inodes=40", "inodes"), ("size=400k", "bytes")):
        private_mounts()
        os.makedirs(here.state, exist_ok=True)
        mount("none", here.state, "tmpfs", data=f"{data},mode=700")
        figures = os.path.join(here.state, "figures.prom")
        with Daemon(f"[pool]\nmetrics_file = {figures}\n") as d:
            d.log_path = os.path.join(here.state, "log")
            d.restart()
            check = Check(d)
            c = d.connect()
            boxes = {n: c.call("Ensure", name=n)["sandbox"]["id"] for n in "abc"}
            c.call("Ensure", name="idle", idle_timeout=2000)
            x = c.call("Exec", name="a", argv=["sleep", "1000"], detach=True)["started"]
            n = 0
            with contextlib.suppress(OSError):
                while True:
                    with open(os.path.join(here.state, f"filler{n}"), "wb", buffering=0) as f:
                        n += 1
                        while what == "bytes" and f.write(bytes(4096)):
                            pass
            for _ in range(3):
                contains(refused("StartFailed", c.call, "Ensure", name="d")["why"], "No space")
            eq(sandboxes(c).get("d"), None)
            for name in "abc":
                eq(c.call("Exec", name=name, argv=["true"])["result"]["exit_code"], 0)
            # It begins where there is no room, and knows what there is.
            st = os.statvfs(here.state)
            eq(st.f_bfree if what == "bytes" else st.f_ffree, 0, f"free {what}")
            d.restart()
            c = d.connect()
            for name in "abc":
                eq(sandboxes(c)[name]["id"], boxes[name])
            eq(c.call("Execs", name="a")["execs"], [], f"{x} has ended with the daemon before")
            eq(shell(c, "b", "echo served")[1], "served\n")
            c.call("Remove", name="c", force=True)
            c.call("Stop", name="b", grace=0)
            wait_state(c, "idle", "stopped", 10)
            eq(c.call("Reap")["stopped"], 1)
            wait_until(lambda: not [w for w in records().values() if w], 10, "no sandbox")
            wait_until(lambda: not check.snapshot.new_cgroups(), 10, "no groups")
            for i in range(n):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(here.state, f"filler{i}"))
            # There is room again, and everything works without another start.
            for name in ("a", "b", "d"):
                eq(c.call("Exec", name=c.call("Ensure", name=name)["sandbox"]["name"], argv=["true"])["result"]["exit_code"], 0)
            check.settled()
            d.remove_all()
        eq(libc.umount2(here.state.encode(), 2), 0, "umount")
