# SPDX-License-Identifier: Apache-2.0
"""carrel run: processes, memory, processor and time."""

from harness import *

MIB = 1 << 20


def is_v2(controller):
    with open("/proc/self/mountinfo") as f:
        for m in parse_mounts(f.read()):
            if m.type == "cgroup" and controller in m.super_flags:
                return False
    return True


@case("a fork bomb ends at the limit of processes", timeout=30)
def fork_bomb():
    code = (
        "import os, time\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: time.sleep(1000)\n"
        "        n += 1\n"
        "except OSError as e: print(n, e.errno)\n"
    )
    r = python(code, "--pids-limit", "20").expect()
    eq(r.stdout.split()[1], str(errno.EAGAIN))
    ok(17 <= int(r.stdout.split()[0]) <= 20, r)
    ok(18 <= r.result["pids_peak"] <= 21, r)


@case("a classic shell fork bomb ends with its timeout and nothing survives", ids=["E-48"], timeout=30)
def shell_bomb():
    r = run(["--pids-limit", "64", "--timeout", f"{int(scaled(1) * 1000)}ms", "bash", "-c", "b() { b | b & }; b; sleep 1000"])
    r.expect(124)
    eq(r.result["reason"], "timeout")


@case("threads count as processes do")
def thread_limit():
    code = (
        "import threading, time\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    r = python(code, "--pids-limit", "30").expect()
    ok(26 <= int(r.stdout) <= 30, r)


@case("allocating beyond the memory limit is oom, with a peak near the limit", timeout=30)
def memory_allocation():
    r = python("b = []\nwhile True: b.append(bytearray(1 << 20))", "-m", "64m").expect(137)
    eq((r.result["reason"], r.result["oom"], r.result["signal"]), ("oom", True, 9))
    peak = r.result["mem_peak"]
    ok(peak == 0 or 56 * MIB <= peak <= 65 * MIB, f"mem_peak {peak}")
    eq(r.stderr.count("\n") <= 1, True, r.stderr)


@case("out of memory in a child ends the whole command", timeout=30)
def memory_child():
    r = python("import os, time\nif os.fork() == 0:\n  b = []\n  while True: b.append(bytearray(1 << 20))\ntime.sleep(1000)",
               "-m", "64m").expect(137)
    eq((r.result["reason"], r.result["oom"]), ("oom", True))


@case("what lies in tmpfs counts as memory", timeout=30)
def memory_tmpfs():
    r = run(["-m", "32m", "--tmpfs", "/fill:size=256m", "sh", "-c", "exec dd if=/dev/zero of=/fill/x bs=1M count=200"])
    r.expect(137)
    eq((r.result["reason"], r.result["oom"]), ("oom", True))


@case("the peak of memory is that of the command")
def memory_peak():
    r = python("b = bytearray(100 << 20)", "-m", "300m").expect()
    peak = r.result["mem_peak"]
    ok(peak == 0 or 100 * MIB <= peak <= 160 * MIB, f"mem_peak {peak}")
    eq(r.result["oom"], False)


@case("half a processor is about half the time", timeout=30)
def cpu_half():
    seconds = 2
    code = f"import time\ne = time.monotonic() + {seconds}\nwhile time.monotonic() < e: pass"
    r = python(code, "--cpus", "0.5").expect()
    share = (r.result["cpu_user_ms"] + r.result["cpu_sys_ms"]) / r.result["wall_ms"]
    # The lower bound only says that it ran: the machine may be busy.
    ok(0.02 <= share <= 0.75, f"share of the processor {share:.2f}: {r}")


@case("many processes share the limit of one processor", timeout=30)
def cpu_shared():
    r = sh("for i in 1 2 3 4; do timeout 2 sh -c 'while :; do :; done' & done; wait; exit 0", "--cpus", "0.5").expect()
    share = (r.result["cpu_user_ms"] + r.result["cpu_sys_ms"]) / r.result["wall_ms"]
    ok(share <= 0.85, f"share of the processor {share:.2f}: {r}")


def values(*options):
    """The limits of a sandbox as the host sees them, while it runs."""
    r = start([*options, "sh", "-c", "echo up; exec sleep 100"])
    r.expect_output("up")
    found = {}
    for name in ("pids.max", "memory.max", "memory.swap.max", "cpu.max", "memory.oom.group",
                 "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us"):
        path = cgroup_file(name)
        if path:
            found[name] = read(path).strip()
    r.send(signal.SIGKILL)
    r.wait()
    run(["true"]).expect()  # reclaims
    memory = found["memory.max"] if is_v2("memory") else found["memory.limit_in_bytes"]
    if is_v2("cpu"):
        quota, period = found["cpu.max"].split()
    else:
        quota, period = found["cpu.cfs_quota_us"], found["cpu.cfs_period_us"]
    cpus = None if quota in ("max", "-1") else int(quota) / int(period)
    return found, found["pids.max"], memory, cpus


@case("the default limits are 256 processes, 512 MiB without swap and one processor", timeout=30)
def default_values():
    found, processes, memory, cpus = values()
    # carrel-init is not counted among the command's.
    ok(int(processes) in (256, 257), found)
    eq(memory, str(512 * MIB))
    eq(cpus, 1.0)
    if "memory.swap.max" in found:
        eq(found["memory.swap.max"], "0")
    if "memory.memsw.limit_in_bytes" in found:
        eq(found["memory.memsw.limit_in_bytes"], memory)


@case("limits above the defaults reach the kernel", timeout=30)
def raised_values():
    found, processes, memory, cpus = values("--pids-limit", "1000", "-m", "1g", "--cpus", "1.75")
    ok(int(processes) in (1000, 1001), found)
    eq((memory, cpus), (str(1024 * MIB), 1.75))


@case("limits below the defaults reach the kernel", timeout=30)
def lowered_values():
    found, processes, memory, cpus = values("--pids-limit", "5", "-m", "32m", "--cpus", "0.05")
    ok(int(processes) in (5, 6), found)
    eq((memory, cpus), (str(32 * MIB), 0.05))


@case("unlimited lifts a limit", timeout=30)
def unlimited_values():
    r = start(["--pids-limit", "unlimited", "-m", "unlimited", "--cpus", "unlimited", "sh", "-c", "echo up; exec sleep 100"])
    r.expect_output("up")
    for name, free in (("pids.max", ("max",)), ("memory.max", ("max",)), ("cpu.cfs_quota_us", ("-1",)),
                       ("memory.limit_in_bytes", ("9223372036854771712",))):
        path = cgroup_file(name)
        if path:
            ok(read(path).strip() in free, f"{path}: {read(path)}")
    path = cgroup_file("cpu.max")
    if path:
        eq(read(path).split()[0], "max")
    r.send(signal.SIGTERM)
    r.wait().expect(143)


@case("command and carrel-init are members of the sandbox's groups", timeout=30)
def membership():
    r = start(["sh", "-c", "echo up; exec sleep 100"])
    r.expect_output("up")
    command = inside(r, "sleep")
    name = os.path.basename(cgroup_dirs()[0])
    lines = read(f"/proc/{command}/cgroup").splitlines()
    eq(len([x for x in lines if x.startswith("0::") and x.endswith(f"/{name}/exec")]), 1, lines)
    for controller in ("pids", "memory", "cpu"):
        if not is_v2(controller):
            for line in lines:
                if controller in line.split(":")[1].split(","):
                    ok(line.endswith("/" + name), line)
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    contains(read(f"/proc/{init}/cgroup"), f"0::/", f"/{name}\n")
    r.send(signal.SIGTERM)
    r.wait().expect(143)


@case("a timeout also ends what ignores SIGTERM and has left the session", ids=["E-48"])
def timeout_stubborn():
    script = "trap '' TERM INT HUP; for i in 1 2 3; do setsid sh -c \"trap '' TERM; setsid sleep 1000 & sleep 1000\" & done; (sleep 1000 & sleep 1000) & wait"
    r = sh(script, "--timeout", "500ms").expect(124)
    eq(r.result["reason"], "timeout")
    ok(r.seconds < scaled(4), f"took {r.seconds:.1f} s")


@case("a timeout ends a stopped tree", ids=["E-48"])
def timeout_stopped():
    r = sh("sleep 1000 & kill -STOP $!; kill -STOP $$", "--timeout", "500ms").expect(124)
    eq(r.result["reason"], "timeout")


@case("--max-duration ends the command with 124, and the shorter of the two counts")
def max_duration():
    r = run(["--max-duration", "300ms", "sleep", "1000"]).expect(124)
    eq(r.result["reason"], "timeout")
    r = run(["--max-duration", "300ms", "--timeout", "1h", "sleep", "1000"]).expect(124)
    ok(r.seconds < scaled(4), r)
    r = run(["--max-duration", "1h", "--timeout", "300ms", "sleep", "1000"]).expect(124)
    ok(r.seconds < scaled(4), r)


@case("a command that ends by itself before its timeout keeps its status")
def timeout_unused():
    run(["--timeout", "1h", "--idle-timeout", "1s", "sh", "-c", "exit 3"]).expect(3)


@case("a command that kills itself while a timeout is set is no timeout")
def timeout_own_kill():
    r = sh("kill -9 $$", "--timeout", "1h").expect(137)
    eq((r.result["reason"], r.result["oom"]), ("signal", False))
