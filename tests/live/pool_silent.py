# SPDX-License-Identifier: Apache-2.0
"""Clients that connect and say nothing, or a byte now and then. They have what is written
down and no more, nobody else notices, and when they have gone all is as it was."""

import base64
import random
import resource

from daemon import Daemon, INTERFACE, connect_as
from harness import *
from poolcheck import *

SEED = int(os.environ.get("TEST_SEED", "9"))
CROWD = 10_000 if SCALE <= 1 else 1000
EACH = 250  # connections of one process: fewer descriptors than any may have
MOST = 256  # connections that one uid may have, FRONT_CONNS_MAX
FRONTS = 1024  # fronts that there may be, FRONTS_MAX
IDLE = 32  # fronts that are kept though nobody is connected, FRONTS_IDLE_MAX
BUSY = [
    {"error": f"{INTERFACE}.Busy", "parameters": {"what": what, "limit": limit}}
    for what, limit in (("connections", MOST), ("clients", FRONTS))
]
INFO = b'{"method":"org.varlink.service.GetInfo"}\0'


class Silent:
    """A connection that nothing is sent over."""

    def __init__(self, path):
        self.sock, self.heard, self.ended = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), b"", False
        self.sock.connect(path)
        self.sock.setblocking(False)

    def look(self):
        with contextlib.suppress(BlockingIOError):
            while not self.ended:
                try:
                    part = self.sock.recv(4096)
                except ConnectionResetError:
                    part = b""
                self.heard += part
                self.ended = not part

    def is_open(self):
        self.look()
        return not self.heard and not self.ended

    def is_refused(self):
        self.look()
        return self.ended and self.heard.endswith(b"\0") and json.loads(self.heard[:-1]) in BUSY

    def is_served(self):
        """Says something, after all; an answer comes."""
        with contextlib.suppress(BrokenPipeError):
            self.sock.sendall(INFO)
        self.look()
        while not self.ended and not self.heard.endswith(b"\0"):
            waiting = select.poll()
            waiting.register(self.sock, select.POLLIN)
            ok(waiting.poll(scaled(20) * 1000), "no answer")
            self.look()
        served = not self.ended and "vendor" in self.heard.decode()
        self.heard = b""
        return served


class Crowd:
    """Silent connections in the thousands, EACH of one unprivileged process."""

    def __init__(self, d, uids):
        self.members = []
        for uid in uids:
            line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            line.settimeout(scaled(60))
            pid = os.fork()
            if pid == 0:
                try:
                    # Each ends when our side of its line does.
                    for other, _ in [*self.members, (line, 0)]:
                        other.close()
                    self.be_member(d.socket, uid, theirs)
                except BaseException as e:
                    print(f"a client of uid {uid}: {e!r}", flush=True)
                    os._exit(1)
                os._exit(0)
            theirs.close()
            self.members.append((line, pid))

    def be_member(self, path, uid, line):
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        connections = [Silent(path) for _ in range(EACH)]
        line.send(b"%d" % EACH)
        while question := line.recv(100):
            line.send(b"%d" % sum(getattr(c, question.decode())() for c in connections))

    def answers(self):
        answers = [line.recv(100) for line, _ in self.members]
        ok(all(answers), "a client has died")
        return sum(map(int, answers))

    def arrive(self, meanwhile):
        """All have connected; `meanwhile` is done again and again until then."""
        expected = [line for line, _ in self.members]
        while expected:
            meanwhile()
            came, _, _ = select.select(expected, [], [], 0)
            expected = [line for line in expected if line not in came]
        eq(self.answers(), EACH * len(self.members), "connected")

    def count(self, question):
        for line, _ in self.members:
            line.send(question.encode())
        return self.answers()

    def stand(self, **counts):
        """Waits until it stands so with the connections: is_open=NUMBER, is_refused=NUMBER."""
        seen = {}

        def look():
            seen.update((q, self.count(q)) for q in counts)
            return seen == counts

        try:
            wait_until(look, 20)
        except AssertionError:
            raise AssertionError(f"connections: {seen}, expected {counts}") from None

    def leave(self):
        for line, pid in self.members:
            line.close()
            eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "status of a client")


def pss_kib(d):
    """Memory of the broker, its fronts and its workers."""
    processes = [d.process.pid, *daemon_processes(d)]
    return sum(int(re.search(r"Pss:\s+(\d+)", read(f"/proc/{p}/smaps_rollup")).group(1)) for p in processes)


def at_most(kib, most, what):
    ok(kib <= most, f"{what}: {kib} KiB, more than {most}")


def connections(c):
    return int(re.search(r"carrel_connections\{.*?\} (\d+)", c.call("Metrics")["text"]).group(1))


class Meanwhile:
    """Another client, who is there already, and one that comes."""

    def __init__(self, d):
        self.d, self.others = d, Others(d)

    def goes_on(self, times=1):
        self.others.are_served(times)

    def comes(self):
        c = self.d.connect(uid=4998)
        c.call("Ensure", name="new")
        eq(shell(c, "new", "echo served")[1], "served\n")
        c.call("Remove", name="new", force=True)
        c.close()


