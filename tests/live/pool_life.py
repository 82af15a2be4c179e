# SPDX-License-Identifier: Apache-2.0
"""Sandboxes of the daemon: made once, used, stopped, started anew, taken over."""

import threading

from daemon import Daemon
from harness import *
from poolcheck import Check, init_of, refused, shell


def wait_state(c, name, state, seconds=10):
    def look():
        found = [s for s in c.call("List", all=True)["sandboxes"] if s["name"] == name]
        return found and found[0]["state"] == state and found[0]

    return wait_until(look, seconds, f"{name} being {state}")


@case("ensure makes a sandbox once; exec runs in it; stop and rm take it down", timeout=40)
def whole_life():
    with Daemon() as d:
        c = d.connect()
        reply = c.call("Ensure", name="a")
        ok(reply["created"], "it was made")
        eq(reply["sandbox"]["state"], "running")
        again = c.call("Ensure", name="a")
        ok(not again["created"], "made once")
        eq(again["sandbox"]["id"], reply["sandbox"]["id"])
        result, text = shell(c, "a", "echo hello; id -u; exit 7")
        eq((result["reason"], result["exit_code"], text), ("exit", 7, "hello\n1000\n"))
        shell(c, "a", "echo kept > /tmp/file")
        eq(shell(c, "a", "cat /tmp/file")[1], "kept\n")
        c.call("Stop", name="a", grace=0)
        eq(wait_state(c, "a", "stopped")["id"], "")
        result, text = shell(c, "a", "cat /tmp/file; echo new")
        eq(text, "new\n", "a stopped one is started anew, empty")
        eq(wait_state(c, "a", "running")["generation"], 2)
        eq(refused("WrongState", c.call, "Remove", name="a")["state"], "running")
        c.call("Remove", name="a", force=True)
        refused("NoSuchSandbox", c.call, "Touch", name="a")
        eq(c.call("List", all=True)["sandboxes"], [])


@case("any number of callers at once get one sandbox", ids=["E-60"], timeout=40)
def many_callers():
    with Daemon() as d:
        replies = []

        def caller():
            c = d.connect()
            replies.append(c.call("Ensure", name="one"))
            c.close()

        threads = [threading.Thread(target=caller) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        eq(len(replies), 20)
        eq(sum(r["created"] for r in replies), 1, "makers")
        eq(len({r["sandbox"]["id"] for r in replies}), 1, "sandboxes")


@case("another request for the same name is a conflict that names the field", timeout=30)
def conflicts():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a", env={"A": "1"}, limits={"memory": 64 << 20})
        eq(refused("Conflict", c.call, "Ensure", name="a", env={"A": "2"}, limits={"memory": 64 << 20})["field"], "env")
        eq(refused("Conflict", c.call, "Ensure", name="a", env={"A": "1"})["field"], "limits")


@case("a client sees and touches its own sandboxes alone; others' are as if they were not there", ids=["E-53", "E-57"], timeout=40)
def two_clients():
    with Daemon() as d:
        a, b = d.connect(uid=4001), d.connect(uid=4002)
        a.call("Ensure", name="mine")
        for method, more in (("Touch", {}), ("Inspect", {}), ("Stop", {}), ("Pause", {}), ("Execs", {}),
                             ("Remove", {"force": True}), ("Exec", {"argv": ["true"]}),
                             ("Kill", {"exec": "x1", "signal": 9}), ("Wait", {"exec": "x1"})):
            theirs = refused("NoSuchSandbox", b.call, method, name="mine", **more)
            none = refused("NoSuchSandbox", b.call, method, name="none", **more)
            eq(set(theirs), set(none), method)
        eq(b.call("List", all=True)["sandboxes"], [])
        b.call("Ensure", name="mine")
        eq(b.call("Shutdown", remove=True)["stopped"], 1)
        eq(wait_state(a, "mine", "running")["generation"], 1)


@case("kill -9 of the daemon: sandboxes live on and are taken over, commands are ended", ids=["FI-02", "FI-03", "R-06"], timeout=60)
def killed_daemon():
    with Daemon() as d:
        c = d.connect()
        first = c.call("Ensure", name="a", labels={"k": "v"})["sandbox"]
        shell(c, "a", "echo kept > /tmp/file")
        c.call("Ensure", name="stopped")
        c.call("Stop", name="stopped", grace=0)
        c.call("Exec", name="a", argv=["sh", "-c", "setsid sleep 1000 & sleep 1000"], detach=True)
        d.restart()
        c = d.connect()
        now = {s["name"]: s for s in c.call("List", all=True)["sandboxes"]}
        eq(set(now), {"a", "stopped"})
        eq((now["a"]["state"], now["a"]["id"], now["a"]["labels"]), ("running", first["id"], {"k": "v"}))
        eq(now["a"]["started"], first["started"], "when it began")
        eq(now["stopped"]["state"], "stopped")
        wait_until(lambda: shell(c, "a", "ls /proc | grep -c '^[0-9]'")[1].strip() in ("3", "4", "5"), 10, "old commands gone")
        eq(shell(c, "a", "cat /tmp/file")[1], "kept\n")
        ok(not c.call("Ensure", name="a", labels={"k": "v"})["created"])


@case("PID 1 killed: the sandbox is seen to be dead, and the next ensure makes a new generation", ids=["FI-04"], timeout=40)
def killed_init():
    with Daemon() as d:
        c = d.connect()
        box = c.call("Ensure", name="a")["sandbox"]
        init = [p for p in pids() if comm_of(p) == "carrel-init" and box["id"] in read(f"/proc/{p}/cgroup")]
        os.kill(init[0], signal.SIGKILL)
        wait_state(c, "a", "stopped", 5)
        eq(c.call("Ensure", name="a")["sandbox"]["generation"], 2)


@case("idle sandboxes are stopped; one with a command is not, however long that is silent", ids=["FI-22"], timeout=60)
def idleness():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="idle", idle_timeout=1000)
        c.call("Ensure", name="busy", idle_timeout=1000)
        x = c.call("Exec", name="busy", argv=["sleep", "4"], detach=True)["started"]
        wait_state(c, "idle", "stopped", 8)
        eq(wait_state(c, "busy", "running")["execs"], 1)
        eq(c.call("Wait", name="busy", exec=x)["result"]["reason"], "exit")
        wait_state(c, "busy", "stopped", 8)


