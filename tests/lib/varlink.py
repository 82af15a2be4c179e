# SPDX-License-Identifier: Apache-2.0
"""A Varlink client written from the specification, and a reader of interface files.

It shares nothing with carrel's own code: what the two agree on is what varlink.org says.

    with Client("/run/carrel/carrel.sock") as client:
        client.call("io.carrel.Pool.Touch", name="alice")
        for reply in client.more("io.carrel.Pool.Events"):
            ...

    pool = Interface(client.describe("io.carrel.Pool"))
    pool.check_reply("Touch", {})
"""

import array
import json
import os
import re
import socket

SERVICE = "org.varlink.service"


class Error(Exception):
    """The service has answered with an error."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters)}")
        self.name = name
        self.parameters = parameters


class Closed(Exception):
    """The connection has ended instead of an answer."""


class Reply(dict):
    """A reply's parameters; `fds` are the descriptors that came with it, the caller's."""

    def __init__(self, parameters, continues, fds):
        super().__init__(parameters)
        self.continues = continues
        self.fds = fds


class Client:
    def __init__(self, address, timeout=20):
        """`address` is a path, or a connected socket, which becomes the client's."""
        if isinstance(address, socket.socket):
            self.sock = address
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(address)
        self.sock.settimeout(timeout)
        self.received = b""
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    # --- messages

    def send_bytes(self, data, fds=()):
        """Sends bytes as they are, with descriptors beside the first of them."""
        ancillary = []
        if fds:
            rights = array.array("i", fds)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        sent = self.sock.sendmsg([data], ancillary)
        self.sock.sendall(data[sent:])

    def send(self, method, parameters=None, fds=(), **flags):
        """Sends a call and waits for nothing."""
        message = {"method": method}
        if parameters is not None:
            message["parameters"] = parameters
        message.update({name: True for name, on in flags.items() if on})
        self.send_bytes(json.dumps(message).encode() + b"\0", fds)

    def receive_message(self):
        """The next message as it is; Closed if there is none."""
        while b"\0" not in self.received:
            room = socket.CMSG_SPACE(64 * array.array("i").itemsize)
            try:
                data, ancillary, _, _ = self.sock.recvmsg(
                    1 << 16, room, socket.MSG_CMSG_CLOEXEC
                )
            except ConnectionResetError:
                data, ancillary = b"", []
            for level, kind, rights in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
                    self.fds.extend(fds)
            if not data:
                raise Closed("the connection was closed")
            self.received += data
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message, object_pairs_hook=unique)

    def receive(self):
        """The next reply; Error if it is one."""
        message = self.receive_message()
        extra = message.keys() - {"parameters", "continues", "error"}
        if extra:
            raise ValueError(f"a reply has {sorted(extra)}")
        parameters = message.get("parameters", {})
        fds, self.fds = self.fds, []
        if "error" in message:
            for fd in fds:
                os.close(fd)
            raise Error(message["error"], parameters)
        return Reply(parameters, message.get("continues", False), fds)

    # --- calls

    def call(self, method, /, fds=(), **parameters):
        """The only reply to a call."""
        self.send(method, parameters, fds)
        reply = self.receive()
        if reply.continues:
            raise ValueError(f"{method}: more replies than were asked for")
        return reply

    def more(self, method, /, fds=(), **parameters):
        """All replies to a call, as they come."""
        self.send(method, parameters, fds, more=True)
        continues = True
        while continues:
            reply = self.receive()
            continues = reply.continues
            yield reply

    def oneway(self, method, /, **parameters):
        """A call that is not answered."""
        self.send(method, parameters, oneway=True)

    def info(self):
        return self.call(f"{SERVICE}.GetInfo")

    def describe(self, interface):
        return self.call(f"{SERVICE}.GetInterfaceDescription", interface=interface)[
            "description"
        ]