@case("10^4 silent connections of one uid: as many as it may have are kept, the rest hear Busy and are closed; others are served",
      ids=["E-54", "E-58", "FI-16"], timeout=120)
def crowd_of_one():
    with Daemon() as d:
        check, meanwhile = Check(d), Meanwhile(d)
        meanwhile.comes()
        known = daemon_processes(d, "carreld-front")
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        held, fronts, before = Held(d, front_of(d, known)), daemon_processes(d, "carreld-front"), pss_kib(d)
        crowd = Crowd(d, [4321] * (CROWD // EACH))
        crowd.arrive(meanwhile.goes_on)
        crowd.stand(is_open=MOST - 1, is_refused=CROWD - MOST + 1)
        at_most(pss_kib(d), before + 4096, "all processes of the daemon")
        eq(connections(c), MOST, "connections, as the daemon counts them")
        meanwhile.goes_on(5)
        meanwhile.comes()
        # Those that are kept are as good as any, the client's own from before, too.
        eq(crowd.count("is_served"), MOST - 1, "served")
        eq(shell(c, "a", "echo own")[1], "own\n")
        crowd.leave()
        held.again(8192, 4096)
        wait_until(lambda: connections(c) == 1, 5, "one connection, as the daemon counts them")
        eq(daemon_processes(d, "carreld-front"), fronts, "fronts")
        # Its places are free again.
        again = Crowd(d, [4321])
        again.arrive(meanwhile.goes_on)
        again.stand(is_open=EACH)
        again.leave()
        check.settled([4321, 4998, 4999])
        d.remove_all([4321, 4999])


@case("10^4 silent connections of many uids, each with fewer than it may have: all are kept and served; others are, too; fronts go",
      ids=["E-54", "E-58", "FI-16"], timeout=120)
def crowd_of_many():
    with Daemon() as d:
        d.connect().call("Info")
        known = daemon_processes(d, "carreld-front")
        check, meanwhile = Check(d), Meanwhile(d)
        theirs = front_of(d, known)
        meanwhile.comes()
        uids = CROWD // EACH

        def others():
            """Descriptors of the broker beside two for each front, and one for each worker."""
            fronts, workers = (len(daemon_processes(d, f"carreld-{what}")) for what in ("front", "worker"))
            return descriptors(d.process.pid) - 2 * fronts - workers

        before, had = pss_kib(d), others()
        crowd = Crowd(d, range(5000, 5000 + uids))
        crowd.arrive(meanwhile.goes_on)
        crowd.stand(is_open=CROWD)
        at_most(pss_kib(d), before + uids * 1024, "all processes of the daemon")
        meanwhile.goes_on(5)
        meanwhile.comes()
        eq(crowd.count("is_served"), CROWD, "served")
        # FRONT_CONN_COST.
        at_most(pss_kib(d), before + uids * 1024 + CROWD * 16, "all of them, once each connection has been used")
        meanwhile.goes_on(5)
        crowd.leave()
        wait_until(lambda: len(daemon_processes(d, "carreld-front")) <= IDLE + 1, 10, "fronts gone that nobody needs")
        ok(theirs in daemon_processes(d, "carreld-front"), "the others' front has gone")
        at_most(pss_kib(d), before + IDLE * 2048, "what is left")
        wait_until(lambda: others() == had, 5, "descriptors as before")
        meanwhile.goes_on(5)
        meanwhile.comes()
        check.settled([4998, 4999])
        d.remove_all([4999])


def connect_each(d, uids):
    """Connections of one uid after the other."""
    for uid in uids:
        os.seteuid(uid)
        try:
            yield uid, Silent(d.socket)
        finally:
            os.seteuid(0)


def visit(d, uids):
    """A process that connects as one uid after the other, is answered, and leaves."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for uid, connection in connect_each(d, uids):
                eq(connection.is_served(), True, f"uid {uid} being served")
                connection.sock.close()
            status = 0
        except BaseException as e:
            print(repr(e), flush=True)
        finally:
            os._exit(status)
    return pid


@case("uids by the thousand that come and go: the next one is served, and who comes back finds what was kept for it",
      ids=["E-54", "E-58", "FI-16"], timeout=120)
def uids_that_come_and_go():
    with Daemon() as d:
        check, meanwhile = Check(d), Meanwhile(d)
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        x = c.call("Exec", name="a", argv=["echo", "kept"], detach=True)["started"]
        eq(c.call("Wait", name="a", exec=x, keep=True)["result"]["exit_code"], 0)
        c.close()
        many = FRONTS + 50 if SCALE <= 1 else 2 * IDLE
        # Then four at the same time, of the same uids in any order: while a front is found to
        # be idle, its next connection may be on its way.
        few = [random.Random(f"{SEED} {i}").choices(range(5000, 5000 + 2 * IDLE), k=many // 8) for i in range(4)]
        for crowd in ([range(5000, 5000 + many)], few):
            visitors = [visit(d, uids) for uids in crowd]
            meanwhile.goes_on(5)
            meanwhile.comes()
            for pid in visitors:
                eq(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "status of a client")
        # That of others, that which keeps output, and those that are kept for who comes again.
        wait_until(lambda: len(daemon_processes(d, "carreld-front")) <= IDLE + 2, 10, "fronts gone that nobody needs")
        c = d.connect(uid=4321)
        output = c.call("Output", name="a", exec=x, stream="stdout", offset=0)
        eq(base64.b64decode(output["data"]), b"kept\n")
        check.settled([4321, 4998, 4999])
        d.remove_all([4321, 4999])


@case("as many uids as there may be: the next one hears Busy, those that are there go on, and it is served when one has left",
      ids=["E-54", "E-58"], timeout=120)
def too_many_uids():
    with Daemon() as d:
        d.connect().call("Info")
        meanwhile = Meanwhile(d)
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        some = [connection for _, connection in connect_each(d, range(5000, 5000 + FRONTS + 9))]
        # One place is the others', and root's idle front has made room.
        kept, more = some[: FRONTS - 1], some[FRONTS - 1 :]
        wait_until(lambda: all(c.is_refused() for c in more), 20, "those beyond turned away")
        ok(all(c.is_served() for c in kept), "those that are there being served")
        meanwhile.goes_on(5)
        kept[0].sock.close()
        wait_until(lambda: all(c.is_served() for _, c in connect_each(d, [4321])), 5, "room for the next one")
        for c in kept[1:]:
            c.sock.close()
        wait_until(lambda: len(daemon_processes(d, "carreld-front")) <= IDLE + 1, 20, "fronts gone that nobody needs")
        d.remove_all([4999])


@case("a front that says it is idle while its next connection is on its way is not taken at its word", ids=["E-54"], timeout=60)
def connection_on_its_way():
    with Daemon() as d:
        meanwhile = Meanwhile(d)
        known = daemon_processes(d, "carreld-front")
        first = d.connect(uid=4321)
        first.call("Info")
        front = front_of(d, known)
        had = descriptors(front)
        d.process.send_signal(signal.SIGSTOP)
        try:
            # The broker will see these in this order.
            second = d.connect(uid=4321)
            first.close()
            wait_until(lambda: descriptors(front) == had - 1, 5, "the front having noticed")
        finally:
            d.process.send_signal(signal.SIGCONT)
        second.call("Info")
        eq(os.waitstatus_to_exitcode(os.waitpid(visit(d, range(5000, 5000 + 2 * IDLE)), 0)[1]), 0, "status of a client")
        second.call("Info")
        eq(connections(second), 1, "connections")
        meanwhile.goes_on()
        d.remove_all([4999])


# --- a byte at a time ------------------------------------------------------------------


class Slow(Silent):
    """Sends a message byte by byte, `pause` seconds apart."""

    def __init__(self, d, uid, message, pause):
        self.sock, self.heard, self.ended = connect_as(d.socket, uid), b"", False
        self.sock.setblocking(False)
        self.left, self.pause, self.next = message, pause, time.monotonic()

    def go_on(self):
        """False when its message is out, or nobody takes it any more."""
        self.look()
        if time.monotonic() >= self.next and self.left and not self.ended:
            with contextlib.suppress(BrokenPipeError):
                self.sock.send(self.left[:1])
            self.left, self.next = self.left[1:], self.next + self.pause
        return bool(self.left) and not self.ended


@case("a byte a second: whose message takes longer than 10 s is closed, who is faster is answered; others are served meanwhile",
      ids=["E-54", "E-58"], timeout=60)
def slow_clients():
    with Daemon() as d:
        check, meanwhile = Check(d), Meanwhile(d)
        meanwhile.comes()
        known = daemon_processes(d, "carreld-front")
        c = d.connect(uid=4321)
        c.call("Ensure", name="a")
        held = Held(d, front_of(d, known))
        # Who has said nothing at all may stay for as long as it likes.
        idle = Slow(d, 4321, b"", 0)
        # Each message has its own 10 s: two of 4 s one after the other are in time.
        good = Slow(d, 4321, INFO * 3, 4 / len(INFO))
        bad = [Slow(d, 4321, INFO, 1) for _ in range(100)]
        ok(len(INFO) > 30, "is far from its end after 10 s")
        end = time.monotonic() + scaled(40)
        while any([s.go_on() for s in (good, *bad)]):
            meanwhile.goes_on()
            eq(shell(c, "a", "echo own")[1], "own\n")
            time.sleep(0.05)
            ok(time.monotonic() < end, f"{sum(not s.ended for s in bad)} slow ones are still there")
        ok(all(s.left for s in bad), "closed before the message was complete")
        eq({s.heard for s in bad}, {b""}, "said to slow ones")
        wait_until(lambda: good.look() or good.heard.count(b"\0") == 3, 10, "three answers")
        for s in (good, idle):
            s.heard = b""
            eq(s.is_served(), True, "as good as new")
            s.sock.close()
        held.again(2048, 1024)
        meanwhile.comes()
        check.settled([4321, 4998, 4999])
        d.remove_all([4321, 4999])