def gone(c, name, seconds=10):
    def look():
        return name not in [s["name"] for s in c.call("List", all=True)["sandboxes"]]

    wait_until(look, seconds, f"{name} being gone")


@case("what is refused does not count as use; a touch does", ids=["FI-22"], timeout=40)
def refused_touch():
    with Daemon() as d:
        c = d.connect()
        c.call("Ensure", name="a")

        def used():
            return c.call("List", all=True)["sandboxes"][0]["used"]

        before = used()
        wait_until(lambda: c.call("Touch", name="a") == {} and used() > before, 5, "a touch that counts")
        c.call("Stop", name="a", grace=0)
        before = used()
        time.sleep(0.05)
        for _ in range(3):
            eq(refused("WrongState", c.call, "Touch", name="a")["state"], "stopped")
        eq(used(), before, "when it was used last")


@case("auto_remove: it goes with the connection that made it, with what runs in it, or with its stop", ids=["E-59"], timeout=60)
def auto_remove():
    with Daemon() as d:
        check = Check(d)
        c, other = d.connect(), d.connect()
        ok(c.call("Ensure", name="a", auto_remove=True)["created"])
        ok(not other.call("Ensure", name="a", auto_remove=True)["created"])
        eq(refused("Conflict", other.call, "Ensure", name="a")["field"], "auto_remove")
        other.call("Exec", name="a", argv=["sleep", "1000"], detach=True)
        other.close()
        other = d.connect()
        eq(shell(c, "a", "echo used")[1], "used\n")
        eq(len(other.call("List")["sandboxes"]), 1, "another connection's end is nothing to it")
        c.close()
        gone(other, "a")
        check.settled()
        # Whatever stops it.
        c = d.connect()
        for i in range(3):
            eq(c.call("Ensure", name="a", auto_remove=True)["sandbox"]["generation"], 1)
            box = c.call("Ensure", name="a", auto_remove=True)
            ok(not box["created"])
            if i == 0:
                c.call("Stop", name="a", grace=0)
            elif i == 1:
                eq(c.call("Reap")["stopped"], 1)
            else:
                os.kill(init_of(box["sandbox"]["id"]), signal.SIGKILL)
            gone(c, "a")
            refused("NoSuchSandbox", c.call, "Exec", name="a", argv=["true"])
        # A client that has gone before it was there.
        for i in range(20):
            going = d.connect()
            going.client.send("io.carrel.Pool.Ensure", {"name": f"b{i}", "auto_remove": True})
            if i % 2:
                time.sleep(0.002 * i)
            going.close()
        c.call("Ensure", name="kept")
        wait_until(lambda: [s["name"] for s in c.call("List", all=True)["sandboxes"]] == ["kept"], 10, "all gone")
        check.settled()


@case("auto_remove: none outlives the daemon, killed or asked to end", ids=["FI-02", "FI-20"], timeout=60)
def auto_remove_and_the_daemon():
    with Daemon() as d:
        check = Check(d)
        c = d.connect()
        kept = c.call("Ensure", name="kept")["sandbox"]["id"]
        box = c.call("Ensure", name="a", auto_remove=True)["sandbox"]["id"]
        c.call("Exec", name="a", argv=["sleep", "1000"], detach=True)
        d.restart()
        c = d.connect()
        eq([s["id"] for s in c.call("List", all=True)["sandboxes"]], [kept])
        wait_until(lambda: not init_of(box), 10, "its PID 1 gone")
        check.settled()
        box = c.call("Ensure", name="a", auto_remove=True)["sandbox"]["id"]
        eq(d.stop(), 0)
        eq(init_of(box), None, "PID 1 after the daemon")
        ok(init_of(kept), "the other lives on")
        eq(len(records()), 1, "records")
        d.start()


def restart_until_stopped(d, name):
    """More often than its duration is long."""
    c = d.connect()
    for _ in range(30):
        c.close()
        d.restart()
        c = d.connect()
        found = [s for s in c.call("List", all=True)["sandboxes"] if s["name"] == name]
        if found[0]["state"] == "stopped":
            return c
        time.sleep(min(scaled(0.5), 2))
    raise AssertionError("it has outlived its duration by far")


@case("max_duration counts across restarts of the daemon, from the binding of what was a spare", ids=["FI-02"], timeout=90)
def duration_across_restarts():
    duration = int(min(scaled(3), 12)) * 1000
    with Daemon("[profile default]\nwarm = 1\n") as d:
        c = d.connect()
        c.call("Ensure", name="cold", hostname="cold", max_duration=duration)
        c.close()
        c = restart_until_stopped(d, "cold")
        # Spares are made anew with the daemon.
        time.sleep(duration / 1000 + 1)
        spare = wait_until(lambda: [w for w in records().values() if "init" in w], 10, "a spare")[0]
        box = c.call("Ensure", name="bound", max_duration=duration)["sandbox"]
        eq(box["id"], os.path.basename(spare[0]), "it was a spare")
        c.close()
        d.restart()
        c = d.connect()
        eq(wait_state(c, "bound", "running")["started"], box["started"])
        c.close()
        restart_until_stopped(d, "bound").close()
