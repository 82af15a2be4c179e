# SPDX-License-Identifier: Apache-2.0
"""carrel doctor: each feature is proved by trying, and its lack is named (FI-27, FI-28)."""

import contextlib
import json
import os
import shutil
import subprocess

from harness import *

STATES = ("ok", "missing", "advice")

# A system call that the kernel does not have, and the checks that must notice. Others may
# fail with it, "sandbox" among them, but nothing may be missing beside `allowed`.
LACKING = {
    "mount_setattr": {"mount-setattr"},
    "clone3": {"clone3"},
    "openat2": {"openat2"},
    "close_range": {"close-range"},
    "fsopen": {"fs-tmpfs", "fs-proc", "fs-devpts"},
    "open_tree": {"open-tree"},
    "move_mount": {"move-mount"},
    "memfd_create": {"memfd"},
    "execveat": {"execveat"},
    "chroot": {"root"},
    "pivot_root": {"root"},
    "seccomp": {"seccomp"},
    "setns": {"setns", "userns", "root"},
    "pidfd_open": {"pidfd", "setns", "root"},
    "pidfd_send_signal": {"pidfd"},
}


def doctor(*options, wrapper=(), **kw):
    args = ["doctor", "--config", here.config, "--format", "json", *options]
    r = carrel(args, wrapper=wrapper, timeout=60, **kw)
    ok(r.status in (0, 1), repr(r))
    report = json.loads(r.stdout)
    missing = {c["id"] for c in report["checks"] if c["state"] == "missing"}
    eq(report["usable"], not missing, "usable")
    eq(r.status, 1 if missing else 0, "exit status")
    eq(report["missing"], len(missing), "count of what is missing")
    return {c["id"]: c for c in report["checks"]}, missing


def without(call, effect="error=ENOSYS"):
    """Words that take a system call away from what follows, in every process of it."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    log = os.path.join(here.directory, "strace.log")
    return ["strace", "-f", "-qq", "-o", log, "-e", f"trace={call}",
            "-e", f"inject={call}:{effect}"]


def in_own_mounts(script):
    """Words that run what follows in a mount namespace changed by the script."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            f'{script}; exec "$@"', "sh"]


@case("this host is usable, and every check says what it found", ids=["FI-27"], timeout=60)
def usable():
    checks, missing = doctor()
    eq(missing, set(), "what is missing")
    for check in checks.values():
        ok(check["state"] in STATES, repr(check))
        ok(check["found"], f"{check['id']} says nothing")
        eq(bool(check["remedy"]), check["state"] != "ok", f"remedy of {check['id']}")
    eq(checks["sandbox"]["state"], "ok")


@case("twice in a row it finds the same and leaves nothing behind", timeout=60)
def leaves_nothing():
    states = [{name: c["state"] for name, c in doctor()[0].items()} for _ in range(2)]
    eq(states[0], states[1], "states")
    eq(records(), {}, "records of cgroups")


@case("the table has a line a check, no colour in a pipe, and a verdict", timeout=60)
def table():
    checks, _ = doctor()
    lines = carrel(["doctor", "--config", here.config], timeout=60).expect(0).stdout.splitlines()
    matches(lines[0], r"^CHECK +STATE +FOUND +WHAT TO DO$")
    eq(len(lines), 1 + len(checks) + 2, "lines")
    matches(lines[-1], r"^usable: \d+ ok, 0 missing, \d+ advice$")
    ok("\033" not in "".join(lines), "an escape sequence in a pipe")


@case("colours only on a terminal, and none with NO_COLOR or TERM=dumb", timeout=60)
def colours():
    def coloured(**env):
        env = {"PATH": os.environ["PATH"], "TERM": "xterm", **env}
        t = Terminal(["doctor", "--config", here.config], raw=True, env=env)
        with contextlib.closing(t):
            return "\033[" in t.wait(60).stdout

    eq(coloured(), True, "on a terminal")
    eq(coloured(NO_COLOR="1"), False, "with NO_COLOR")
    eq(coloured(NO_COLOR=""), True, "with an empty NO_COLOR")
    eq(coloured(TERM="dumb"), False, "on a dumb terminal")


@case("wrong options and configurations are status 125 and name what is wrong")
def wrong_options():
    for args, said in (
        (["--format", "xml"], '"xml" is neither table nor json'),
        (["--nonsense"], "--nonsense"),
        (["word"], "word"),
        (["--config", "/nonexistent"], "/nonexistent"),
    ):
        r = carrel(["doctor", *args]).expect(125)
        contains(r.stderr, said, "standard error")
        eq(r.stdout, "", "standard output")


