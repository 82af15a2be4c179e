# SPDX-License-Identifier: Apache-2.0
"""Every system call of a start fails once, and every process dies at every boundary.

The stepper (tests/live/stepper.c) counts the calls of one process: 0 is carrel itself,
1 is PID 1, 2 is the command. TEST_FAULTS=all runs each error at each call; by default the
errors take turns. In a slow machine (TEST_TIME_SCALE) only a sample is run.
"""

import leakcheck
from harness import *

ERRORS = (errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.EIO, errno.ENOSPC, errno.EINTR)
KEEPER, INIT, COMMAND = 0, 1, 2
NAME = {KEEPER: "keeper", INIT: "init", COMMAND: "command"}
SYS_fcntl = 72
SYS_exit_group = 231
ALL = os.environ.get("TEST_FAULTS") == "all"


class Step:
    """One run under the stepper."""

    def __init__(self, who, action, at, args, **kw):
        report = os.path.join(here.directory, "report")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(report)
        stepper = os.path.join(BUILD, "probes", "stepper")
        if not os.path.exists(stepper):
            raise Skip("the stepper is not built")
        self.hangs = False
        try:
            r = run(args, wrapper=[stepper, report, str(who), str(action), str(at)], timeout=6, **kw)
        except AssertionError as e:
            self.hangs, self.text = True, str(e)
            return
        self.stdout, self.stderr, self.result = r.stdout, r.stderr, r.result
        self.boundaries, self.calls, self.nr, status = (int(n) for n in read(report).split())
        self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


class Leftovers:
    """cgroups that a run leaves, told apart from those of other test runs."""

    def __init__(self):
        self.snapshot = leakcheck.Snapshot(os.path.join(here.directory, "canaries"))

    def look(self):
        found = [f"cgroup {d}" for d in self.snapshot.new_cgroups()]
        found += [f"record {name}" for name in records()]
        return found

    def after_next_run(self):
        """What is left when the next run has had its chance to reclaim."""
        if not self.look():
            return []
        run(["true"], result=False).expect(0)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.look(), 1)
        found = self.look()
        if found:
            self.snapshot.remove_leaks()  # so that the next point is judged for itself
        return found


def first_call_of_main():
    """Number of the first call behind the C library's own start: fcntl(0, F_GETFD)."""
    for boundary in range(2, 200, 2):
        step = Step(KEEPER, "kill", boundary, ["true"], result=False)
        if step.nr == SYS_fcntl:
            return step.calls
    raise AssertionError("carrel's first call was not found")


