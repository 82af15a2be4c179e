# SPDX-License-Identifier: Apache-2.0
"""carrel run: signals to carrel, and its sudden death."""

import random

from harness import *


@case("TERM, INT, HUP, USR1, USR2 and QUIT reach the command")
def passed_on():
    script = "for s in TERM INT HUP USR1 USR2 QUIT; do trap \"echo got $s; exit 3\" $s; done; echo up; while :; do sleep 0.05; done"
    for name in ("TERM", "INT", "HUP", "USR1", "USR2", "QUIT"):
        r = start(["sh", "-c", script])
        r.expect_output("up")
        r.send(getattr(signal, "SIG" + name))
        eq(r.wait().expect(3).stdout, f"up\ngot {name}\n")


@case("a signal that ends the command shows in status and result")
def ends():
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        r = start(["sh", "-c", "echo up; exec sleep 100"])
        r.expect_output("up")
        r.send(sig)
        result = r.wait().expect(128 + sig).result
        eq((result["reason"], result["signal"]), ("signal", int(sig)))


@case("a command that ignores a signal goes on, and further signals arrive")
def ignored():
    r = start(["sh", "-c", "trap '' INT; trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"])
    r.expect_output("up")
    r.send(signal.SIGINT)
    time.sleep(scaled(0.2))
    eq(r.process.poll(), None)
    r.send(signal.SIGUSR1)
    r.wait().expect(7)


@case("a signal during the start is not lost and leaves nothing behind", timeout=60)
def early():
    random.seed(1)
    for _ in range(15):
        r = start(["sleep", "100"])
        time.sleep(scaled(random.uniform(0, 0.02)))
        r.send(signal.SIGTERM)
        result = r.wait()
        # Before carrel has set up anything the signal ends carrel itself.
        ok(result.status in (143, -15), result)


@case("SIGKILL of carrel ends everything inside at once", ids=["E-48"])
def killed():
    w = Workspace()
    r = start([*w.options(), "sh", "-c", "setsid sh -c 'while :; do date >>alive; sleep 0.02; done' & (sleep 1000 & sleep 1000) & echo up; sleep 1000"])
    r.expect_output("up")
    wait_until(lambda: os.path.exists(w / "alive"))
    inner = set(descendants(r.pid))
    ok(len(inner) >= 5, inner)
    groups = cgroup_dirs()
    r.send(signal.SIGKILL)
    r.process.wait()
    wait_until(lambda: not any((stat_fields(p) or (0, "Z"))[1] != "Z" for p in inner), 3, "end of all processes")
    size = os.path.getsize(w / "alive")
    time.sleep(scaled(0.2))
    eq(os.path.getsize(w / "alive"), size, "size of what was written")
    # What is left is recorded, and the next run removes it.
    eq(list(records().values()), [groups])
    run(["true"]).expect()
    eq(records(), {})
    eq([g for g in groups if os.path.exists(g)], [])


@case("SIGKILL of carrel ends even what is stopped or ignores signals")
def killed_stubborn():
    r = start(["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & kill -STOP $!; setsid sh -c 'kill -STOP $$' & echo up; while :; do sleep 1; done"])
    r.expect_output("up")
    inner = set(descendants(r.pid))
    r.send(signal.SIGKILL)
    r.process.wait()
    wait_until(lambda: not any((stat_fields(p) or (0, "Z"))[1] != "Z" for p in inner), 3, "end of all processes")
    run(["true"]).expect()


@case("five killed at once are reclaimed by one run, while one that lives is not touched", timeout=30)
def killed_many():
    live = start(["sh", "-c", "echo up; read x; exit 5"], stdin="pipe")
    runs = [start(["sh", "-c", "echo up; exec sleep 100"]) for _ in range(5)]
    for r in [live, *runs]:
        r.expect_output("up")
    for r in runs:
        r.send(signal.SIGKILL)
    for r in runs:
        r.process.wait()
    eq(len(records()), 6)
    run(["true"]).expect()
    eq(len(records()), 1)
    live.write(b"x\n")
    live.wait().expect(5)


@case("SIGKILL at 30 random moments of the start: nothing runs on, and the next run cleans up", ids=["FI-02"], timeout=60)
def killed_at_random():
    random.seed(2)
    began = time.monotonic()
    run(["true"]).expect()
    span = (time.monotonic() - began) * 1.5
    for i in range(30):
        r = start(["sleep", "1000"])
        time.sleep(random.uniform(0, span))
        r.send(signal.SIGKILL)
        r.process.wait()
        if i % 5 == 4:
            run(["true"]).expect()
            eq(records(), {})


@case("SIGKILL of carrel-init ends the command")
def init_killed():
    r = start(["sh", "-c", "echo up; exec sleep 100"])
    r.expect_output("up")
    (init,) = [p for p in children(r.pid) if comm_of(p) == "carrel-init"]
    os.kill(init, signal.SIGKILL)
    r.wait().expect(137)


@case("the death of carrel's own parent changes nothing")
def parent_dies():
    w = Workspace()
    script = f"{CARREL} run --config {here.config} --workspace {w.path} sh -c 'sleep 0.5; echo done >done' & exit 0"
    subprocess.run(["sh", "-c", script], check=True, timeout=scaled(10))
    wait_until(lambda: os.path.exists(w / "done") and read(w / "done") == "done\n", 5, "the command's end")
    wait_until(lambda: not records(), 5, "carrel's end")


@case("a reader that goes away is the command's SIGPIPE, not carrel's")
def broken_pipe():
    r = start(["sh", "-c", "yes; exit 3"], stdout=subprocess.PIPE)
    os.close(os.dup(r.process.stdout.fileno()))
    shell = subprocess.run(
        ["bash", "-c", f"{CARREL} run --config {here.config} yes | head -n1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=scaled(10), check=True,
    )
    eq(shell.stdout, "y\n141\n")
    r.send(signal.SIGTERM)
    r.wait()


@case("a record that is damaged or a state file that is not carrel's do not stop it")
def damaged_state():
    run(["true"]).expect()
    (table,) = [n for n in os.listdir(here.state) if n.startswith("slots")]
    path = os.path.join(here.state, table)
    for content in (b"", b"x", os.urandom(4096), b"\0" * 100000):
        with open(path, "wb") as f:
            f.write(content)
        run(["true"]).expect()