@case("an ordinary user gets the table, and is told to be root", ids=["FI-27"], timeout=60)
def ordinary_user():
    os.chmod(here.directory, 0o755)  # the configuration is read with the user's rights
    program = os.path.join(here.work, "carrel")
    shutil.copy(CARREL, program)
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program,
             "doctor", "--config", here.config, "--format", "json"]
    r = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=scaled(30))
    eq(r.returncode, 1, "exit status")
    checks = {c["id"]: c for c in json.loads(r.stdout)["checks"]}
    eq(checks["privilege"]["state"], "missing")
    contains(checks["privilege"]["found"], "CAP_SYS_ADMIN")
    contains(checks["namespace-mount"]["remedy"], "root")


@case("without one system call it says which, and all else is tried", ids=["FI-28"], timeout=240)
def lacking_calls():
    for call, expected in LACKING.items():
        checks, missing = doctor(wrapper=without(call))
        ok(expected <= missing, f"{call}: {missing!r} lacks {expected - missing!r}")
        for name in expected:
            contains(checks[name]["found"], "not implemented", f"{call}: {name}")
        for name in ("privilege", "namespace-net", "cgroup2", "state-dir", "ids"):
            ok(name not in missing, f"{call}: {checks[name]!r}")
        eq(records(), {}, f"{call}: records of cgroups")


@case("a system call that hangs is given up, and the cgroups of its check removed", timeout=60)
def hanging_call():
    checks, missing = doctor(wrapper=without("clone3", "delay_enter=14000000"))
    eq(missing, {"clone3", "sandbox"}, "what is missing")
    contains(checks["clone3"]["found"], "no answer within")
    eq(records(), {}, "records of cgroups")


@case("without a cgroup v2 mount it says so", ids=["FI-27"], timeout=60)
def no_cgroup2():
    script = "umount -l $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts)"
    checks, missing = doctor(wrapper=in_own_mounts(script))
    ok({"cgroup2", "clone3", "cgroup-kill", "controller-pids"} <= missing, repr(missing))
    contains(checks["cgroup2"]["found"], "no cgroup2 file system is mounted")


@case("a read-only cgroup file system is named", ids=["FI-27"], timeout=60)
def read_only_cgroups():
    script = ("for m in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts);"
              " do mount -o remount,bind,ro $m; done")
    checks, missing = doctor(wrapper=in_own_mounts(script))
    ok("cgroup2" in missing, repr(missing))
    contains(checks["cgroup2"]["found"], "Read-only")


@case("a state directory that others could replace is refused", ids=["FI-27"], timeout=60)
def bad_state_dir():
    parent = os.path.join(here.directory, "open")
    os.mkdir(parent)
    os.chmod(parent, 0o777)
    with open(here.config) as f:
        text = f.read().replace(here.state, os.path.join(parent, "state"))
    with open(here.config, "w") as f:
        f.write(text)
    checks, missing = doctor()
    ok("state-dir" in missing, repr(missing))
    contains(checks["state-dir"]["found"], "root's alone")
    ok(not os.listdir(parent), "something was made there")


@case("accounts inside the block of ids are advice", ids=["FI-27"], timeout=60)
def foreign_ids():
    passwd = os.path.join(here.directory, "passwd")
    with open(passwd, "w") as f:
        f.write(f"root:x:0:0::/:/bin/sh\nsomebody:x:{here.id_first + 70000}:1::/:/bin/sh\n")
    checks, missing = doctor(wrapper=in_own_mounts(f"mount --bind {passwd} /etc/passwd"))
    eq(missing, set(), "what is missing")
    eq(checks["ids"]["state"], "advice")
    contains(checks["ids"]["found"], "somebody in /etc/passwd")


@case("what it quotes from the host cannot move a terminal's cursor", timeout=60)
def escapes():
    pattern = os.path.join(here.directory, "pattern")
    with open(pattern, "w") as f:
        f.write("|/bin/\033[2Jevil\n")
    script = f"mount --bind {pattern} /proc/sys/kernel/core_pattern"
    checks, _ = doctor(wrapper=in_own_mounts(script))
    eq(checks["kernel.core_pattern"]["state"], "advice")
    eq(checks["kernel.core_pattern"]["found"], "|/bin/\\x1b[2Jevil")