def unique(pairs):
    """An object whose names are all different."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError(f"a name stands twice in {[name for name, _ in pairs]}")
    return result


# --- interfaces

TOKEN = re.compile(
    r"\s*(?:#[^\n]*\s*)*"
    r"(?P<token>->|\[string\]|\[\]|[?(),:]|[A-Za-z][A-Za-z0-9_.-]*|$)"
)
SIMPLE = {"bool": bool, "int": int, "float": float, "string": str, "object": object}


class Interface:
    """What an interface file says.

    types, methods and errors are dictionaries by name: of a type, of (what a call takes,
    what a reply has), of an error's parameters. A type is a tuple: ("simple", NAME),
    ("named", NAME), ("maybe", TYPE), ("list", TYPE), ("map", TYPE), ("enum", [NAME...])
    or ("struct", {NAME: TYPE}).
    """

    def __init__(self, text):
        self.types, self.methods, self.errors = {}, {}, {}
        self._text, self._at = text, 0
        self._next()
        self._expect("interface")
        self.name = self._take()
        while self._token:
            self._member()
        for kind in [*self.types.values(), *self.errors.values()]:
            self._check_names(kind)
        for takes, gives in self.methods.values():
            self._check_names(takes)
            self._check_names(gives)

    # What follows reads the text token by token; self._token is the next one.

    def _next(self):
        m = TOKEN.match(self._text, self._at)
        if not m:
            raise ValueError(f"unexpected {self._text[self._at:][:40]!r}")
        self._at = m.end()
        self._token = m["token"]

    def _take(self):
        token = self._token
        self._next()
        return token

    def _expect(self, token):
        if self._take() != token:
            raise ValueError(f"no {token} before {self._text[self._at:][:40]!r}")

    def _member(self):
        kind, name = self._take(), self._take()
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            raise ValueError(f"{name} is no name of a member")
        if name in self.types or name in self.methods or name in self.errors:
            raise ValueError(f"{name} is there twice")
        if kind == "type":
            self.types[name] = self._structure()
        elif kind == "error":
            self.errors[name] = self._structure()
        elif kind == "method":
            takes = self._structure()
            self._expect("->")
            self.methods[name] = takes, self._structure()
        else:
            raise ValueError(f"{kind} is no kind of a member")

    def _structure(self):
        """A struct, or an enum: a list of names without types."""
        self._expect("(")
        fields, names = {}, []
        while self._token != ")":
            if fields or names:
                self._expect(",")
            name = self._take()
            if not re.fullmatch(r"[A-Za-z](?:_?[A-Za-z0-9])*", name):
                raise ValueError(f"{name} is no name of a field")
            if name in fields or name in names:
                raise ValueError(f"{name} is there twice")
            if self._token == ":":
                self._next()
                fields[name] = self._type()
            else:
                names.append(name)
        self._next()
        if fields and names:
            raise ValueError(f"{names} have no type")
        return ("enum", names) if names else ("struct", fields)

    def _type(self):
        prefix = {"?": "maybe", "[]": "list", "[string]": "map"}.get(self._token)
        if prefix:
            self._next()
            return prefix, self._type()
        if self._token == "(":
            return self._structure()
        name = self._take()
        return ("simple" if name in SIMPLE else "named"), name

    def _check_names(self, kind):
        what, of = kind
        if what == "named" and of not in self.types:
            raise ValueError(f"there is no type {of}")
        if what == "struct":
            for field in of.values():
                self._check_names(field)
        if what in ("maybe", "list", "map"):
            self._check_names(of)

    # --- values

    def check(self, kind, value, where=""):
        """Raises ValueError unless the value is of that type."""
        what, of = kind
        if what == "named":
            self.check(self.types[of], value, where)
        elif what == "maybe":
            if value is not None:
                self.check(of, value, where)
        elif what == "simple":
            right = isinstance(value, SIMPLE[of])
            if not right or (of in ("int", "float") and isinstance(value, bool)):
                raise ValueError(f"{where}: {value!r} is no {of}")
        elif what == "enum":
            if value not in of:
                raise ValueError(f"{where}: {value!r} is none of {of}")
        elif what == "list":
            if not isinstance(value, list):
                raise ValueError(f"{where}: {value!r} is no list")
            for i, one in enumerate(value):
                self.check(of, one, f"{where}[{i}]")
        else:
            self._check_object(what, of, value, where)

    def _check_object(self, what, of, value, where):
        if not isinstance(value, dict):
            raise ValueError(f"{where}: {value!r} is no object")
        if what == "map":
            for name, one in value.items():
                self.check(of, one, f"{where}.{name}")
            return
        unknown = value.keys() - of.keys()
        if unknown:
            raise ValueError(f"{where}: there is no {sorted(unknown)}")
        for name, kind in of.items():
            if name not in value and kind[0] != "maybe":
                raise ValueError(f"{where}.{name} is absent")
            self.check(kind, value.get(name), f"{where}.{name}")

    def check_call(self, method, parameters):
        self.check(self.methods[method][0], parameters, method)

    def check_reply(self, method, parameters):
        self.check(self.methods[method][1], dict(parameters), method)

    def check_error(self, error):
        """`error` is an Error whose name is one of this interface."""
        interface, _, name = error.name.rpartition(".")
        if interface != self.name or name not in self.errors:
            raise ValueError(f"{error.name} is no error of {self.name}")
        self.check(self.errors[name], error.parameters, name)
