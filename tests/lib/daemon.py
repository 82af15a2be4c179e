# SPDX-License-Identifier: Apache-2.0
"""A carreld of the case's own, and connections to it as any user.

    with Daemon("[profile default]\\nidle_timeout = 1s\\n") as d:
        c = d.connect(uid=1234)
        c.call("Ensure", name="a")
        d.kill(); d.start()

Its state directory, ids and configuration are the case's. What it has made is removed when
the block ends, also after a failure: the leak check then finds what it has forgotten.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile

import varlink
from harness import BUILD, here, read, scaled, wait_until

CARRELD = os.path.join(BUILD, "carreld")
INTERFACE = "io.carrel.Pool"


class Refused(Exception):
    """An error that the daemon has answered with."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name.removeprefix(INTERFACE + ".")
        self.parameters = parameters or {}


def interface():
    """What the file in the source tree says: the daemon is held against it."""
    path = os.path.join(os.path.dirname(__file__), "../../tools/io.carrel.Pool.varlink")
    return varlink.Interface(read(path))


class Connection:
    """One connection; calls are made one after the other. Every reply and error is held
    against the interface file."""

    described = None

    def __init__(self, sock):
        Connection.described = Connection.described or interface()
        self.client = varlink.Client(sock, timeout=scaled(20))

    def refuse(self, error):
        if error.name.startswith(INTERFACE + "."):
            self.described.check_error(error)
        raise Refused(error.name, error.parameters) from None

    def call(self, method, /, fds=(), **parameters):
        try:
            reply = self.client.call(f"{INTERFACE}.{method}", fds=fds, **parameters)
        except varlink.Error as e:
            self.refuse(e)
        self.described.check_reply(method, reply)
        return reply

    def more(self, method, /, fds=(), **parameters):
        try:
            for reply in self.client.more(f"{INTERFACE}.{method}", fds=fds, **parameters):
                self.described.check_reply(method, reply)
                yield reply
        except varlink.Error as e:
            self.refuse(e)

    def close(self):
        self.client.close()


def connect_as(path, uid, gid=None):
    """A socket that was connected by a process of that uid: what SO_PEERCRED says."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(*[uid if gid is None else gid] * 3)
            os.setresuid(uid, uid, uid)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.connect(path)
            socket.send_fds(theirs, [b"x"], [s.fileno()])
            os._exit(0)
        except OSError as e:
            theirs.send(f"!{e.strerror}".encode())
            os._exit(1)
    theirs.close()
    data, fds, _, _ = socket.recv_fds(ours, 200, 1)
    os.waitpid(pid, 0)
    ours.close()
    if not fds:
        raise OSError(data[1:].decode())
    return socket.socket(fileno=fds[0])


class Daemon:
    def __init__(self, config="", env=None, wrapper=(), options=()):
        # Reachable for other users, and root's alone to write.
        self.directory = tempfile.mkdtemp(prefix="carrel-test-socket.", dir="/run")
        os.chmod(self.directory, 0o755)
        self.socket = os.path.join(self.directory, "carrel.sock")
        self.config = os.path.join(here.directory, "carreld.conf")
        self.log_path = os.path.join(here.directory, "carreld.log")
        self.env, self.wrapper, self.options = env, wrapper, options
        self.configure(config)
        self.process = None

    def configure(self, text):
        with open(self.config, "w") as f:
            f.write(read(here.config) + "\n" + text)

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, CARRELD, "--foreground", "--config", self.config,
                 "--socket", self.socket, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=10):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"carreld ended with {self.process.returncode}: {self.log()[-2000:]}")
            with contextlib.suppress(OSError):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                s.connect(self.socket)
                s.close()
                return True

        wait_until(look, seconds, "carreld listening")
        os.chmod(self.socket, 0o666)

    def log(self):
        return read(self.log_path, binary=True).decode("utf-8", "replace")

    def connect(self, uid=0):
        return Connection(connect_as(self.socket, uid) if uid else self._connect())

    def _connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(self.socket)
        return s

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        self.kill()
        return self.start()

    def stop(self, seconds=10):
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(scaled(seconds))

    def remove_all(self, uids=(0,)):
        for uid in uids:
            c = self.connect(uid)
            c.call("Shutdown", remove=True)
            wait_until(lambda: not c.call("List", all=True)["sandboxes"], 20, "all sandboxes gone")
            c.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        """Whatever has happened: removes all sandboxes, of all clients, and ends it."""
        if kind is not None:
            print(f"carreld's log:\n{self.log()[-3000:]}")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if self.process.poll() is None:
                self.kill()
        self.clean_up()

    def clean_up(self):
        """Another start takes in what is there; told not to keep it, it stops all at its
        end. Then the definitions go."""
        with open(self.config, "a") as f:
            f.write("\n[pool]\nkeep_running = no\n")
        with contextlib.suppress(AssertionError):
            self.start()
            self.stop(30)
        for name in os.listdir(os.path.join(here.state, "pool")) if os.path.isdir(os.path.join(here.state, "pool")) else []:
            os.unlink(os.path.join(here.state, "pool", name))
        with contextlib.suppress(OSError):
            os.unlink(self.socket)
        with contextlib.suppress(OSError):
            os.rmdir(self.directory)