def sample(first, last, most):
    """At most `most` numbers, evenly spread; all if there are no more."""
    most = most if SCALE <= 1 else max(10, most // 20)
    count = last - first + 1
    if ALL or count <= most:
        return list(range(first, last + 1))
    return sorted({first + i * count // most for i in range(most)})


def judge_error(step, good):
    """Why the outcome of a failed call is not acceptable, or None."""
    if step.hangs:
        return "hangs: " + step.text[-600:]
    if same_posture(step.stdout, good) and step.status in (0, 125) and step.stderr.count("\n") <= 1:
        return None
    # Ended in the middle of what it had to say.
    if step.stdout and begins_posture(step.stdout, good) and step.status == 125 and step.stderr.count("\n") == 1:
        return None
    if step.stdout:
        return f"the command ran with another posture: {difference(step.stdout, good)}, status {step.status}, {step.stderr!r}"
    if step.status not in (125, 126, 127):
        return f"status {step.status}, {step.stderr!r}"
    if step.stderr.count("\n") != 1 or not step.stderr.startswith("carrel: "):
        return f"not one line of error: {step.stderr!r}"
    return None


def same_posture(text, good):
    """The time zone is a convenience; everything else has to be there."""
    return text in (good, good.replace("entry /etc/localtime\n", ""))


def begins_posture(text, good):
    return good.startswith(text) or good.replace("entry /etc/localtime\n", "").startswith(text)


def difference(text, good):
    changed = set(text.splitlines()) ^ set(good.splitlines())
    return sorted(changed)[:6] or "only in order"


def sweep_errors(who, most, extra=()):
    options = [*probe_options("posture"), *extra]
    good = run([*options, "/probe/posture"]).expect(0).stdout
    contains(good, "\nend\n")
    whole = Step(who, "kill", 0, [*options, "/probe/posture"])
    eq(whole.stdout, good, "posture under the stepper")
    first = first_call_of_main() if who == KEEPER else 1
    left, wrong = Leftovers(), []
    points = sample(first, whole.calls, most)
    for at in points:
        for number in ERRORS if ALL else (ERRORS[at % len(ERRORS)],):
            step = Step(who, number, at, [*options, "/probe/posture"])
            if not step.hangs and step.nr == SYS_exit_group:
                continue
            why = judge_error(step, good)
            leaks = left.after_next_run()
            if why or leaks:
                name = "?" if step.hangs else step.nr
                wrong.append(f"call {at} (nr {name}) with {errno.errorcode[number]}: {why or ''} {leaks or ''}")
            ok(sum("hangs" in w for w in wrong) < 4, "\n".join(wrong))
    print(f"  {NAME[who]}: {len(points)} of {whole.calls} calls")
    ok(whole.calls > first, f"the stepper saw no call of {NAME[who]}")
    ok(not wrong, f"{len(wrong)} of {len(points)} points:\n" + "\n".join(wrong[:25]))


@case("a call of the keeper that fails: one line of error, or all protections", ids=["FI-01", "E-15"], timeout=100)
def keeper_errors():
    sweep_errors(KEEPER, 320)


@case("a call of PID 1's that fails before its exec: one line of error, or all protections", ids=["FI-01"], timeout=100)
def init_errors():
    sweep_errors(INIT, 350)


@case("a call of the command's that fails before its exec: one line of error, or all protections", ids=["FI-01", "E-18"], timeout=100)
def command_errors():
    sweep_errors(COMMAND, 300)


@case("a call of the keeper that fails while it makes id-mapped volumes", ids=["FI-01", "E-22"], timeout=60)
def volume_errors():
    sweep_errors(KEEPER, 100, Workspace().options())


def sweep_kills(who, most):
    whole = Step(who, "kill", 0, ["true"])
    eq((whole.status, whole.stdout, whole.stderr), (0, "", ""))
    left, wrong = Leftovers(), []
    points = sample(1, whole.boundaries, most)
    for at in points:
        step = Step(who, "kill", at, ["true"])
        why = None
        if step.hangs:
            why = "hangs: " + step.text[-600:]
        elif who == KEEPER:
            ended = step.boundaries <= at + 1  # before, or in exit_group
            why = None if step.status == 137 or ended and step.status == 0 else f"status {step.status}"
        elif (step.status == 0 and step.boundaries >= at) or step.stderr.count("\n") > 1:
            why = f"status {step.status}, {step.stderr!r}"
        leaks = left.after_next_run() if who == KEEPER else left.look()
        if why or leaks:
            wrong.append(f"boundary {at}: {why or ''} {leaks or ''}")
    print(f"  {NAME[who]}: {len(points)} of {whole.boundaries} boundaries")
    ok(whole.boundaries > 2, f"the stepper saw no boundary of {NAME[who]}")
    ok(not wrong, f"{len(wrong)} of {len(points)} points:\n" + "\n".join(wrong[:25]))


@case("carrel killed at any boundary leaves nothing that the next run does not remove", ids=["FI-02", "R-01", "R-04"], timeout=100)
def keeper_killed():
    sweep_kills(KEEPER, 280)


@case("PID 1 killed at any boundary: carrel says so and cleans up", ids=["FI-02", "FI-04"], timeout=100)
def init_killed():
    sweep_kills(INIT, 160)


@case("the command killed at any boundary before its exec: carrel says so and cleans up", ids=["FI-02"], timeout=100)
def command_killed():
    sweep_kills(COMMAND, 120)
