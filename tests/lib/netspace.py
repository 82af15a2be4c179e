# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for tests: made, entered, asked and told."""

import contextlib
import json
import socket
import struct

import harness  # noqa: F401
from harness import *

CLONE_NEWNET = 0x40000000
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


def netns_name():
    """Of the namespace that the calling thread is in."""
    return os.readlink("/proc/thread-self/ns/net")


def check_call(status, what):
    if status != 0:
        raise OSError(ctypes.get_errno(), what)


class Namespace:
    """A network namespace, which a descriptor keeps alive."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    @classmethod
    def current(cls):
        return cls("/proc/thread-self/ns/net")

    @classmethod
    def new(cls):
        """A new one, in which the calling thread is afterwards."""
        before = netns_name()
        check_call(libc.unshare(CLONE_NEWNET), "make a network namespace")
        # Whatever comes after would otherwise happen to the machine.
        ok(netns_name() != before, "still in the old network namespace")
        for _, name in socket.if_nameindex():
            ok(not interface_is_up(name), f"{name} is up in a new network namespace")
        return cls.current()

    @classmethod
    def of(cls, running, comm=None):
        """That of a running sandbox."""
        return cls(f"/proc/{inside(running, comm)}/ns/net")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in it meanwhile; what it starts or opens stays in it."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self.enter()
            yield self
        finally:
            check_call(libc.setns(back, CLONE_NEWNET), "leave a network namespace")
            os.close(back)

    def enter(self):
        check_call(libc.setns(self.fd, CLONE_NEWNET), "enter a network namespace")

    def socket(self, *kind):
        with self.entered():
            return socket.socket(*kind)

    def output(self, argv, text=None):
        """What a program that runs in it prints; fails if that does."""
        with self.entered():
            done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=scaled(20), check=False)
        if done.returncode:
            said = done.stderr[-1000:]
            raise AssertionError(f"{argv}: status {done.returncode}: {said!r} of {(text or '')[:1000]!r}")
        return done.stdout

    def ip(self, *lines):
        """Commands for ip(8), all in one go."""
        self.output(["ip", "-batch", "-"], "".join(line + "\n" for line in lines))

    def nft(self, text):
        self.output(["nft", "-f", "-"], text)

    def ruleset(self, *what):
        """What nft lists, as objects: ruleset("table", "inet", "carrel")."""
        return json.loads(self.output(["nft", "-j", "list", *(what or ["ruleset"])]))["nftables"][1:]

    def tables(self):
        """nft's tables: {"inet carrel", ...}."""
        with self.entered():
            return nft_tables()

    def sysctl(self, name, value=None):
        """Reads, or sets, net/NAME."""
        with self.entered():
            path = f"/proc/sys/net/{name}"
            if value is None:
                return read(path).strip()
            with open(path, "w", encoding="ascii") as f:
                f.write(str(value))
        return None

    def interfaces(self):
        with self.entered():
            return [name for _, name in socket.if_nameindex()]

    def flush_conntrack(self):
        """Forgets all flows."""
        with self.entered():
            netfilter_request(0x102, acknowledged=True)  # IPCTNL_MSG_CT_DELETE

    def close(self):
        os.close(self.fd)


def interface_is_up(name):
    SIOCGIFFLAGS = 0x8913
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        answer = fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack("16sh14x", name.encode(), 0))
    return bool(struct.unpack("16sh14x", answer)[1] & 1)


def netfilter_request(kind, acknowledged=False):
    """One request to nfnetlink, without attributes; gives what the answers carry, from
    their struct nfgenmsg on."""
    flags = 0x5 if acknowledged else 0x301  # NLM_F_REQUEST and _ACK or _DUMP
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.send(struct.pack("=IHHIIBBH", 20, kind, flags, 1, 0, 0, 0, 0))
        while True:
            data = s.recv(1 << 16)
            while data:
                size, answer = struct.unpack_from("=IH", data)
                if answer == 2:  # NLMSG_ERROR, also when there was none
                    error = -struct.unpack_from("=i", data, 16)[0]
                    if error:
                        raise OSError(error, f"nfnetlink request {kind:#x}: {os.strerror(error)}")
                if answer in (2, 3):
                    return found
                found.append(data[16:size])
                data = data[(size + 3) & ~3 :]


def nft_tables():
    """nft's tables in the namespace that the caller is in."""
    found = set()
    for message in netfilter_request(0xA01):  # NFT_MSG_GETTABLE
        at = 4
        while at < len(message):
            size, kind = struct.unpack_from("=HH", message, at)
            if kind == 1:  # NFTA_TABLE_NAME
                name = message[at + 4 : at + size].rstrip(b"\0").decode()
                found.add(f"{FAMILIES.get(message[0], message[0])} {name}")
            at += (size + 3) & ~3
    return found
