# SPDX-License-Identifier: Apache-2.0
"""The filter as it is in force inside a sandbox, call by call, against the specification
in tests/unit/seccomp_expect.txt."""

from harness import *

EXPECT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "unit", "seccomp_expect.txt")
SWEEP = "/probe/seccomp_sweep"
# Calls that the sweep itself would not survive, or that never return by design.
NOT_TOLD = {"exit", "exit_group", "rt_sigreturn"}


def sweep(*args, timeout=60):
    r = run([*probe_options("seccomp_sweep"), "--pids-limit", "64", SWEEP, *args], timeout=timeout)
    return [line.split() for line in r.expect(0).stdout.splitlines()]


def holds(condition, value):
    left, right = condition.split("=")
    want = int(right, 0)
    name, _, mask = left.partition("&")
    return name.startswith("a") and value & (int(mask, 0) if mask else 0xFFFFFFFF) == want


def expected():
    """What the list says of each number when all arguments are −1."""
    found = {}
    for line in read(EXPECT).splitlines():
        words = line.split("#")[0].split()
        if not words or "-" in words[0]:
            continue
        number, name, answer, *conditions = words
        if int(number) in found or not all(holds(c, -1 & (1 << 64) - 1) for c in conditions):
            continue
        found[int(number)] = (name, answer)
    return found


def same(a, b):
    return a == b or {a, b} == {"EOPNOTSUPP", "ENOTSUP"}


@case("each of 1024 numbers gets the answer of the specification, natively", ids=["S-41", "S-42", "S-01"], timeout=90)
def natively():
    last = 1023 if SCALE <= 1 else 471
    want = expected()
    wrong = []
    for number, name, _, answer in [x for x in sweep("0", str(last)) if x[2] == "native"]:
        spec_name, spec = want.get(int(number), ("-", "ENOSYS"))
        if spec_name in NOT_TOLD or spec_name in ("uprobe", "uretprobe"):
            continue
        if spec == "allow":
            # ENOSYS is the filter's, or a kernel's without the call; only known calls
            # of old kernels must not be missing.
            if answer == "ENOSYS" and int(number) < 425 and name not in ("restart_syscall",):
                wrong.append((number, name, answer, spec))
        elif not same(answer, spec):
            wrong.append((number, name, answer, spec))
    eq(wrong, [], "number, name, seen, specified")


@case("calls by int 0x80 and by x32 numbers end the process", ids=["E-33", "S-02", "S-42", "S-11"], timeout=90)
def other_abis():
    last = 460 if SCALE <= 1 else 60
    lines = sweep("0", str(last))
    by_abi = {abi: {x[3] for x in lines if x[2] == abi} for abi in ("int80", "x32")}
    eq(by_abi["x32"] <= {"SYS"}, True, f"x32: {by_abi['x32']}")
    # A kernel without IA32 emulation takes the trap for a general protection fault.
    eq(by_abi["int80"] <= {"SYS", "SEGV"}, True, f"int80: {by_abi['int80']}")
    eq(len(by_abi["int80"]), 1, "kinds of answers")


@case("of all socket families, types and protocols only the listed triples open", ids=["E-30", "E-31", "S-10"], timeout=60)
def sockets():
    opened = {tuple(int(n) for n in x) for x in sweep("--sockets")}
    allowed = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        allowed |= {(family, 1, 0), (family, 1, 6), (family, 2, 0), (family, 2, 17)}
    allowed |= {(socket.AF_NETLINK, 2, 0), (socket.AF_NETLINK, 3, 0)}
    # AF_UNIX takes SOCK_RAW for a datagram; it has no other protocol than 0 and 1.
    allowed |= {(socket.AF_UNIX, kind, proto) for kind in (1, 2, 3, 5) for proto in (0, 1)}
    eq(sorted(opened - allowed), [], "opened and not on the list")
    missing = allowed - opened
    eq({f for f, _, _ in missing} - {socket.AF_INET6}, set(), f"on the list and not opened: {missing}")


@case("filtered ioctls stay so with any high bit set", ids=["E-34", "S-05", "S-13", "E-36"], timeout=60)
def ioctls():
    answers = sweep("--ioctl")
    ok(len(answers) > 500, f"{len(answers)} answers")
    bad = [x for x in answers if x[1] not in ("EPERM", "EOPNOTSUPP", "ENOTSUP")]
    eq(bad, [], "let through to the kernel")


@case("no kind of namespace by unshare, clone or clone3, in any ABI", ids=["E-26", "S-14", "S-15", "E-33"], timeout=60)
def namespaces():
    answers = sweep("--clone")
    ok(len(answers) >= 60, f"{len(answers)} answers")
    for kind, call, abi, answer in answers:
        want = {"SYS", "SEGV"} if abi != "native" else {"ENOSYS"} if call == "clone3" else {"EPERM"}
        ok(answer in want, f"{kind} by {call} ({abi}): {answer}")


@case("all commands carry the same filter, byte for byte, and carrel-init one that is no wider", ids=["S-04", "S-44"])
def same_bytes():
    programs = []
    for _ in range(2):
        running = start(["sleep", "60"])
        command = inside(running, "sleep")
        init = next(p for p in children(running.pid) if p != command)
        wait_until(lambda init=init: comm_of(init) == "carrel-init")
        programs.append([filter_of(pid) for pid in (init, command)])
        running.send(signal.SIGTERM)
        running.wait()
    eq(programs[0], programs[1])
    ok(len(programs[0][1]) > 800, f"a filter of {len(programs[0][1])} bytes")
    ok(0 < len(programs[0][0]) <= len(programs[0][1]), "carrel-init's filter")


def filter_of(pid):
    """The first filter of a process, by PTRACE_SECCOMP_GET_FILTER. Skips where the kernel
    has none of that (CONFIG_CHECKPOINT_RESTORE)."""
    PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, GET_FILTER = 0x4206, 0x4207, 17, 0x420C
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    eq(libc.ptrace(PTRACE_SEIZE, pid, None, None), 0, "seize")
    libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
    os.waitpid(pid, 0x40000000)  # __WALL
    buffer = ctypes.create_string_buffer(8 * 4096)
    n = libc.ptrace(GET_FILTER, pid, 0, ctypes.cast(buffer, ctypes.c_void_p))
    why = ctypes.get_errno()
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    if n < 0:
        raise Skip(f"PTRACE_SECCOMP_GET_FILTER: {os.strerror(why)}")
    return buffer.raw[: 8 * n]
