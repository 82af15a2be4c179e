# SPDX-License-Identifier: Apache-2.0
"""What answers in the laboratory's networks, and what watches them."""

import collections
import contextlib
import ipaddress
import select
import selectors
import socket
import struct

from harness import *

Packet = collections.namedtuple("Packet", "interface version proto src dst sport dport data")

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_ARP = 3, 0x0800, 0x86DD, 0x0806
PACKET_OUTGOING = 4
IP_PKTINFO, IP_TRANSPARENT, IPV6_TRANSPARENT = 8, 19, 75
PORT_PROTOS = (6, 17, 132, 136)
MARKER_PORT = 7  # of the laboratory's own packets, see Lab.settle()


def parse_packet(interface, data):
    """A Packet, from its IP header on. sport and dport are 0 where there are none, as in
    all fragments but the first. dst of what is not IP is None."""
    version = data[0] >> 4 if data else 0
    if version == 4:
        proto, start = data[9], (data[0] & 15) * 4
        src, dst = (socket.inet_ntop(socket.AF_INET, data[i : i + 4]) for i in (12, 16))
        first = not struct.unpack_from("!H", data, 6)[0] & 0x1FFF
    elif version == 6:
        proto, start, first = data[6], 40, True
        src, dst = (socket.inet_ntop(socket.AF_INET6, data[i : i + 16]) for i in (8, 24))
    else:
        return Packet(interface, version, 0, None, None, 0, 0, data)
    sport = dport = 0
    if first and proto in PORT_PROTOS and len(data) >= start + 4:
        sport, dport = struct.unpack_from("!HH", data, start)
    return Packet(interface, version, proto, src, dst, sport, dport, data)


class Watcher:
    """A thread that reads sockets of a namespace until it is stopped."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.selector = selectors.DefaultSelector()
        self.wake, self.waker = socket.socketpair()
        self.selector.register(self.wake, selectors.EVENT_READ, None)
        self.failure = None
        self.reading = threading.Lock()
        self.thread = threading.Thread(target=self._loop, daemon=True)

    def watch(self, s, function):
        s.setblocking(False)
        self.selector.register(s, selectors.EVENT_READ, (function, s))

    def _loop(self):
        try:
            while True:
                for key, _ in self.selector.select():
                    if key.data is None:
                        return
                    function, s = key.data
                    with self.reading, contextlib.suppress(BlockingIOError):
                        function(s)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e  # for the case, see check()

    def catch_up(self):
        """Returns when all that is there has been read."""

        def nothing_waits():
            sockets = [k.fileobj for k in self.selector.get_map().values() if k.data]
            with self.reading:
                return not self.thread.is_alive() or not select.select(sockets, [], [], 0)[0]

        wait_until(nothing_waits, 20, "end of reading")
        if self.failure:
            raise AssertionError(f"{type(self).__name__} failed: {self.failure!r}") from self.failure

    def stop(self):
        self.waker.send(b"x")
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.waker.close()
        self.selector.close()


class Tap(Watcher):
    """All packets that arrive on an interface of a namespace, in order; without one, on
    any, those that come and go during a case included. outgoing: also what is sent."""

    def __init__(self, namespace, interface=None, outgoing=False):
        super().__init__(namespace)
        self.packets = []
        self.outgoing = outgoing
        self.socket = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        if interface:
            self.socket.bind((interface, ETH_P_ALL))
        self.watch(self.socket, self._read)
        self.thread.start()

    def _read(self, s):
        for _ in range(1000):
            data, (interface, kind, direction, *_) = s.recvfrom(65535)
            if direction == PACKET_OUTGOING and not self.outgoing:
                continue
            if kind in (ETH_P_IP, ETH_P_IPV6):
                self._take(parse_packet(interface, data))
            elif kind != ETH_P_ARP or self.outgoing:
                self._take(Packet(interface, 0, kind, None, None, 0, 0, data))

    def _take(self, packet):
        if packet.dport != MARKER_PORT:
            self.packets.append(packet)

    def to(self, *addresses):
        """Those to one of the addresses."""
        wanted = {str(ipaddress.ip_address(a)) for a in addresses}
        return [p for p in self.packets if p.dst in wanted]

    def within(self, *prefixes):
        """Those to an address in one of the prefixes."""
        nets = [ipaddress.ip_network(p) for p in prefixes]
        found = []
        for p in self.packets:
            address = p.dst and ipaddress.ip_address(p.dst)
            if address and any(address in n for n in nets if n.version == address.version):
                found.append(p)
        return found

    def forget(self):
        self.packets = []

    def catch_up(self):
        """Also fails if the kernel had to drop something before it was read."""
        super().catch_up()
        seen, dropped = struct.unpack("II", self.socket.getsockopt(263, 6, 8))  # PACKET_STATISTICS
        eq(dropped, 0, f"packets lost beside {seen}")


class Responder(Watcher):
    """Answers on ports of a namespace, TCP and UDP, with the address that was reached:
    "reached 8.8.8.8\\n". `met` lists everybody who came: (protocol, address, port,
    peer's address)."""

    def __init__(self, namespace, ports, address=None):
        super().__init__(namespace)
        self.met = []
        for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if address and (":" in address) != (":" in anywhere):
                continue
            for port in ports:
                self._listen(family, (address or anywhere, port))
        self.thread.start()

    def _listen(self, family, where):
        for kind, function in ((socket.SOCK_STREAM, self._accept), (socket.SOCK_DGRAM, self._reply)):
            s = self.namespace.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                s.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
                s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            s.bind(where)
            if kind == socket.SOCK_STREAM:
                s.listen(1024)
            self.watch(s, function)

    def _meet(self, protocol, address, port, peer):
        self.met.append((protocol, address, port, peer))
        return f"reached {address}\n".encode()

    def _accept(self, listener):
        s, peer = listener.accept()
        with s, contextlib.suppress(OSError):
            address, port = s.getsockname()[:2]
            s.send(self._meet("tcp", address, port, peer[0]))

    def _reply(self, s):
        _, found, _, peer = s.recvmsg(2048, 256)
        level, kind, data = found[0]
        address = socket.inet_ntop(s.family, data[8:12] if level == socket.IPPROTO_IP else data[:16])
        text = self._meet("udp", address, s.getsockname()[1], peer[0])
        with contextlib.suppress(OSError):
            s.sendmsg([text], [(level, kind, data)], 0, peer)

    def reached(self, *addresses):
        return [m for m in self.met if m[1] in addresses]
