# SPDX-License-Identifier: Apache-2.0
"""Clients that connect and say nothing, or a byte now and then. They have what is written
down and no more, nobody else notices, and when they have gone all is as it was."""

from daemon import Daemon, INTERFACE, connect_as
from harness import *
from poolcheck import *

CROWD = 10_000 if SCALE <= 1 else 1000
EACH = 250  # connections of one process: fewer descriptors than any may have
MOST = 256  # connections that one uid may have, FRONT_CONNS_MAX
BUSY = {"error": f"{INTERFACE}.Busy", "parameters": {"what": "connections", "limit": MOST}}
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
                part = self.sock.recv(4096)
                self.heard += part
                self.ended = not part

    def is_open(self):
        self.look()
        return not self.heard and not self.ended

    def is_refused(self):
        self.look()
        return self.ended and self.heard.endswith(b"\0") and json.loads(self.heard[:-1]) == BUSY

    def is_served(self):
        """Says something, after all; an answer comes."""
        if self.is_open():
            self.sock.sendall(INFO)
            wait_until(lambda: self.look() or self.ended or self.heard.endswith(b"\0"), 20, "an answer")
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
        meanwhile.goes_on(5)
        meanwhile.comes()
        # Those that are kept are as good as any, the client's own from before, too.
        eq(crowd.count("is_served"), MOST - 1, "served")
        eq(shell(c, "a", "echo own")[1], "own\n")
        crowd.leave()
        held.again(8192, 4096)
        eq(daemon_processes(d, "carreld-front"), fronts, "fronts")
        # Its places are free again.
        again = Crowd(d, [4321])
        again.arrive(meanwhile.goes_on)
        again.stand(is_open=EACH)
        again.leave()
        check.settled([4321, 4998, 4999])
        d.remove_all([4321, 4999])


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
